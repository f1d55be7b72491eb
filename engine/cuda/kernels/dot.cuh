// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "engine/cuda/kernels/block.cuh"
#include "engine/cuda/kernels/numbers.cuh"

namespace expertscope::cuda {

/// Dot products of kRows rows of weights with kTokens vectors, by one warp; every lane receives the sums.
/// Rows and vectors hold `cols` elements (a multiple of 16 bytes of the weights' type, padded with zeros) and
/// lie aligned to 16 bytes; `x` may point to shared or global memory.
///
/// Decoding lives from this loop: it is as fast as loads are in flight. A lane asks for kAhead chunks of
/// every row before it uses the first (8 times 16 bytes at 8 warps a multiprocessor are 32 KiB in flight,
/// more than the 23 KiB that latency times bandwidth of an H200 takes).
template <DType kType, int kRows, int kTokens, class X>
__device__ inline void dot_rows(const void* const (&rows)[kRows], const X* x, int x_stride, int cols,
                                float (&sum)[kRows][kTokens]) {
  constexpr int kElements = kPack<kType>;
  constexpr int kAhead = 8 / kRows;
  constexpr int kStep = kWarp * kElements;
#pragma unroll
  for (int r = 0; r < kRows; ++r)
#pragma unroll
    for (int t = 0; t < kTokens; ++t)
      sum[r][t] = 0;
  for (int first = lane_index() * kElements; first < cols; first += kAhead * kStep) {
    uint4 raw[kAhead][kRows];
#pragma unroll
    for (int a = 0; a < kAhead; ++a) {
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        const int k = first + a * kStep;
        const auto* row = static_cast<const unsigned char*>(rows[r]);
        raw[a][r] = k < cols ? load_streaming(row + static_cast<std::size_t>(k) * dtype_size(kType))
                             : uint4{0, 0, 0, 0};
      }
    }
#pragma unroll
    for (int a = 0; a < kAhead; ++a) {
      const int k = first + a * kStep;
      if (k >= cols) break;
      float activation[kTokens][kElements];
#pragma unroll
      for (int t = 0; t < kTokens; ++t)
        load_activations(x + t * x_stride + k, activation[t]);
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        float weight[kElements];
        widen<kType>(raw[a][r], weight);
#pragma unroll
        for (int t = 0; t < kTokens; ++t)
#pragma unroll
          for (int i = 0; i < kElements; ++i)
            sum[r][t] += weight[i] * activation[t][i];
      }
    }
  }
#pragma unroll
  for (int r = 0; r < kRows; ++r)
#pragma unroll
    for (int t = 0; t < kTokens; ++t)
      sum[r][t] = warp_sum(sum[r][t]);
}

/// Dot products of kRows rows of weights with a vector each, by one warp; null rows are skipped and give 0.
/// Otherwise like dot_rows.
template <DType kType, int kRows, class X>
__device__ inline void dot_each(const void* const (&rows)[kRows], const X* const (&x)[kRows], int cols,
                                float (&sum)[kRows]) {
  constexpr int kElements = kPack<kType>;
  constexpr int kAhead = 8 / kRows;
  constexpr int kStep = kWarp * kElements;
#pragma unroll
  for (int r = 0; r < kRows; ++r)
    sum[r] = 0;
  for (int first = lane_index() * kElements; first < cols; first += kAhead * kStep) {
    uint4 raw[kAhead][kRows];
#pragma unroll
    for (int a = 0; a < kAhead; ++a) {
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        const int k = first + a * kStep;
        const auto* row = static_cast<const unsigned char*>(rows[r]);
        raw[a][r] = row != nullptr && k < cols
                        ? load_streaming(row + static_cast<std::size_t>(k) * dtype_size(kType))
                        : uint4{0, 0, 0, 0};
      }
    }
#pragma unroll
    for (int a = 0; a < kAhead; ++a) {
      const int k = first + a * kStep;
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        if (rows[r] == nullptr || k >= cols) continue;
        float weight[kElements];
        float activation[kElements];
        widen<kType>(raw[a][r], weight);
        load_activations(x[r] + k, activation);
#pragma unroll
        for (int i = 0; i < kElements; ++i)
          sum[r] += weight[i] * activation[i];
      }
    }
  }
#pragma unroll
  for (int r = 0; r < kRows; ++r)
    sum[r] = warp_sum(sum[r]);
}

/// The address of row `row` of a matrix.
__device__ inline const void* row_of(const void* data, std::size_t element, int stride, int row) {
  return static_cast<const unsigned char*>(data) +
         static_cast<std::size_t>(row) * static_cast<std::size_t>(stride) * element;
}

/// 1 / sqrt(mean(x^2) + eps) of one row, by the whole block. `scratch` has room for one float a warp.
__device__ inline float norm_scale(const float* row, int width, float eps, float* scratch) {
  float squares = 0;
  for (int i = static_cast<int>(threadIdx.x); i < width; i += static_cast<int>(blockDim.x))
    squares += row[i] * row[i];
  return 1.0f / sqrtf(block_sum(squares, scratch) / static_cast<float>(width) + eps);
}

/// RMSNorm of one row into `to` (shared or global, `padded` elements, zeros behind `width`), by the whole
/// block: weight * (x / sqrt(mean(x^2) + eps)). (Zhang and Sennrich 2019, "RMSNorm")
template <class X>
__device__ inline void norm_row(const float* row, const float* weight, int width, int padded, float eps,
                                float* scratch, X* to) {
  const float scale = norm_scale(row, width, eps, scratch);
  for (int i = static_cast<int>(threadIdx.x); i < padded; i += static_cast<int>(blockDim.x))
    store_activation(i < width ? weight[i] * (row[i] * scale) : 0.0f, to + i);
}

}  // namespace expertscope::cuda
