// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>

#include "engine/formats/weight_format.h"

/// Weights of 8 bits: E4M3 numbers and factors in a plane beside the matrix (`weight_scale_inv` or
/// `weight_scale` of safetensors), one for a block of 128 x 128 as DeepSeek-V3 stores them, for another
/// block, for a row or for the whole matrix.
namespace expertscope {

/// A factor in F32 a block, whatever its type in the file; StoredTensors widens it.
inline constexpr ScalePlane kF8Scales = {128, 128, sizeof(float)};

/// FP8 E4M3: a sign, 4 bits of exponent (bias 7), 3 of fraction; largest 448, no infinity, and one magnitude
/// that is NaN (Micikevicius et al. 2022, "FP8 formats for deep learning").
float e4m3_to_f32(std::uint8_t value);
/// A power of two, 2^(value - 127); 255 is NaN (the scales of OCP's Microscaling formats, 2023).
float e8m0_to_f32(std::uint8_t value);

void dequantise_f8_e4m3(const WeightRow& row, std::int64_t first, std::int64_t count, float* to);
void dequantise_f8_e8m0(const WeightRow& row, std::int64_t first, std::int64_t count, float* to);

/// Of scales; weights are never in it.
inline constexpr WeightFormat kE8M0Format = {FormatId::other, "F8_E8M0", {1, 1}, {}, dequantise_f8_e8m0};

}  // namespace expertscope
