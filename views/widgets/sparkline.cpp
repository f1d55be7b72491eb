// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/widgets/sparkline.h"

#include <QHelpEvent>
#include <QPainter>
#include <QToolTip>
#include <algorithm>

#include "views/models/design.h"
#include "views/models/numbers.h"

namespace expertscope {

Sparkline::Sparkline(QWidget* parent) : QWidget(parent) {
  setSizePolicy(QSizePolicy::Expanding, QSizePolicy::Fixed);
  setAccessibleName(tr("Share of tokens over time"));
}

void Sparkline::set_values(std::vector<float> values, TokenRange tokens) {
  values_ = std::move(values);
  tokens_ = tokens;
  const float highest = values_.empty() ? 0 : *std::max_element(values_.begin(), values_.end());
  setAccessibleDescription(tr("at most %1 of the tokens").arg(percent_text(highest)));
  update();
}

void Sparkline::paintEvent(QPaintEvent*) {
  QPainter painter(this);
  const QRectF plot = QRectF(rect()).adjusted(0, fontMetrics().height() + 2, 0, -2);
  QColor ground = palette().color(QPalette::Text);
  ground.setAlphaF(0.25f);
  painter.fillRect(QRectF(plot.left(), plot.bottom(), plot.width(), 1), ground);
  const float highest = values_.empty() ? 0 : *std::max_element(values_.begin(), values_.end());
  painter.setPen(palette().color(QPalette::PlaceholderText));
  if (!values_.empty()) {
    painter.drawText(rect(), Qt::AlignLeft | Qt::AlignTop,
                     tr("tokens %1 to %2").arg(tokens_.begin).arg(tokens_.end - 1));
  }
  painter.drawText(rect(), Qt::AlignRight | Qt::AlignTop, tr("peak %1").arg(percent_text(highest)));
  if (!(highest > 0)) return;
  const double step = plot.width() / static_cast<double>(values_.size());
  for (std::size_t i = 0; i < values_.size(); ++i) {
    const double height = values_[i] / highest * plot.height();
    painter.fillRect(QRectF(plot.left() + static_cast<double>(i) * step, plot.bottom() - height,
                            std::max(1.0, step - 1), height),
                     design_colours(palette()).chart);
  }
}

bool Sparkline::event(QEvent* event) {
  if (event->type() != QEvent::ToolTip || values_.empty()) return QWidget::event(event);
  const auto* help = static_cast<QHelpEvent*>(event);
  const auto bins = static_cast<qint64>(values_.size());
  const auto bin = std::clamp<qint64>(help->pos().x() * bins / std::max(1, width()), 0, bins - 1);
  const qint64 count = tokens_.end - tokens_.begin;
  // A token belongs to the bin floor(index * bins / count): the first one of a bin is rounded up.
  const auto first = [&](qint64 of) { return tokens_.begin + (of * count + bins - 1) / bins; };
  QToolTip::showText(help->globalPos(), tr("tokens %1 to %2: %3 % routed to this expert")
                                            .arg(first(bin))
                                            .arg(first(bin + 1) - 1)
                                            .arg(all_digits(values_[bin] * 100)));
  return true;
}

}  // namespace expertscope
