// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QDialog>

class QMenuBar;

namespace expertscope {

/// Every action with a shortcut, menu by menu, as the menu bar has them now, and what the mouse does.
class ShortcutSheet final : public QDialog {
  Q_OBJECT
 public:
  explicit ShortcutSheet(const QMenuBar& menus, QWidget* parent = nullptr);

  /// The sheet as rich text.
  static QString text(const QMenuBar& menus);
};

}  // namespace expertscope
