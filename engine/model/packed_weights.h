// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <string>

#include "engine/error.h"
#include "engine/model/stored_tensors.h"

namespace expertscope {

/// Weights of integers in groups (engine/formats/int4.h), whose `<stem>.weight` is several tensors:
///
///   compressed-tensors   weight_packed [rows, cols / 8], weight_scale [rows, groups], weight_shape, and
///                        weight_zero_point [rows / 8, groups] where there are zero points; used in place
///   GPTQ                 qweight [cols / 8, rows], scales [groups, rows], qzeros [groups, rows / 8], and
///                        g_idx [cols], the group of each column
///   AWQ                  qweight [cols, rows / 8], scales [groups, rows], qzeros [groups, rows / 8]
///
/// with eight numbers of 4 bits (four of 8) in an I32, the first in its lowest bits; AWQ has columns 0, 2, 4,
/// 6, 1, 3, 5, 7 in that order. Those two are copied once, row by row.
bool is_packed(const TensorStore& store, const std::string& name);

/// `name`, which is_packed(), as a matrix. What is missing, of another shape or of bits, groups or an order
/// of columns that are not read is refused by the name of the tensor.
Result<Matrix> packed_matrix(StoredTensors& tensors, const std::string& name, std::int64_t rows,
                             std::int64_t cols);

}  // namespace expertscope
