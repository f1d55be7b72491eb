// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/formats/q8_0.h"

#include <cstring>

#include "engine/half.h"

namespace expertscope {

void dequantise_q8_0(const WeightRow& row, std::int64_t first, std::int64_t count, float* to) {
  constexpr auto kElements = static_cast<std::int64_t>(kQ8_0Block.elements);
  const std::uint8_t* block = row.data + static_cast<std::size_t>(first / kElements) * kQ8_0Block.bytes;
  for (std::int64_t begin = 0; begin < count; begin += kElements, block += kQ8_0Block.bytes) {
    std::uint16_t half = 0;
    std::memcpy(&half, block, sizeof(half));
    const float scale = f16_to_f32(half);
    for (std::int64_t i = 0; i < kElements; ++i)
      to[begin + i] = scale * static_cast<float>(static_cast<std::int8_t>(block[sizeof(half) + i]));
  }
}

}  // namespace expertscope
