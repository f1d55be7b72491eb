// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <bit>
#include <cstdint>

/// Numbers of 16 bits.
namespace expertscope {

/// bfloat16 is the upper half of an IEEE-754 float.
inline float bf16_to_f32(std::uint16_t value) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(value) << 16);
}

/// Rounds to nearest, ties to even; NaN stays NaN.
inline std::uint16_t f32_to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<std::uint16_t>((bits >> 16) | 0x40u);
  return static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

/// IEEE-754 binary16 to float, subnormals included.
inline float f16_to_f32(std::uint16_t value) {
  const std::uint32_t magnitude = (value & 0x7fffu) << 13;
  const std::uint32_t special = magnitude >= 0x0f800000u ? 0x7f800000u : 0u;  // infinity and NaN
  // The exponents are counted from places that lie 112 apart.
  const auto bits = std::bit_cast<std::uint32_t>(std::bit_cast<float>(magnitude) * 0x1p112f) | special;
  return std::bit_cast<float>(bits | (value & 0x8000u) << 16);
}

/// Rounds to nearest, ties to even; overflow becomes infinity.
std::uint16_t f32_to_f16(float value);

}  // namespace expertscope
