// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>

#include "engine/formats/weight_format.h"

/// Weights of 4 bits as gpt-oss ships them (OCP Microscaling Formats 1.0, 2023): 32 numbers E2M1 of a row
/// share a power of two. Numbers and scales are two tensors of bytes, `<name>_blocks` [..., blocks, 16], in
/// which the lower half of a byte comes first, and `<name>_scales` [..., blocks].
namespace expertscope {

inline constexpr BlockSize kMxfp4Block{32, 16};
/// E8M0 (engine/formats/f8.h), in place.
inline constexpr ScalePlane kMxfp4Scales{1, 32, 1};

/// FP4 E2M1 of the lower 4 bits: 0, 0.5, 1, 1.5, 2, 3, 4, 6, and the same below zero.
float e2m1_to_f32(std::uint8_t value);

/// WeightFormat::dequantise; exact in f32.
void dequantise_mxfp4(const WeightRow& row, std::int64_t first, std::int64_t count, float* to);

}  // namespace expertscope
