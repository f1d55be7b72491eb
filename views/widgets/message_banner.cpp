// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/widgets/message_banner.h"

#include <QEvent>
#include <QHBoxLayout>
#include <QPainter>
#include <QPushButton>
#include <QTextEdit>
#include <QTimer>
#include <QVBoxLayout>
#include <algorithm>
#include <cmath>
#include <utility>

#include "views/models/design.h"
#include "views/models/plain_text.h"

namespace expertscope {
namespace {

constexpr int kNoticeTime = 6000;  // milliseconds
constexpr int kWidth = 380;        // pixels
constexpr int kEdge = 12;          // pixels to the parent's edges
constexpr int kStripe = 5;         // pixels of the strip of colour
constexpr int kMostLines = 12;     // of text; what is longer can be scrolled

/// Reads like a label, but breaks names that are longer than a line and scrolls what is too long.
QTextEdit* make_text() {
  auto* text = new QTextEdit;
  text->setObjectName(QStringLiteral("banner_text"));
  text->setAcceptRichText(false);
  text->setReadOnly(true);
  text->setFrameShape(QFrame::NoFrame);
  text->setFocusPolicy(Qt::ClickFocus);
  text->setWordWrapMode(QTextOption::WrapAtWordBoundaryOrAnywhere);
  text->setHorizontalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
  text->viewport()->setAutoFillBackground(false);
  text->document()->setDocumentMargin(0);
  return text;
}

}  // namespace

MessageBanner::MessageBanner(QWidget* parent)
    : QFrame(parent),
      text_(make_text()),
      offer_button_(new QPushButton),
      close_(new QPushButton(tr("Close"))),
      fade_(new QTimer(this)) {
  setObjectName(QStringLiteral("banner"));
  offer_button_->setObjectName(QStringLiteral("banner_offer"));
  close_->setObjectName(QStringLiteral("banner_close"));
  for (QPushButton* button : {offer_button_, close_}) {
    // A click that makes the message go leaves the keyboard where it was.
    button->setFocusPolicy(Qt::TabFocus);
  }
  auto* buttons = new QHBoxLayout;
  buttons->addStretch(1);
  buttons->addWidget(offer_button_);
  buttons->addWidget(close_);
  auto* layout = new QVBoxLayout(this);
  layout->setContentsMargins(kStripe + 10, 10, 10, 8);
  layout->setSpacing(6);
  layout->addWidget(text_);
  layout->addLayout(buttons);
  fade_->setSingleShot(true);
  fade_->setInterval(kNoticeTime);
  connect(fade_, &QTimer::timeout, this, &MessageBanner::dismiss_notice);
  connect(close_, &QPushButton::clicked, this, &MessageBanner::dismiss_all);
  connect(offer_button_, &QPushButton::clicked, this, [this] {
    const BannerOffer taken = std::exchange(offer_, {});
    dismiss_all();
    if (taken.take) taken.take();
  });
  if (parent != nullptr) parent->installEventFilter(this);
  hide();
}

QString MessageBanner::message() const {
  return text_->toPlainText();
}

void MessageBanner::show_error(const QString& message, const BannerOffer& offer) {
  show_trouble(Trouble::error, message, offer);
}

void MessageBanner::show_warning(const QString& message) {
  show_trouble(Trouble::warning, message, {});
}

void MessageBanner::show_trouble(Trouble trouble, const QString& message, const BannerOffer& offer) {
  // A notice with an offer stays, below what went wrong; there is one button only.
  const bool notice_offers = !notice_.isEmpty() && !fade_->isActive();
  trouble_ = trouble;
  unread_ = message;
  if (!notice_offers || offer.take) {
    notice_.clear();
    fade_->stop();
    set_offer(offer);
  }
  update_message();
}

void MessageBanner::show_notice(const QString& message, const BannerOffer& offer) {
  // What went wrong stays until it is closed; a notice stands below it.
  notice_ = message;
  if (trouble_ == Trouble::none || offer.take) set_offer(offer);
  fade_->stop();
  if (!offer.take) fade_->start();
  update_message();
}

void MessageBanner::dismiss_trouble() {
  if (trouble_ == Trouble::none) return;
  trouble_ = Trouble::none;
  unread_.clear();
  if (fade_->isActive() || notice_.isEmpty()) set_offer({});
  update_message();
}

void MessageBanner::dismiss_notice() {
  notice_.clear();
  update_message();
}

void MessageBanner::dismiss_all() {
  trouble_ = Trouble::none;
  unread_.clear();
  notice_.clear();
  fade_->stop();
  set_offer({});
  update_message();
}

void MessageBanner::set_offer(const BannerOffer& offer) {
  offer_ = offer;
  offer_button_->setText(offer.text);
  offer_button_->setVisible(offer.take != nullptr);
}

void MessageBanner::update_message() {
  QStringList parts{unread_, notice_};
  parts.removeAll(QString());
  const QString message = visible(parts.join(QLatin1Char('\n')), LineBreaks::keep);  // with names from files
  text_->setPlainText(message);
  setAccessibleName(is_error() ? tr("Error: %1").arg(message) : message);
  setVisible(!message.isEmpty());
  if (message.isEmpty()) return;
  place();
  raise();
  update();
}

void MessageBanner::place() {
  if (message().isEmpty()) return;
  const QWidget* over = parentWidget();
  const int width = over != nullptr ? std::min(kWidth, over->width() - 2 * kEdge) : kWidth;
  const QMargins margins = layout()->contentsMargins();
  const int line = text_->fontMetrics().lineSpacing();
  text_->document()->setTextWidth(width - margins.left() - margins.right());
  const int needed = static_cast<int>(std::ceil(text_->document()->size().height()));
  const bool scrolls = needed > kMostLines * line;
  text_->setVerticalScrollBarPolicy(scrolls ? Qt::ScrollBarAlwaysOn : Qt::ScrollBarAlwaysOff);
  text_->setFixedHeight(std::min(needed, kMostLines * line));
  layout()->invalidate();
  resize(width, layout()->sizeHint().height());
  if (over != nullptr) move(over->width() - width - kEdge, over->height() - height() - kEdge);
}

bool MessageBanner::eventFilter(QObject* watched, QEvent* event) {
  if (watched == parentWidget() && event->type() == QEvent::Resize) place();
  return QFrame::eventFilter(watched, event);
}

void MessageBanner::changeEvent(QEvent* event) {
  QFrame::changeEvent(event);
  if (event->type() == QEvent::FontChange || event->type() == QEvent::StyleChange) place();
}

void MessageBanner::paintEvent(QPaintEvent*) {
  // The kind shows as a strip of colour at the left and as text, never by colour alone.
  QPainter painter(this);
  painter.fillRect(rect(), palette().color(QPalette::AlternateBase));
  const DesignColours& colours = design_colours(palette());
  const QColor accent = trouble_ == Trouble::error     ? colours.error
                        : trouble_ == Trouble::warning ? colours.warning
                                                       : colours.good;
  painter.fillRect(QRect(0, 0, kStripe, height()), accent);
  painter.setPen(palette().color(QPalette::Mid));
  painter.drawRect(rect().adjusted(0, 0, -1, -1));
}

}  // namespace expertscope
