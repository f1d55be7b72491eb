// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/formats/mxfp4.h"

#include <array>

#include "engine/formats/f8.h"

namespace expertscope {

float e2m1_to_f32(std::uint8_t value) {
  constexpr std::array<float, 8> kMagnitudes = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6};
  const float magnitude = kMagnitudes[value & 7u];
  return (value & 8u) != 0 ? -magnitude : magnitude;
}

void dequantise_mxfp4(const WeightRow& row, std::int64_t first, std::int64_t count, float* to) {
  for (std::int64_t i = first; i < first + count; i += 2) {
    const float scale = e8m0_to_f32(row.scales[i / kMxfp4Scales.cols]);
    const std::uint8_t both = row.data[i / 2];
    *to++ = scale * e2m1_to_f32(both & 15u);
    *to++ = scale * e2m1_to_f32(both >> 4);
  }
}

}  // namespace expertscope
