// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace expertscope {

/// Storage type of a weight tensor.
enum class DType : std::uint8_t { f32, f16, bf16 };

/// Bytes of one element.
constexpr std::size_t dtype_size(DType type) {
  return type == DType::f32 ? 4 : 2;
}

/// Name as people write it: "F32", "F16", "BF16".
constexpr const char* dtype_name(DType type) {
  return type == DType::f32 ? "F32" : type == DType::f16 ? "F16" : "BF16";
}

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
float f16_to_f32(std::uint16_t value);

/// Rounds to nearest, ties to even; overflow becomes infinity.
std::uint16_t f32_to_f16(float value);

}  // namespace expertscope
