// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/widgets/message_banner.h"

#include <QHBoxLayout>
#include <QLabel>
#include <QPainter>
#include <QProgressBar>
#include <QPushButton>
#include <QTimer>
#include <utility>

#include "views/models/colour_map.h"
#include "views/models/plain_text.h"

namespace expertscope {
namespace {

constexpr int kNoticeTime = 6000;  // milliseconds

}  // namespace

MessageBanner::MessageBanner(QWidget* parent)
    : QFrame(parent),
      text_(new QLabel),
      progress_(new QProgressBar),
      offer_button_(new QPushButton),
      cancel_(new QPushButton(tr("Cancel"))),
      close_(new QPushButton(tr("Close"))),
      fade_(new QTimer(this)) {
  setObjectName(QStringLiteral("banner"));
  text_->setObjectName(QStringLiteral("banner_text"));
  text_->setWordWrap(true);
  text_->setTextFormat(Qt::PlainText);  // messages quote what files say
  text_->setTextInteractionFlags(Qt::TextSelectableByMouse);
  progress_->setMaximumWidth(240);
  progress_->setRange(0, 1000);
  progress_->setTextVisible(false);
  cancel_->setObjectName(QStringLiteral("banner_cancel"));
  offer_button_->setObjectName(QStringLiteral("banner_offer"));
  auto* layout = new QHBoxLayout(this);
  layout->setContentsMargins(14, 6, 8, 6);
  layout->addWidget(text_, 1);
  layout->addWidget(progress_);
  layout->addWidget(offer_button_);
  layout->addWidget(cancel_);
  layout->addWidget(close_);
  fade_->setSingleShot(true);
  fade_->setInterval(kNoticeTime);
  connect(fade_, &QTimer::timeout, this, &QWidget::hide);
  connect(close_, &QPushButton::clicked, this, &QWidget::hide);
  connect(cancel_, &QPushButton::clicked, this, &MessageBanner::cancelled);
  connect(offer_button_, &QPushButton::clicked, this, [this] {
    const BannerOffer taken = std::exchange(offer_, {});
    hide();
    if (taken.take) taken.take();
  });
  hide();
}

QString MessageBanner::message() const {
  return text_->text();
}

void MessageBanner::show_kind(Kind kind, const QString& message, const BannerOffer& offer) {
  const QString shown = visible(message, LineBreaks::keep);  // names in it come from files
  kind_ = kind;
  offer_ = offer;
  offer_button_->setText(offer.text);
  offer_button_->setVisible(offer.take != nullptr);
  text_->setText(shown);
  setAccessibleName(kind == Kind::error ? tr("Error: %1").arg(shown) : shown);
  progress_->setVisible(kind == Kind::progress);
  cancel_->setVisible(kind == Kind::progress);
  close_->setVisible(kind != Kind::progress);
  fade_->stop();
  if (kind == Kind::notice && !offer.take) fade_->start();
  show();
  update();
}

void MessageBanner::show_error(const QString& message, const BannerOffer& offer) {
  unread_ = message;
  show_kind(Kind::error, message, offer);
}

void MessageBanner::show_warning(const QString& message) {
  unread_ = message;
  show_kind(Kind::warning, message);
}

void MessageBanner::show_notice(const QString& message, const BannerOffer& offer) {
  // What went wrong stays until it is closed; a notice stands below it.
  if (isVisible() && (kind_ == Kind::error || kind_ == Kind::warning)) {
    show_kind(kind_, unread_ + QLatin1Char('\n') + message, offer.take ? offer : offer_);
    return;
  }
  show_kind(Kind::notice, message, offer);
}

void MessageBanner::show_progress(const QString& what, double fraction) {
  show_kind(Kind::progress, what);
  progress_->setRange(0, fraction < 0 ? 0 : 1000);
  progress_->setValue(static_cast<int>(fraction * 1000));
}

void MessageBanner::end_progress() {
  if (kind_ == Kind::progress) hide();
}

void MessageBanner::paintEvent(QPaintEvent*) {
  // The kind shows as a strip of colour at the left and as text, never by colour alone.
  QPainter painter(this);
  painter.fillRect(rect(), palette().color(QPalette::AlternateBase));
  const QColor accent = kind_ == Kind::error     ? category_colour(5)
                        : kind_ == Kind::warning ? category_colour(0)
                        : kind_ == Kind::notice  ? category_colour(1)
                                                 : palette().color(QPalette::Highlight);
  painter.fillRect(QRect(0, 0, 5, height()), accent);
}

}  // namespace expertscope
