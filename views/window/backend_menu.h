// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QMenu>

#include "engine/backend/backend_info.h"

class QActionGroup;

namespace expertscope {

class BackendSetting;

/// Run > Backend: automatic, the CPU, or one of the GPUs, which are looked for when the menu is opened first.
class BackendMenu final : public QMenu {
  Q_OBJECT
 public:
  /// `setting` is not owned and outlives the menu.
  explicit BackendMenu(BackendSetting& setting, QWidget* parent = nullptr);

 private:
  void fill();
  QAction* add_choice(const BackendChoice& choice, const QString& name, const QString& text);
  void add_devices();
  void add_note(const QString& text);

  BackendSetting& setting_;
  QActionGroup* group_;
};

}  // namespace expertscope
