// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>

#include "engine/formats/weight_format.h"

/// Weights of 4 or 8 bits in groups of a row, as compressed-tensors packs them: integers without a sign, the
/// lowest bits of a byte first, and planes of scales and of zero points with an element a group. What GPTQ
/// and AWQ store is brought into this order when a model opens (engine/model/packed_weights.h).
///
/// A weight is (number - zero point) * scale, rounded to the type of the scale, as those three programs and
/// transformers widen it. So BF16 holds every weight whose scale is BF16, and F16 that of an F16 scale.
namespace expertscope {

inline constexpr BlockSize kInt4Block{32, 16};
inline constexpr BlockSize kInt8Block{32, 32};
/// What a group usually is.
inline constexpr ScalePlane kGroupsOf128{1, 128, 2};
inline constexpr ScalePlane kF32GroupsOf128{1, 128, 4};

/// Zero points where there is no plane of them.
inline constexpr std::uint8_t kInt4Middle = 8;
inline constexpr std::uint8_t kInt8Middle = 128;

/// WeightFormat::dequantise; the last letters say what a scale is.
void dequantise_int4_bf16(const WeightRow& row, std::int64_t first, std::int64_t count, float* to);
void dequantise_int4_f16(const WeightRow& row, std::int64_t first, std::int64_t count, float* to);
void dequantise_int4_f32(const WeightRow& row, std::int64_t first, std::int64_t count, float* to);
void dequantise_int8_bf16(const WeightRow& row, std::int64_t first, std::int64_t count, float* to);
void dequantise_int8_f16(const WeightRow& row, std::int64_t first, std::int64_t count, float* to);
void dequantise_int8_f32(const WeightRow& row, std::int64_t first, std::int64_t count, float* to);

}  // namespace expertscope
