// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QSize>

namespace expertscope {

/// The smallest window that shows everything.
inline constexpr QSize kSmallestWindow{1024, 700};

/// What views get beside and below the map, in logical pixels. The map has the rest: at least half of the
/// window at every size.
struct FrameSizes {
  int column = 0;                 ///< width of the side column
  int lists = 0;                  ///< height of its lists while something is selected
  int text_lines = 0;             ///< lines of tokens
  bool column_goes_down = false;  ///< to the status bar: the text is as wide as the map then

  bool operator==(const FrameSizes&) const = default;
};

FrameSizes frame_sizes(const QSize& window);
/// Height of the text with so many lines of tokens, its bar and a prompt of one line.
int text_height(int lines);

}  // namespace expertscope
