// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/widgets/token_strip.h"

#include <QHelpEvent>
#include <QKeyEvent>
#include <QMouseEvent>
#include <QPainter>
#include <QScrollBar>
#include <QToolTip>
#include <algorithm>
#include <cmath>

#include "probes/report/colour_scale.h"
#include "views/models/design.h"
#include "views/models/numbers.h"
#include "views/models/token_text.h"

namespace expertscope {
namespace {

constexpr double kPadding = 5;    // pixels beside a chip's text
constexpr double kGap = 3;        // pixels between chips
constexpr double kMargin = 3;     // pixels above and below all chips
constexpr double kSide = 8;       // pixels beside them
constexpr double kLongest = 220;  // pixels of one chip

double chip_height(const QFont& font) {
  return QFontMetricsF(font).height() + 5;
}

}  // namespace

TokenChips::TokenChips(QWidget* parent) : QWidget(parent) {
  setObjectName(QStringLiteral("token_chips"));
  setFocusPolicy(Qt::StrongFocus);
  setAccessibleName(tr("Tokens of the run"));
  setBackgroundRole(QPalette::Base);
  setAutoFillBackground(true);
}

void TokenChips::set_scene(TokenStripScene scene) {
  const bool same_page = scene.page == scene_.page;
  scene_ = std::move(scene);
  if (!same_page) {
    const QFontMetricsF metrics(font());
    const std::size_t count = scene_.page ? scene_.page->tokens.size() : 0;
    texts_.resize(count);
    widths_.resize(count);
    for (std::size_t i = 0; i < count; ++i) {
      texts_[i] =
          metrics.elidedText(visible_token_text(scene_.page->tokens[i].bytes), Qt::ElideRight, kLongest);
      widths_[i] = std::max(metrics.horizontalAdvance(texts_[i]), 4.0) + 2 * kPadding;
    }
    lay_out(width());
  }
  update();
}

void TokenChips::lay_out(int width) {
  const double height = chip_height(font());
  rects_.resize(widths_.size());
  double x = kSide;
  double y = kMargin;
  for (std::size_t i = 0; i < widths_.size(); ++i) {
    if (x + widths_[i] > width - kSide && x > kSide) {
      x = kSide;
      y += height + kGap;
    }
    rects_[i] = QRectF(x, y, widths_[i], height);
    x += widths_[i] + kGap;
  }
}

double TokenChips::line_height() const {
  return chip_height(font()) + kGap;
}

int TokenChips::heightForWidth(int width) const {
  const double height = chip_height(font());
  double x = kSide;
  double y = kMargin;
  for (const double chip : widths_) {
    if (x + chip > width - kSide && x > kSide) {
      x = kSide;
      y += height + kGap;
    }
    x += chip + kGap;
  }
  return static_cast<int>(std::ceil(y + height + kMargin));
}

void TokenChips::resizeEvent(QResizeEvent* event) {
  QWidget::resizeEvent(event);
  lay_out(width());
}

std::int64_t TokenChips::token_at(const QPointF& point) const {
  for (std::size_t i = 0; i < rects_.size(); ++i) {
    if (rects_[i].adjusted(-kGap / 2, -kGap / 2, kGap / 2, kGap / 2).contains(point)) {
      return scene_.page->tokens[i].index;
    }
  }
  return -1;
}

QRectF TokenChips::rect_of(std::int64_t token) const {
  for (std::size_t i = 0; i < rects_.size(); ++i) {
    if (scene_.page->tokens[i].index == token) return rects_[i];
  }
  return {};
}

float TokenChips::weight_of(std::size_t index) const {
  if (!scene_.expert) return 0;
  const std::int64_t at = scene_.page->tokens[index].index - scene_.expert->first_token;
  if (at < 0 || at >= static_cast<std::int64_t>(scene_.expert->weights.size())) return 0;
  return scene_.expert->weights[at];
}

void TokenChips::paintEvent(QPaintEvent* event) {
  QPainter painter(this);
  painter.setRenderHint(QPainter::Antialiasing);
  if (rects_.empty()) {
    painter.setPen(palette().color(QPalette::PlaceholderText));
    painter.drawText(rect().adjusted(10, 6, -10, -6), Qt::AlignLeft | Qt::AlignTop | Qt::TextWordWrap,
                     tr("Tokens appear here. Those routed to the selected expert are coloured by its weight; "
                        "click one to see its experts in every layer."));
    return;
  }
  float heaviest = 0;
  if (scene_.expert) {
    for (const float weight : scene_.expert->weights) {
      heaviest = std::max(heaviest, weight);
    }
  }
  const QRectF dirty(event->rect());
  for (std::size_t i = 0; i < rects_.size(); ++i) {
    if (rects_[i].adjusted(-4, -4, 4, 4).intersects(dirty)) paint_chip(painter, i, heaviest);
  }
}

void TokenChips::paint_chip(QPainter& painter, std::size_t index, double heaviest) const {
  const TokenRow& token = scene_.page->tokens[index];
  const QRectF& rect = rects_[index];
  const float weight = weight_of(index);
  QColor fill = palette().color(QPalette::Text);
  fill.setAlphaF(token.generated ? 0.09f : 0.03f);
  QColor ink = palette().color(token.generated ? QPalette::Text : QPalette::PlaceholderText);
  if (weight > 0) {
    const QRgb colour = ColourScale{0, heaviest, false}.colour(weight, ColourMap::viridis);
    fill = QColor::fromRgb(colour);
    ink = readable_on(colour);
  }
  const bool outside = token.index < scene_.range.begin || token.index >= scene_.range.end ||
                       !counts(scene_.counted.get(), token.index);
  if (outside) painter.setOpacity(0.35);
  QColor edge = palette().color(QPalette::Text);
  edge.setAlphaF(weight > 0 ? 0.55f : 0.12f);
  painter.setPen(QPen(edge, 1));
  painter.setBrush(fill);
  painter.drawRoundedRect(rect.adjusted(0.5, 0.5, -0.5, -0.5), 3, 3);
  painter.setPen(ink);
  painter.drawText(rect, Qt::AlignCenter, texts_[index]);
  painter.setOpacity(1);
  if (token.index == scene_.selected) {
    painter.setBrush(Qt::NoBrush);
    painter.setPen(QPen(palette().color(QPalette::Link), 2));
    painter.drawRoundedRect(rect.adjusted(-0.5, -0.5, 0.5, 0.5), 4, 4);
  }
  if (std::find(scene_.edits_at.begin(), scene_.edits_at.end(), token.index) != scene_.edits_at.end()) {
    // A flag: from this token on, other edits were in force.
    painter.setPen(QPen(design_colours(palette()).mark, 2));
    painter.drawLine(QPointF(rect.left() - 1.5, rect.top() - 2),
                     QPointF(rect.left() - 1.5, rect.bottom() + 2));
    painter.setBrush(design_colours(palette()).mark);
    painter.setPen(Qt::NoPen);
    const QPointF flag[] = {{rect.left() - 1.5, rect.top() - 3},
                            {rect.left() + 5, rect.top()},
                            {rect.left() - 1.5, rect.top() + 3}};
    painter.drawPolygon(flag, 3);
  }
}

QString TokenChips::tooltip(std::size_t index) const {
  const TokenRow& token = scene_.page->tokens[index];
  QString text = tr("<b>%1</b><br>token %2, id %3, position %4<br>%5")
                     .arg(visible_token_text(token.bytes).toHtmlEscaped(), QString::number(token.index),
                          QString::number(token.id), QString::number(token.position),
                          token.generated ? tr("generated") : tr("prompt or data"));
  if (token.log_prob) text += tr("<br>log-probability %1 nats").arg(all_digits(*token.log_prob));
  if (scene_.expert) {
    const float weight = weight_of(index);
    const Cell cell = scene_.expert->cell;
    const QString layer = QString::number(cell.layer);
    const QString measured = cell.is_shared() ? tr("max |down_proj|") : tr("weight");
    text += weight > 0
                ? tr("<br>%1 %2 in layer %3, %4").arg(measured, all_digits(weight), layer, expert_name(cell))
                : tr("<br>not routed to layer %1, %2").arg(layer, expert_name(cell));
  }
  if (std::find(scene_.edits_at.begin(), scene_.edits_at.end(), token.index) != scene_.edits_at.end()) {
    text += tr("<br><i>the edits changed here</i>");
  }
  return text;
}

bool TokenChips::event(QEvent* event) {
  if (event->type() != QEvent::ToolTip) return QWidget::event(event);
  const auto* help = static_cast<QHelpEvent*>(event);
  for (std::size_t i = 0; i < rects_.size(); ++i) {
    if (!rects_[i].contains(help->pos())) continue;
    QToolTip::showText(help->globalPos(), tooltip(i), this, rects_[i].toAlignedRect());
    return true;
  }
  QToolTip::hideText();
  return true;
}

void TokenChips::mousePressEvent(QMouseEvent* event) {
  if (event->button() != Qt::LeftButton) return;
  const std::int64_t token = token_at(event->position());
  if (token < 0) return;
  if ((event->modifiers() & Qt::ShiftModifier) && scene_.selected >= 0) {
    Q_EMIT range_wanted(std::min(token, scene_.selected), std::max(token, scene_.selected) + 1);
  } else {
    clicked_ = true;
    Q_EMIT token_clicked(token);
    clicked_ = false;
  }
}

void TokenChips::step(std::int64_t by) {
  if (rects_.empty()) return;
  const std::int64_t first = scene_.page->tokens.front().index;
  const std::int64_t last = scene_.page->total - 1;
  // Stepping over the edge of the page turns it.
  const std::int64_t next =
      scene_.selected < 0 ? first : std::clamp<std::int64_t>(scene_.selected + by, 0, last);
  Q_EMIT token_clicked(next);
}

void TokenChips::keyPressEvent(QKeyEvent* event) {
  switch (event->key()) {
    case Qt::Key_Left:
      return step(-1);
    case Qt::Key_Right:
      return step(1);
    case Qt::Key_PageUp:
      return step(-kPageTokens);
    case Qt::Key_PageDown:
      return step(kPageTokens);
    case Qt::Key_Escape:
      // One thing at a time.
      if (scene_.page && (scene_.range.begin > 0 || scene_.range.end < scene_.page->total)) {
        Q_EMIT range_cleared();
      } else {
        Q_EMIT token_clicked(-1);
      }
      return;
    default:
      QWidget::keyPressEvent(event);
  }
}

TokenStrip::TokenStrip(QWidget* parent) : QScrollArea(parent), chips_(new TokenChips) {
  setObjectName(QStringLiteral("token_strip"));
  setFrameShape(QFrame::NoFrame);
  setHorizontalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
  setWidget(chips_);
  setMinimumHeight(44);
}

bool TokenStrip::is_at_end() const {
  return verticalScrollBar()->value() >= verticalScrollBar()->maximum() - 4;
}

void TokenStrip::set_scene(TokenStripScene scene) {
  const bool at_end = is_at_end();
  chips_->set_scene(std::move(scene));
  fit_height();
  const std::int64_t selected = chips_->scene().selected;
  if (selected < 0) revealed_ = -1;
  if (selected >= 0 && selected != revealed_) {
    // The page it is on may still be on its way; until then the strip stays as it is.
    reveal(selected);
  } else if (at_end) {
    verticalScrollBar()->setValue(verticalScrollBar()->maximum());
  }
}

void TokenStrip::reveal(std::int64_t token) {
  const QRect at = chips_->rect_of(token).toAlignedRect();
  if (at.isEmpty()) return;
  revealed_ = token;
  // What was clicked is in sight, and stays under the mouse.
  if (!chips_->is_clicked()) ensureVisible(at.center().x(), at.center().y(), 0, at.height());
}

void TokenStrip::resizeEvent(QResizeEvent* event) {
  const bool at_end = is_at_end();  // of the range before, which the base class changes
  QScrollArea::resizeEvent(event);
  fit_height();
  if (at_end) verticalScrollBar()->setValue(verticalScrollBar()->maximum());
}

void TokenStrip::fit_height() {
  const int width = viewport()->width();
  const int height = viewport()->height();
  // At the end the first line in sight is a whole one.
  const double line = chips_->line_height();
  const double hidden = std::max(0.0, chips_->heightForWidth(width) - kMargin - height);
  const double lines_above = std::ceil(hidden / line);
  chips_->resize(width, height + static_cast<int>(std::lround(lines_above * line)));
}

}  // namespace expertscope
