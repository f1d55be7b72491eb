// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "engine/cuda/kernels/block.cuh"
#include "engine/cuda/kernels/numbers.cuh"

namespace expertscope::cuda {

/// Chunks of 16 bytes of kRows rows of weights, kAhead of each row, that a lane has asked for and not used
/// yet. Decoding is as fast as such loads are in flight: 8 times 16 bytes at 8 warps a multiprocessor are 32
/// KiB, more than the 23 KiB that latency times bandwidth of an H200 takes. So they are asked for before
/// anything that takes time and does not need them: a norm, a barrier, the sum over the lanes.
///
/// Rows hold `cols` elements (a multiple of 16 bytes of the weights' type, padded with zeros) and lie aligned
/// to 16 bytes. A group is kGroup elements of a row, the chunks of all lanes.
template <DeviceType kType, int kRows, int kAhead>
struct Chunks {
  static constexpr int kElements = kPack<kType>;
  static constexpr int kStep = kWarp * kElements;
  static constexpr int kGroup = kAhead * kStep;

  uint4 raw[kAhead][kRows];

  __device__ static const unsigned char* address(const void* row, int k) {
    return static_cast<const unsigned char*>(row) + static_cast<std::size_t>(k) * device_bytes(kType);
  }

  /// Asks for the group of elements from `first` on. A whole group has no conditions in it; zeros stand
  /// behind the row's end.
  __device__ void load(const void* const (&rows)[kRows], int first, int cols) {
    const int k = first + lane_index() * kElements;
    const bool whole = first + kGroup <= cols;
#pragma unroll
    for (int a = 0; a < kAhead; ++a)
#pragma unroll
      for (int r = 0; r < kRows; ++r)
        raw[a][r] = whole || k + a * kStep < cols ? load_streaming(address(rows[r], k + a * kStep))
                                                  : uint4{0, 0, 0, 0};
  }

  /// sum[row][token] += the group times x[token], of which row t begins at x + t * x_stride; shared or global
  /// memory.
  template <int kTokens, class X>
  __device__ void multiply(const X* x, int x_stride, int first, int cols,
                           float (&sum)[kRows][kTokens]) const {
    const int k = first + lane_index() * kElements;
    if (first + kGroup <= cols) {
#pragma unroll
      for (int a = 0; a < kAhead; ++a)
        multiply_chunk(a, x + k + a * kStep, x_stride, sum);
      return;
    }
#pragma unroll
    for (int a = 0; a < kAhead; ++a)
      if (k + a * kStep < cols) multiply_chunk(a, x + k + a * kStep, x_stride, sum);
  }

 private:
  template <int kTokens, class X>
  __device__ void multiply_chunk(int a, const X* x, int x_stride, float (&sum)[kRows][kTokens]) const {
    float activation[kTokens][kElements];
#pragma unroll
    for (int t = 0; t < kTokens; ++t)
      load_activations(x + t * x_stride, activation[t]);
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
};

/// Dot products of kRows rows of weights with kTokens vectors, by one warp, whose first group has been asked
/// for; the lanes' sums are not added up yet.
template <int kTokens, DeviceType kType, int kRows, int kAhead, class X>
__device__ inline void dot_rows(Chunks<kType, kRows, kAhead>& chunks, const void* const (&rows)[kRows],
                                const X* x, int x_stride, int cols, float (&sum)[kRows][kTokens]) {
#pragma unroll
  for (int r = 0; r < kRows; ++r)
#pragma unroll
    for (int t = 0; t < kTokens; ++t)
      sum[r][t] = 0;
  for (int first = 0;;) {
    chunks.multiply(x, x_stride, first, cols, sum);
    first += Chunks<kType, kRows, kAhead>::kGroup;
    if (first >= cols) return;
    chunks.load(rows, first, cols);
  }
}

/// The address of row `row` of a matrix.
__device__ inline const void* row_of(const void* data, std::size_t element, int stride, int row) {
  return static_cast<const unsigned char*>(data) +
         static_cast<std::size_t>(row) * static_cast<std::size_t>(stride) * element;
}

/// 1 / sqrt(mean(x^2) + eps) of one row, by a block of kThreads. `scratch` has room for one float a warp.
template <int kThreads>
__device__ inline float norm_scale(const float* row, int width, float eps, float* scratch) {
  float squares = 0;
  for (int i = static_cast<int>(threadIdx.x); i < width; i += kThreads)
    squares += row[i] * row[i];
  return 1.0f / sqrtf(block_sum<kThreads / kWarp>(squares, scratch) / static_cast<float>(width) + eps);
}

/// RMSNorm of one row into `to` (shared or global, `padded` elements, zeros behind `width`), by a block of
/// kThreads: weight * (x / sqrt(mean(x^2) + eps)). (Zhang and Sennrich 2019, "RMSNorm")
template <int kThreads, class X>
__device__ inline void norm_row(const float* row, const float* weight, int width, int padded, float eps,
                                float* scratch, X* to) {
  const float scale = norm_scale<kThreads>(row, width, eps, scratch);
  for (int i = static_cast<int>(threadIdx.x); i < padded; i += kThreads)
    store_activation(i < width ? weight[i] * (row[i] * scale) : 0.0f, to + i);
}

/// Elements of a row, and of the weights of its norm, that a thread of kThreads has asked for: the norm of a
/// decode step waits once, not for the row, then for the row again, then for the weights.
template <int kThreads>
struct NormShare {
  static constexpr int kKept = 2048 / kThreads;  // what is wider is read when it is needed
  float value[kKept];
  float weight[kKept];

  __device__ void load(const float* row, const float* norm, int width) {
    load_one(row, width, value);
    load_one(norm, width, weight);
  }

  /// put(i, x) for every element i below `padded` of the normed row, by the whole block; the sum has the
  /// order of norm_scale.
  template <class Put>
  __device__ void finish(const float* row, const float* norm, int width, int padded, float eps,
                         float* scratch, Put&& put) const {
    const int me = static_cast<int>(threadIdx.x);
    float squares = 0;
#pragma unroll
    for (int j = 0; j < kKept; ++j)
      squares += value[j] * value[j];
#pragma unroll 4
    for (int i = me + kKept * kThreads; i < width; i += kThreads)
      squares += row[i] * row[i];
    const float scale =
        1.0f / sqrtf(block_sum<kThreads / kWarp>(squares, scratch) / static_cast<float>(width) + eps);
#pragma unroll
    for (int j = 0; j < kKept; ++j)
      if (me + j * kThreads < padded) put(me + j * kThreads, weight[j] * (value[j] * scale));
#pragma unroll 4
    for (int i = me + kKept * kThreads; i < padded; i += kThreads)
      put(i, i < width ? norm[i] * (row[i] * scale) : 0.0f);
  }

 private:
  __device__ static void load_one(const float* from, int width, float (&to)[kKept]) {
#pragma unroll
    for (int j = 0; j < kKept; ++j) {
      const int i = static_cast<int>(threadIdx.x) + j * kThreads;
      to[j] = i < width ? from[i] : 0.0f;
    }
  }
};

/// Starts the copy of `count` elements (a multiple of 16 bytes) to shared memory, by the whole block.
template <int kThreads, class X>
__device__ inline void start_copy_of_row(X* to, const X* from, int count) {
  constexpr int kElements = 16 / static_cast<int>(sizeof(X));
#pragma unroll 1
  for (int i = static_cast<int>(threadIdx.x) * kElements; i < count; i += kThreads * kElements)
    copy_async_16(to + i, from + i, true);
}

}  // namespace expertscope::cuda
