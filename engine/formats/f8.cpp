// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/formats/f8.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

#include "engine/half.h"

namespace expertscope {

float e4m3_to_f32(std::uint8_t value) {
  constexpr std::uint32_t kNan = 0x7f;
  if ((value & 0x7fu) == kNan) return std::numeric_limits<float>::quiet_NaN();
  // The same bits in binary16 are a number with an exponent that is 8 too low.
  return 0x1p8f * f16_to_f32(static_cast<std::uint16_t>((value & 0x80u) << 8 | (value & 0x7fu) << 7));
}

float e8m0_to_f32(std::uint8_t value) {
  if (value == 0xff) return std::numeric_limits<float>::quiet_NaN();
  if (value == 0) return 0x1p-127f;  // below the normal numbers of a float
  return std::bit_cast<float>(static_cast<std::uint32_t>(value) << 23);
}

void dequantise_f8_e4m3(const WeightRow& row, std::int64_t first, std::int64_t count, float* to) {
  const std::int64_t end = first + count;
  for (std::int64_t i = first; i < end;) {
    const std::int64_t block = i / row.scale_cols;
    float scale = 0;
    std::memcpy(&scale, row.scales + static_cast<std::size_t>(block) * sizeof(scale), sizeof(scale));
    const std::int64_t block_end = std::min(end, (block + 1) * row.scale_cols);
    for (; i < block_end; ++i)
      *to++ = scale * e4m3_to_f32(row.data[i]);
  }
}

void dequantise_f8_e8m0(const WeightRow& row, std::int64_t first, std::int64_t count, float* to) {
  for (std::int64_t i = 0; i < count; ++i)
    to[i] = e8m0_to_f32(row.data[first + i]);
}

}  // namespace expertscope
