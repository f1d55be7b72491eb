// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <library_types.h>

#include <cstddef>

namespace expertscope::simt {

/// A matrix of cuBLAS, column-major, of which the transposed may be meant.
struct Matrix {
  const void* data;
  cudaDataType type;
  std::size_t leading;
  bool transposed;
};

/// C = alpha A B + beta C, with A m x k, B k x n and C m x n (never transposed) after transposition.
struct Gemm {
  std::size_t m, n, k;
  float alpha, beta;
  Matrix a, b, c;
};

/// Bytes of one number; 0 for a type that products are not made for.
std::size_t size_of(cudaDataType type);
/// Bytes from the first number of a rows x columns matrix (as stored) to its last.
std::size_t extent(const Matrix& matrix, std::size_t rows, std::size_t columns);

/// Sums in f32, over k in ascending order.
void multiply(const Gemm& gemm);

}  // namespace expertscope::simt
