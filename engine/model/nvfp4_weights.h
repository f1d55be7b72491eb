// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <string>

#include "engine/error.h"
#include "engine/model/stored_tensors.h"

namespace expertscope {

/// Weights in NVFP4 (engine/formats/nvfp4.h), whose `<stem>.weight` is
///
///   compressed-tensors   weight_packed U8 [rows, cols / 2], weight_scale F8_E4M3 [rows, cols / 16], and
///                        weight_global_scale F32, by which scales are divided
///   ModelOpt             weight and weight_scale, the same, and weight_scale_2 F32, a factor of scales
bool is_nvfp4(const TensorStore& store, const std::string& name);

/// `name`, which is_nvfp4(), as a matrix.
Result<Matrix> nvfp4_matrix(StoredTensors& tensors, const std::string& name, std::int64_t rows,
                            std::int64_t cols);

}  // namespace expertscope
