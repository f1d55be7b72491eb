// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/window/frame_sizes.h"

namespace expertscope {
namespace {

constexpr int kFewestLines = 2;
constexpr int kCompactColumn = 300;

/// Pixels above and below the map: menus, tabs, the view's bar, the text and the status bar.
int around_map(const FrameSizes& sizes) {
  return 28 + 28 + 34 + text_height(sizes.text_lines) + 24;
}

bool has_half(const QSize& window, const FrameSizes& sizes) {
  const int map = (window.width() - sizes.column) * (window.height() - around_map(sizes));
  return 2 * map >= window.width() * window.height();
}

}  // namespace

int text_height(int lines) {
  constexpr int kBar = 26;
  constexpr int kPrompt = 38;
  constexpr int kLine = 22;
  return kBar + lines * kLine + kPrompt;
}

FrameSizes frame_sizes(const QSize& window) {
  FrameSizes sizes;
  const int width = window.width();
  sizes.column = width >= 2560 ? 640 : width >= 1600 ? 576 : width >= 1440 ? 300 : width >= 1280 ? 280 : 248;
  const int height = window.height();
  sizes.lists = height >= 1000 ? 200 : height >= 780 ? 160 : 120;
  const int lines = height >= 1400 ? 6 : height >= 1000 ? 5 : height >= 780 ? 4 : kFewestLines;
  for (sizes.text_lines = lines; sizes.text_lines > kFewestLines && !has_half(window, sizes);) {
    --sizes.text_lines;
  }
  // A wide and low window: the column gives way, too.
  if (!has_half(window, sizes) && sizes.column > kCompactColumn) sizes.column = kCompactColumn;
  sizes.column_goes_down = sizes.column > kCompactColumn;
  return sizes;
}

}  // namespace expertscope
