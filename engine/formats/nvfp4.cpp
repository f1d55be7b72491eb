// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/formats/nvfp4.h"

#include "engine/formats/mxfp4.h"

namespace expertscope {

void dequantise_nvfp4(const WeightRow& row, std::int64_t first, std::int64_t count, float* to) {
  for (std::int64_t i = first; i < first + count; i += 2) {
    const float scale = row.scale_values[row.scales[i / kNvfp4Scales.cols]];
    const std::uint8_t both = row.data[i / 2];
    *to++ = scale * e2m1_to_f32(both & 15u);
    *to++ = scale * e2m1_to_f32(both >> 4);
  }
}

}  // namespace expertscope
