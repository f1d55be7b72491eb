// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/widgets/opening_progress.h"

#include <QHBoxLayout>
#include <QProgressBar>
#include <QToolButton>

#include "views/widgets/elided_label.h"

namespace expertscope {
namespace {

constexpr int kBarWidth = 140;  // pixels
constexpr int kSteps = 1000;

}  // namespace

OpeningProgress::OpeningProgress(QWidget* parent)
    : QWidget(parent), label_(new ElidedLabel), bar_(new QProgressBar), cancel_(new QToolButton) {
  setObjectName(QStringLiteral("opening"));
  label_->setObjectName(QStringLiteral("opening_text"));
  bar_->setFixedWidth(kBarWidth);
  bar_->setTextVisible(false);
  cancel_->setObjectName(QStringLiteral("opening_cancel"));
  cancel_->setText(tr("Cancel"));
  auto* layout = new QHBoxLayout(this);
  layout->setContentsMargins(4, 0, 4, 0);
  layout->addWidget(label_, 1);
  layout->addWidget(bar_);
  layout->addWidget(cancel_);
  connect(cancel_, &QToolButton::clicked, this, &OpeningProgress::cancelled);
  hide();
}

void OpeningProgress::begin(const QString& what) {
  what_ = what;
  show_phase({}, -1);
  show();
}

void OpeningProgress::show_phase(const QString& phase, double fraction) {
  label_->set_full_text(phase.isEmpty() ? tr("Opening %1").arg(what_)
                                        : tr("Opening %1: %2").arg(what_, phase));
  bar_->setRange(0, fraction < 0 ? 0 : kSteps);
  bar_->setValue(static_cast<int>(fraction * kSteps));
}

void OpeningProgress::end() {
  hide();
  label_->set_full_text({});
}

QString OpeningProgress::text() const {
  return label_->full_text();
}

}  // namespace expertscope
