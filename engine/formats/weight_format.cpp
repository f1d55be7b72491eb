// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/formats/weight_format.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace expertscope {
namespace {

std::uint16_t load_half(const std::uint8_t* from) {
  std::uint16_t half = 0;
  std::memcpy(&half, from, sizeof(half));
  return half;
}

void widen_f32(const std::uint8_t* from, std::size_t count, float* to) {
  std::memcpy(to, from, count * sizeof(float));
}

void widen_f16(const std::uint8_t* from, std::size_t count, float* to) {
  for (std::size_t i = 0; i < count; ++i)
    to[i] = f16_to_f32(load_half(from + 2 * i));
}

void widen_bf16(const std::uint8_t* from, std::size_t count, float* to) {
  for (std::size_t i = 0; i < count; ++i)
    to[i] = bf16_to_f32(load_half(from + 2 * i));
}

/// A block is a scale of F16 and 32 integers of 8 bits (block_q8_0 in ggml-common.h).
void widen_q8_0(const std::uint8_t* from, std::size_t count, float* to) {
  constexpr std::size_t kElements = 32;
  for (std::size_t begin = 0; begin < count; begin += kElements, from += sizeof(std::uint16_t) + kElements) {
    const float scale = f16_to_f32(load_half(from));
    for (std::size_t i = 0; i < kElements; ++i)
      to[begin + i] = scale * static_cast<float>(static_cast<std::int8_t>(from[sizeof(std::uint16_t) + i]));
  }
}

constexpr std::array kFormats = {WeightFormat{"F32", 1, 4, DType::f32, widen_f32},
                                 WeightFormat{"F16", 1, 2, DType::f16, widen_f16},
                                 WeightFormat{"BF16", 1, 2, DType::bf16, widen_bf16},
                                 WeightFormat{"Q8_0", 32, 34, std::nullopt, widen_q8_0}};

}  // namespace

const WeightFormat* find_weight_format(std::string_view name) {
  const auto* it = std::find_if(kFormats.begin(), kFormats.end(),
                                [&](const WeightFormat& format) { return format.name == name; });
  return it == kFormats.end() ? nullptr : it;
}

}  // namespace expertscope
