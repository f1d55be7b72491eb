// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "engine/cuda/kernels/dot.cuh"
#include "engine/cuda/kernels/route.cuh"

/// Products of a few tokens with a matrix: one warp a row of weights, every weight read once for all tokens.
/// What surrounds a product (the norm before it, the residual sum after it) happens in the same kernel,
/// because a decode step is a long chain of short kernels.
namespace expertscope::cuda {

inline constexpr int kProductThreads = 256;
inline constexpr int kProductWarps = kProductThreads / kWarp;

/// Which rows of the batch a product runs for.
enum class ProductRows : std::uint8_t { tokens, output_rows };

/// put(n, sums) for every row n of the weights, in lane 0 of the warp that multiplied it with all tokens; `x`
/// is [kTokens][w.stride]. The grid's warps share the rows.
template <DType kType, int kTokens, class X, class Put>
__device__ inline void multiply_rows(const DeviceMatrix& w, const X* x, Put&& put) {
  const int all_warps = static_cast<int>(gridDim.x) * kProductWarps;
  for (int n = static_cast<int>(blockIdx.x) * kProductWarps + warp_index(); n < w.rows; n += all_warps) {
    const void* row[1] = {row_of(w.data, dtype_size(kType), w.stride, n)};
    float sum[1][kTokens];
    dot_rows<kType, 1, kTokens>(row, x, w.stride, w.stride, sum);
    if (lane_index() == 0) put(n, sum[0]);
  }
}

/// y[t][n] = sum_k norm(hidden[row t])[k] w[n][k] for kTokens rows at most. Dynamic shared memory:
/// kTokens * w.stride activations of type X.
template <DType kType, class X, int kTokens, ProductRows kRows>
__global__ void __launch_bounds__(kProductThreads)
    norm_product(const DeviceStep* step, const float* hidden, const float* norm, float eps, DeviceMatrix w,
                 float* y, int y_stride) {
  __shared__ float scratch[kProductWarps];
  auto* x = reinterpret_cast<X*>(dynamic_shared());
  const int tokens = kRows == ProductRows::tokens ? step->tokens : step->output_rows;
  for (int t = 0; t < kTokens; ++t) {
    if (t >= tokens) {  // the padding of a bucket: any finite numbers do
      for (int i = static_cast<int>(threadIdx.x); i < w.stride; i += kProductThreads)
        store_activation(0.0f, x + t * w.stride + i);
      continue;
    }
    const int row = kRows == ProductRows::tokens ? t : step->output_row[t];
    norm_row(hidden + static_cast<std::size_t>(row) * static_cast<std::size_t>(w.cols), norm, w.cols,
             w.stride, eps, scratch, x + t * w.stride);
  }
  __syncthreads();
  multiply_rows<kType, kTokens>(w, x, [&](int n, const float(&sum)[kTokens]) {
#pragma unroll
    for (int t = 0; t < kTokens; ++t) {
      if (t < tokens)
        y[static_cast<std::size_t>(t) * static_cast<std::size_t>(y_stride) + static_cast<std::size_t>(n)] =
            sum[t];
    }
  });
}

/// hidden[t][n] += bias[n] + sum_k x[t][k] w[n][k].
template <DType kType, class X, int kTokens>
__global__ void __launch_bounds__(kProductThreads)
    add_product(const DeviceStep* step, const X* x, DeviceMatrix w, const float* bias, float* hidden) {
  const int tokens = step->tokens;
  multiply_rows<kType, kTokens>(w, x, [&](int n, const float(&sum)[kTokens]) {
#pragma unroll
    for (int t = 0; t < kTokens; ++t) {
      if (t < tokens)
        hidden[static_cast<std::size_t>(t) * static_cast<std::size_t>(w.rows) +
               static_cast<std::size_t>(n)] += sum[t] + (bias != nullptr ? bias[n] : 0.0f);
    }
  });
}

/// The router of one layer: norm, logits in f32 whatever the mode, and by the last block the routing of every
/// token with the edits of the table. Block 0 leaves the normed rows to the experts.
template <DType kType, class X, int kTokens>
__global__ void __launch_bounds__(kProductThreads)
    route_tokens_decode(const DeviceStep* step, const float* hidden, const float* norm, float eps,
                        DeviceMatrix w, const DeviceRouting* routing, int moe_layer, float* logits,
                        DeviceSlots slots, X* normed, int normed_stride, unsigned* arrived) {
  __shared__ float scratch[kProductWarps];
  auto* x = reinterpret_cast<float*>(dynamic_shared());
  const int tokens = step->tokens;
  for (int t = 0; t < tokens; ++t) {
    norm_row(hidden + static_cast<std::size_t>(t) * static_cast<std::size_t>(w.cols), norm, w.cols, w.stride,
             eps, scratch, x + t * w.stride);
  }
  for (int i = tokens * w.stride + static_cast<int>(threadIdx.x); i < kTokens * w.stride;
       i += kProductThreads)
    x[i] = 0;
  __syncthreads();
  if (blockIdx.x == 0) {
    for (int t = 0; t < tokens; ++t)
      for (int i = static_cast<int>(threadIdx.x); i < normed_stride; i += kProductThreads)
        store_activation(i < w.cols ? x[t * w.stride + i] : 0.0f, normed + t * normed_stride + i);
  }
  multiply_rows<kType, kTokens>(w, x, [&](int n, const float(&sum)[kTokens]) {
#pragma unroll
    for (int t = 0; t < kTokens; ++t)
      if (t < tokens) logits[t * w.rows + n] = sum[t];
  });
  if (!is_last_block(arrived, gridDim.x)) return;
  const int floats = route_scratch_floats(w.rows, routing->top_k);
  for (int t = warp_index(); t < tokens; t += kProductWarps)
    route_token(*step, *routing, logits + t * w.rows, w.rows, moe_layer, t,
                route_scratch(x + t * floats, w.rows, routing->top_k), slots);
}

}  // namespace expertscope::cuda
