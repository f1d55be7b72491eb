// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QColor>
#include <QRgb>
#include <array>
#include <cstdint>
#include <vector>

namespace expertscope {

enum class ColourMap : std::uint8_t {
  viridis,    ///< sequential (matplotlib, CC0)
  diverging,  ///< blue - light grey - orange, for signed differences
};

/// 256 colours, dark to light (viridis) or negative to positive (diverging).
const std::array<QRgb, 256>& colour_table(ColourMap map);

/// The colour-blind safe categorical palette of Okabe and Ito (2008); index 0 .. 6, repeats.
QColor category_colour(int index);

/// Black or white, whichever reads better on `background`.
QColor readable_on(QRgb background);

/// Maps values to table positions, linearly or by logarithm. Immutable value type.
struct ColourScale {
  double low = 0;
  double high = 1;
  bool logarithmic = false;  ///< needs low > 0; values <= 0 take the lowest colour

  /// Position in [0, 1]; values outside are clamped. A scale without extent maps everything to 0.
  double position(double value) const;
  /// The value at a position; the inverse of position() inside the scale.
  double value_at(double position) const;
  QRgb colour(double value, ColourMap map) const;
  /// Round values inside the scale for the legend, ascending, at most about `wanted`.
  std::vector<double> ticks(int wanted) const;
};

}  // namespace expertscope
