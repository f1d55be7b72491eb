// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>

#include "engine/formats/weight_format.h"

/// Weights of 4 bits as NVIDIA's ModelOpt and llm-compressor store them: 16 numbers E2M1 of a row
/// (engine/formats/mxfp4.h) share a scale E4M3, and all scales of a matrix a factor in F32. Numbers and
/// scales are used in place; the factor is in the table of what the 256 scales stand for
/// (Matrix::scale_values).
namespace expertscope {

inline constexpr BlockSize kNvfp4Block{16, 8};
inline constexpr ScalePlane kNvfp4Scales{1, 16, 1};

/// WeightFormat::dequantise: number * scale in f32.
void dequantise_nvfp4(const WeightRow& row, std::int64_t first, std::int64_t count, float* to);

}  // namespace expertscope
