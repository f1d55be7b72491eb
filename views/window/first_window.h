// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QRect>

namespace expertscope {

/// Where a window goes that nobody has placed yet: all of a small screen, nine tenths of a large one, in its
/// middle, with room for the frame that the desktop puts around it. `available` is the screen without panels
/// and docks; both are in logical pixels, without the frame.
QRect first_window(const QRect& available);

}  // namespace expertscope
