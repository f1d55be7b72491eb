// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/simt/runtime/gemm.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "tests/simt/fibers/numbers.h"

namespace expertscope::simt {

namespace {

float read(const Matrix& matrix, std::size_t row, std::size_t column) {
  const std::size_t index = matrix.transposed ? column + row * matrix.leading : row + column * matrix.leading;
  if (matrix.type == CUDA_R_32F) {
    float value;
    std::memcpy(&value, static_cast<const std::byte*>(matrix.data) + index * sizeof value, sizeof value);
    return value;
  }
  std::uint16_t bits;
  std::memcpy(&bits, static_cast<const std::byte*>(matrix.data) + index * sizeof bits, sizeof bits);
  return matrix.type == CUDA_R_16F ? from_f16(bits) : from_bf16(bits);
}

void write(const Matrix& matrix, std::size_t row, std::size_t column, float value) {
  auto* data = static_cast<std::byte*>(const_cast<void*>(matrix.data));
  const std::size_t index = row + column * matrix.leading;
  if (matrix.type == CUDA_R_32F) {
    std::memcpy(data + index * sizeof value, &value, sizeof value);
    return;
  }
  const std::uint16_t bits = matrix.type == CUDA_R_16F ? to_f16(value) : to_bf16(value);
  std::memcpy(data + index * sizeof bits, &bits, sizeof bits);
}

using Floats8 = float __attribute__((vector_size(32)));
constexpr std::size_t kRows = 8;

/// Rows of A in panels of 8, padded with zeros: [panel][k][8], so that the sums below read straight ahead.
std::vector<Floats8> pack_rows(const Matrix& a, std::size_t m, std::size_t k) {
  const std::size_t panels = (m + kRows - 1) / kRows;
  std::vector<Floats8> packed(panels * k);
  for (std::size_t row = 0; row < m; ++row) {
    for (std::size_t i = 0; i < k; ++i) {
      packed[row / kRows * k + i][row % kRows] = read(a, row, i);
    }
  }
  return packed;
}

}  // namespace

std::size_t size_of(cudaDataType type) {
  switch (type) {
    case CUDA_R_32F:
      return 4;
    case CUDA_R_16F:
      return 2;
    case CUDA_R_16BF:
      return 2;
    case CUDA_R_64F:
      return 0;
  }
  return 0;
}

std::size_t extent(const Matrix& matrix, std::size_t rows, std::size_t columns) {
  if (rows == 0 || columns == 0) return 0;
  return ((columns - 1) * matrix.leading + rows) * size_of(matrix.type);
}

void multiply(const Gemm& gemm) {
  const std::vector<Floats8> a = pack_rows(gemm.a, gemm.m, gemm.k);
  std::vector<float> column(gemm.k);
  for (std::size_t j = 0; j < gemm.n; ++j) {
    for (std::size_t i = 0; i < gemm.k; ++i) {
      column[i] = read(gemm.b, i, j);
    }
    for (std::size_t first = 0; first < gemm.m; first += kRows) {
      const Floats8* rows = a.data() + first / kRows * gemm.k;
      Floats8 sum{};
      for (std::size_t i = 0; i < gemm.k; ++i) {
        sum += rows[i] * column[i];
      }
      for (std::size_t row = first; row < std::min(gemm.m, first + kRows); ++row) {
        const float old = gemm.beta != 0 ? gemm.beta * read(gemm.c, row, j) : 0.0f;
        write(gemm.c, row, j, gemm.alpha * sum[row - first] + old);
      }
    }
  }
}

}  // namespace expertscope::simt
