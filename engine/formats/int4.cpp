// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/formats/int4.h"

#include <algorithm>
#include <cstring>

#include "engine/half.h"

namespace expertscope {
namespace {

struct Bf16Scale {
  using Stored = std::uint16_t;
  static float widen(Stored scale) { return bf16_to_f32(scale); }
  static float round(float weight) { return bf16_to_f32(f32_to_bf16(weight)); }
};
struct F16Scale {
  using Stored = std::uint16_t;
  static float widen(Stored scale) { return f16_to_f32(scale); }
  static float round(float weight) { return f16_to_f32(f32_to_f16(weight)); }
};
struct F32Scale {
  using Stored = float;
  static float widen(Stored scale) { return scale; }
  static float round(float weight) { return weight; }
};

/// Number `i` of a row.
template <int kBits>
int number(const std::uint8_t* data, std::int64_t i) {
  return kBits == 8 ? data[i] : data[i / 2] >> (i % 2 * 4) & 15;
}

template <int kBits, class Scale>
void dequantise(const WeightRow& row, std::int64_t first, std::int64_t count, float* to) {
  constexpr int kMiddle = kBits == 8 ? kInt8Middle : kInt4Middle;
  const std::int64_t end = first + count;
  for (std::int64_t i = first; i < end;) {
    const std::int64_t group = i / row.scale_cols;
    typename Scale::Stored stored;
    std::memcpy(&stored, row.scales + static_cast<std::size_t>(group) * sizeof(stored), sizeof(stored));
    const float scale = Scale::widen(stored);
    const int zero = row.zeros == nullptr ? kMiddle : row.zeros[group];
    const std::int64_t group_end = std::min(end, (group + 1) * row.scale_cols);
    for (; i < group_end; ++i)
      *to++ = Scale::round(static_cast<float>(number<kBits>(row.data, i) - zero) * scale);
  }
}

}  // namespace

void dequantise_int4_bf16(const WeightRow& row, std::int64_t first, std::int64_t count, float* to) {
  dequantise<4, Bf16Scale>(row, first, count, to);
}
void dequantise_int4_f16(const WeightRow& row, std::int64_t first, std::int64_t count, float* to) {
  dequantise<4, F16Scale>(row, first, count, to);
}
void dequantise_int4_f32(const WeightRow& row, std::int64_t first, std::int64_t count, float* to) {
  dequantise<4, F32Scale>(row, first, count, to);
}
void dequantise_int8_bf16(const WeightRow& row, std::int64_t first, std::int64_t count, float* to) {
  dequantise<8, Bf16Scale>(row, first, count, to);
}
void dequantise_int8_f16(const WeightRow& row, std::int64_t first, std::int64_t count, float* to) {
  dequantise<8, F16Scale>(row, first, count, to);
}
void dequantise_int8_f32(const WeightRow& row, std::int64_t first, std::int64_t count, float* to) {
  dequantise<8, F32Scale>(row, first, count, to);
}

}  // namespace expertscope
