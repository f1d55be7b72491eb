// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace expertscope {

enum class ColourMap : std::uint8_t {
  viridis,         ///< sequential (matplotlib, CC0)
  diverging,       ///< blue - light grey - orange, for signed differences
  diverging_dark,  ///< the same on a dark ground: light blue - dark grey - light orange
};

/// 256 colours, dark to light (viridis) or negative to positive (diverging); 0xffRRGGBB, as QRgb.
const std::array<std::uint32_t, 256>& colour_table(ColourMap map);

/// Round values in [low, high], ascending, at most about `wanted`: multiples of 1, 2 or 5 times a power of
/// ten; with `logarithmic`, and low > 0, powers of ten, and where there are few also 2 and 5 times these;
/// with `logarithmic` and low = -high, 0 and the two largest powers of ten on both sides of it.
std::vector<double> round_ticks(double low, double high, bool logarithmic, int wanted);

/// Maps values to table positions, linearly or by logarithm. Immutable value type.
struct ColourScale {
  double low = 0;
  double high = 1;
  /// With low > 0 values <= 0 take the lowest colour. With low = -high it is logarithmic on both sides of 0,
  /// and linear within a hundredth of high around it: sign(v) log(1 + 100 |v| / high) / log(101).
  bool logarithmic = false;

  /// Position in [0, 1]; values outside are clamped. A scale without extent maps everything to 0.
  double position(double value) const;
  /// The value at a position; the inverse of position() inside the scale.
  double value_at(double position) const;
  std::uint32_t colour(double value, ColourMap map) const;
  /// For the legend.
  std::vector<double> ticks(int wanted) const;
};

}  // namespace expertscope
