// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/models/colour_map.h"

namespace expertscope {
namespace {

constexpr std::array<QRgb, 7> kOkabeIto = {0xffe69f00, 0xff56b4e9, 0xff009e73, 0xfff0e442,
                                           0xff0072b2, 0xffd55e00, 0xffcc79a7};

}  // namespace

QColor category_colour(int index) {
  return QColor::fromRgb(kOkabeIto[static_cast<std::size_t>(index) % kOkabeIto.size()]);
}

QColor readable_on(QRgb background) {
  // Relative luminance after WCAG 2, gamma approximated by a square.
  const auto square = [](int c) { return (c / 255.0) * (c / 255.0); };
  const double luminance = 0.2126 * square(qRed(background)) + 0.7152 * square(qGreen(background)) +
                           0.0722 * square(qBlue(background));
  return luminance > 0.2 ? QColor(Qt::black) : QColor(Qt::white);
}

}  // namespace expertscope
