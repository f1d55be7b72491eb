// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QDialog>

class QMenuBar;

namespace expertscope {

/// Property of an action whose text changes with what it would do ("Undo prune expert 3"): the command alone.
inline constexpr const char* kCommandProperty = "command";

/// Every action with a shortcut, menu by menu, as the menu bar has them now, and what the mouse does.
class ShortcutSheet final : public QDialog {
  Q_OBJECT
 public:
  explicit ShortcutSheet(const QMenuBar& menus, QWidget* parent = nullptr);

  /// The sheet as rich text.
  static QString text(const QMenuBar& menus);
};

}  // namespace expertscope
