// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QWidget>

namespace expertscope {

/// Enables or disables a control that may hold the keyboard: Qt would hand it on to whatever comes next, this
/// names who gets it.
inline void set_enabled(QWidget& control, bool enabled, QWidget& heir) {
  if (!enabled && control.hasFocus()) heir.setFocus();
  control.setEnabled(enabled);
}

}  // namespace expertscope
