// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/widgets/recording_offer.h"

#include <QHBoxLayout>
#include <QLabel>
#include <QMessageBox>
#include <QPainter>
#include <QPushButton>
#include <QVBoxLayout>

#include "views/models/design.h"
#include "views/models/interrupted_recordings.h"

namespace expertscope {
namespace {

constexpr int kGap = 16;  // to what stands below, gone with the offer

}  // namespace

RecordingOffer::RecordingOffer(InterruptedRecordings& interrupted, QWidget* parent)
    : QFrame(parent), interrupted_(interrupted), title_(new QLabel), state_(new QLabel) {
  setObjectName(QStringLiteral("recording_offer"));
  for (QLabel* label : {title_, state_}) {
    label->setTextFormat(Qt::PlainText);  // prompts and names come from files
    label->setWordWrap(true);
  }
  title_->setObjectName(QStringLiteral("recording_offer_title"));
  state_->setObjectName(QStringLiteral("recording_offer_state"));
  QFont bold = title_->font();
  bold.setBold(true);
  title_->setFont(bold);
  auto* buttons = new QHBoxLayout;
  const auto add = [&](const char* name, const QString& text, const QString& tip) {
    auto* button = new QPushButton(text);
    button->setObjectName(QLatin1String(name));
    button->setToolTip(tip);
    buttons->addWidget(button);
    return button;
  };
  QPushButton* open = add("recording_open", tr("Open it"), tr("Show what was recorded"));
  QPushButton* later = add("recording_later", tr("Later"), tr("Ask again at the next start"));
  QPushButton* discard = add("recording_discard", tr("Delete…"), tr("Delete the recording for good"));
  buttons->addStretch(1);
  auto* layout = new QVBoxLayout(this);
  layout->setContentsMargins(12, 8, 12, 8 + kGap);
  layout->setSpacing(4);
  layout->addWidget(title_);
  layout->addWidget(state_);
  layout->addLayout(buttons);
  const auto with_newest = [this](auto act) {
    return [this, act] {
      const auto& list = interrupted_.list();
      if (!list.empty()) act(std::filesystem::path(list.front().file));
    };
  };
  connect(open, &QPushButton::clicked, this, with_newest([this](const std::filesystem::path& file) {
            Q_EMIT open_wanted(QString::fromStdString(file.string()));
          }));
  connect(later, &QPushButton::clicked, this,
          with_newest([this](const std::filesystem::path& file) { interrupted_.postpone(file); }));
  connect(discard, &QPushButton::clicked, this, &RecordingOffer::ask_and_discard);
  connect(&interrupted, &InterruptedRecordings::changed, this, &RecordingOffer::show_newest);
  show_newest();
}

void RecordingOffer::show_newest() {
  const auto& list = interrupted_.list();
  setVisible(!list.empty());
  if (list.empty()) return;
  title_->setText(tr("A recording was interrupted: %1").arg(recording_name(list.front())));
  QString state = recording_state(list.front());
  if (list.size() > 1) state += QLatin1Char(' ') + tr("%1 more were interrupted too.").arg(list.size() - 1);
  state_->setText(state);
}

void RecordingOffer::ask_and_discard() {
  const auto& list = interrupted_.list();
  if (list.empty()) return;
  auto* box = new QMessageBox(
      QMessageBox::Question, tr("Delete the recording"),
      tr("Delete the %1 tokens of %2?").arg(list.front().tokens).arg(recording_name(list.front())),
      QMessageBox::Cancel, this);
  box->setTextFormat(Qt::PlainText);
  box->setAttribute(Qt::WA_DeleteOnClose);
  QPushButton* discard = box->addButton(tr("Delete"), QMessageBox::DestructiveRole);
  discard->setObjectName(QStringLiteral("recording_discard_now"));
  connect(discard, &QPushButton::clicked, this,
          [this, file = list.front().file] { interrupted_.discard(file); });
  box->open();
}

void RecordingOffer::paintEvent(QPaintEvent* /*event*/) {
  QPainter painter(this);
  painter.setRenderHint(QPainter::Antialiasing);
  const DesignColours& colours = design_colours(palette());
  painter.setPen(colours.warning_edge);
  painter.setBrush(colours.warning_ground);
  painter.drawRoundedRect(QRectF(rect()).adjusted(0.5, 0.5, -0.5, -0.5 - kGap), 3, 3);
}

}  // namespace expertscope
