// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/model/weights.h"

namespace expertscope {

std::size_t Matrix::scale_row_bytes() const {
  const ScalePlane& plane = format->scales;
  return plane.rows == 0 ? 0 : static_cast<std::size_t>((cols + plane.cols - 1) / plane.cols * plane.bytes);
}

Matrix Matrix::slice(std::int64_t first, std::int64_t count) const {
  Matrix part{row(first), format, count, cols, scales, row_step};
  if (scales != nullptr)
    part.scales = static_cast<const std::uint8_t*>(scales) +
                  static_cast<std::size_t>(first * row_step / format->scales.rows) * scale_row_bytes();
  return part;
}

Matrix Matrix::every(std::int64_t step, std::int64_t first, std::int64_t count) const {
  Matrix part = slice(first, count);
  part.row_step *= step;
  return part;
}

void Matrix::dequantise(std::int64_t index, std::int64_t first, std::int64_t count, float* to) const {
  WeightRow stored{static_cast<const std::uint8_t*>(row(index)), nullptr};
  if (scales != nullptr)
    stored.scales = static_cast<const std::uint8_t*>(scales) +
                    static_cast<std::size_t>(index * row_step / format->scales.rows) * scale_row_bytes();
  format->dequantise(stored, first, count, to);
}

}  // namespace expertscope
