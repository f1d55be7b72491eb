// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/model/weights.h"

namespace expertscope {
namespace {

/// The row of a plane for a row of the matrix; null where there is no plane.
const std::uint8_t* row_of(const void* plane, std::size_t row_bytes, const Matrix& matrix, std::int64_t row) {
  if (plane == nullptr) return nullptr;
  return static_cast<const std::uint8_t*>(plane) +
         static_cast<std::size_t>(row * matrix.row_step / matrix.plane().rows) * row_bytes;
}
const std::uint8_t* scales_of(const Matrix& matrix, std::int64_t row) {
  return row_of(matrix.scales, matrix.scale_row_bytes(), matrix, row);
}
const std::uint8_t* zeros_of(const Matrix& matrix, std::int64_t row) {
  return row_of(matrix.zeros, matrix.zero_row_bytes(), matrix, row);
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

std::size_t Matrix::zero_row_bytes() const {
  return zeros == nullptr ? 0 : scale_row_bytes() / static_cast<std::size_t>(plane().bytes);
}

Matrix Matrix::slice(std::int64_t first, std::int64_t count) const {
  Matrix part = *this;
  part.data = row(first);
  part.rows = count;
  part.scales = scales_of(*this, first);
  part.zeros = zeros_of(*this, first);
  return part;
}

Matrix Matrix::every(std::int64_t step, std::int64_t first, std::int64_t count) const {
  Matrix part = slice(first, count);
  part.row_step *= step;
  return part;
}

void Matrix::dequantise(std::int64_t index, std::int64_t first, std::int64_t count, float* to) const {
  const auto* data_of_row = static_cast<const std::uint8_t*>(row(index));
  format->dequantise(
      {data_of_row, scales_of(*this, index), plane().cols, zeros_of(*this, index), scale_values}, first,
      count, to);
}

}  // namespace expertscope
