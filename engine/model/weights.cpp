// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/model/weights.h"

namespace expertscope {
namespace {

/// The row of the plane for a row of the matrix; null where there is no plane.
const std::uint8_t* scales_of(const Matrix& matrix, std::int64_t row) {
  if (matrix.scales == nullptr) return nullptr;
  return static_cast<const std::uint8_t*>(matrix.scales) +
         static_cast<std::size_t>(row * matrix.row_step / matrix.plane().rows) * matrix.scale_row_bytes();
}

}  // namespace

ScalePlane Matrix::plane() const {
  ScalePlane plane = format->scales;
  if (scale_block.rows > 0) {
    plane.rows = scale_block.rows;
    plane.cols = scale_block.cols;
  }
  return plane;
}

std::size_t Matrix::scale_row_bytes() const {
  const ScalePlane scales_here = plane();
  if (scales_here.rows == 0) return 0;
  return static_cast<std::size_t>((cols + scales_here.cols - 1) / scales_here.cols * scales_here.bytes);
}

Matrix Matrix::slice(std::int64_t first, std::int64_t count) const {
  return {row(first), format, count, cols, scales_of(*this, first), row_step, scale_block};
}

Matrix Matrix::every(std::int64_t step, std::int64_t first, std::int64_t count) const {
  Matrix part = slice(first, count);
  part.row_step *= step;
  return part;
}

void Matrix::dequantise(std::int64_t index, std::int64_t first, std::int64_t count, float* to) const {
  format->dequantise({static_cast<const std::uint8_t*>(row(index)), scales_of(*this, index), plane().cols},
                     first, count, to);
}

}  // namespace expertscope
