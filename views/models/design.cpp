// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/models/design.h"

#include <QFontInfo>
#include <algorithm>
#include <cmath>

namespace expertscope {

bool is_dark(const QPalette& palette) {
  return palette.color(QPalette::Base).lightness() < 128;
}

const DesignColours& design_colours(const QPalette& palette) {
  static const DesignColours light{QColor(0xad3d08), QColor(0x734600), QColor(0xfff2d4), QColor(0xe0b65c),
                                   QColor(0xb0241c), QColor(0x1a6b40), QColor(0x2c7fb8), QColor(0xd55e00),
                                   QColor(0xdfe3e8), QColor(0x697482), QColor(0x4fb0ff)};
  static const DesignColours dark{QColor(0xffab52), QColor(0xf0c567), QColor(0x372c12), QColor(0x6b5520),
                                  QColor(0xff8f85), QColor(0x74cf9b), QColor(0x4f9fd6), QColor(0xf0883e),
                                  QColor(0x343a43), QColor(0x8f99a6), QColor(0x7cc4ff)};
  return is_dark(palette) ? dark : light;
}

QColor readable_on(QRgb background) {
  // Relative luminance of WCAG 2.2; at 0.18 black and white have the same contrast.
  const auto linear = [](int c) {
    const double part = c / 255.0;
    return part <= 0.04045 ? part / 12.92 : std::pow((part + 0.055) / 1.055, 2.4);
  };
  const double luminance = 0.2126 * linear(qRed(background)) + 0.7152 * linear(qGreen(background)) +
                           0.0722 * linear(qBlue(background));
  return luminance > 0.18 ? QColor(Qt::black) : QColor(Qt::white);
}

QFont small_font(const QFont& font) {
  QFont small = font;
  small.setPixelSize(std::min(kSmallText, QFontInfo(font).pixelSize()));
  return small;
}

QFont heading_font(const QFont& font, double factor) {
  QFont heading = font;
  heading.setPixelSize(static_cast<int>(std::lround(QFontInfo(font).pixelSize() * factor)));
  heading.setBold(true);
  return heading;
}

}  // namespace expertscope
