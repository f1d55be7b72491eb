// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "engine/formats/weight_format.h"

namespace expertscope {

/// Q8_0 of GGUF (block_q8_0 in ggml-common.h): a block is a scale of F16 and 32 integers of 8 bits. What it
/// stands for is exact in f32: 11 bits times 7.
inline constexpr BlockSize kQ8_0Block{32, 34};

/// WeightFormat::dequantise
void dequantise_q8_0(const WeightRow& row, std::int64_t first, std::int64_t count, float* to);

}  // namespace expertscope
