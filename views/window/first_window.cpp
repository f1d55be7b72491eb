// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/window/first_window.h"

#include <algorithm>

namespace expertscope {
namespace {

// A desktop's frame; how wide it is shows only after the window is there.
constexpr int kBorder = 4;
constexpr int kTitle = 36;
// Up to this size a window needs all there is.
constexpr QSize kComfortable(1440, 900);

}  // namespace

QRect first_window(const QRect& available) {
  const QRect inside = available.adjusted(kBorder, kTitle, -kBorder, -kBorder);
  const auto size = [](int room, int comfortable) {
    return std::min(room, std::max(comfortable, room * 9 / 10));
  };
  QRect window(
      {}, QSize(size(inside.width(), kComfortable.width()), size(inside.height(), kComfortable.height())));
  window.moveCenter(inside.center());
  return window;
}

}  // namespace expertscope
