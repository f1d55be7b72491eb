// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/window/backend_menu.h"

#include <QActionGroup>
#include <algorithm>

#include "views/models/backend_setting.h"

namespace expertscope {

BackendMenu::BackendMenu(BackendSetting& setting, QWidget* parent)
    : QMenu(tr("&Backend"), parent), setting_(setting), group_(new QActionGroup(this)) {
  setObjectName(QStringLiteral("backend_menu"));
  connect(&setting, &BackendSetting::changed, this, &BackendMenu::fill);
  connect(&setting, &BackendSetting::devices_found, this, &BackendMenu::fill);
  connect(this, &QMenu::aboutToShow, this, [this] {
    if (!setting_.devices()) setting_.look_for_devices();
  });
  fill();
}

void BackendMenu::fill() {
  clear();
  add_choice({}, QStringLiteral("backend_auto"), tr("&Automatic"));
  add_choice({BackendKind::cpu, 0}, QStringLiteral("backend_cpu"), tr("&CPU"));
  addSeparator();
  if (!setting_.devices()) {
    add_note(tr("Looking for GPUs…"));
  } else {
    add_devices();
  }
}

void BackendMenu::add_devices() {
  const auto& devices = *setting_.devices();
  const BackendChoice chosen = setting_.choice();
  bool listed = chosen.kind != BackendKind::cuda;
  if (devices) {
    for (const DeviceInfo& device : *devices) {
      listed = listed || chosen.device == device.index;
      // The device's name is the driver's: an ampersand in it is no shortcut.
      const QString name = device_name(device).replace(QLatin1Char('&'), QLatin1String("&&"));
      QAction* choice =
          add_choice({BackendKind::cuda, device.index}, QStringLiteral("backend_cuda_%1").arg(device.index),
                     tr("CUDA &%1: %2").arg(QString::number(device.index), name));
      choice->setEnabled(device.problem.empty());
    }
  } else {
    add_note(tr("CUDA: %1").arg(QString::fromStdString(devices.error().message)));
  }
  // A choice of another day stays visible.
  if (!listed) {
    add_choice(chosen, QStringLiteral("backend_cuda_%1").arg(chosen.device),
               tr("CUDA &%1: not there").arg(chosen.device));
  }
}

QAction* BackendMenu::add_choice(const BackendChoice& choice, const QString& name, const QString& text) {
  QAction* action = addAction(text);
  action->setObjectName(name);
  action->setCheckable(true);
  action->setChecked(setting_.choice() == choice);
  group_->addAction(action);
  // Queued: choosing fills the menu anew, this action included.
  connect(
      action, &QAction::triggered, &setting_, [this, choice] { setting_.choose(choice); },
      Qt::QueuedConnection);
  return action;
}

void BackendMenu::add_note(const QString& text) {
  QAction* action = addAction(text);
  action->setObjectName(QStringLiteral("backend_note"));
  action->setEnabled(false);
}

}  // namespace expertscope
