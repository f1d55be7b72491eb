// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "engine/cuda/kernels/dot.cuh"
#include "engine/cuda/kernels/route.cuh"

/// Products of a few tokens with a matrix: one warp a row of weights, every weight read once for all tokens.
/// What surrounds a product (the norm before it, the residual sum after it) happens in the same kernel,
/// because a decode step is a long chain of short kernels.
namespace expertscope::cuda {

inline constexpr int kProductThreads = kProductWarps * kWarp;

/// Which rows of the batch a product runs for.
enum class ProductRows : std::uint8_t { tokens, output_rows };

/// What a warp of a product does: rows of the weights, as many as it takes for the grid's warps to share
/// them, kAhead chunks at a time. The first one's weights are asked for when this is made, which should be
/// early.
template <DeviceType kType, int kTokens, int kAhead = 8>
class RowProduct {
 public:
  __device__ explicit RowProduct(const DeviceMatrix& w)
      : w_(w), n_(static_cast<int>(blockIdx.x) * kProductWarps + warp_index()) {
    if (n_ < w_.rows) load();
  }

  /// put(n, sums) for every row n, in lane 0 of the warp that multiplied it with all tokens; `x` is
  /// [kTokens][w.stride].
  template <class X, class Put>
  __device__ void run(const X* x, Put&& put) {
    while (n_ < w_.rows) {
      const void* row[1] = {address()};
      float sum[1][kTokens];
      dot_rows(chunks_, row, x, w_.stride, w_.stride, sum);
      const int n = n_;
      n_ += static_cast<int>(gridDim.x) * kProductWarps;
      if (n_ < w_.rows) load();  // on its way while the lanes' sums are added up
#pragma unroll
      for (int t = 0; t < kTokens; ++t)
        sum[0][t] = warp_sum(sum[0][t]);
      if (lane_index() == 0) put(n, sum[0]);
    }
  }

 private:
  __device__ const void* address() const {
    return row_of(w_.data, device_bytes(kType), w_.stride, n_);
  }
  __device__ void load() {
    const void* row[1] = {address()};
    chunks_.load(row, 0, w_.stride);
  }

  const DeviceMatrix& w_;
  int n_;
  Chunks<kType, 1, kAhead> chunks_;
};

/// put(t, i, x) for every element x of the normed rows of kTokens tokens, by the whole block; zeros for the
/// padding of a bucket. `first` is on its way: token 0, row `row` of the batch.
template <int kTokens, class RowOf, class Put>
__device__ inline void norm_tokens_of_block(const NormShare<kProductThreads>& first, const float* hidden,
                                            const float* norm, float eps, const DeviceMatrix& w, int tokens,
                                            RowOf&& row_of_token, Put&& put) {
  __shared__ float scratch[kProductWarps];
  NormShare<kProductThreads> share = first;
  for (int t = 0; t < kTokens; ++t) {
    if (t >= tokens) {
#pragma unroll 1
      for (int i = static_cast<int>(threadIdx.x); i < w.stride; i += kProductThreads)
        put(t, i, 0.0f);
      continue;
    }
    const float* row = hidden + static_cast<std::size_t>(row_of_token(t)) * static_cast<std::size_t>(w.cols);
    if (t > 0) share.load(row, norm, w.cols);
    share.finish(row, norm, w.cols, w.stride, eps, scratch, [&](int i, float x) { put(t, i, x); });
  }
}

/// y[t][n] = sum_k norm(hidden[row t])[k] w[n][k] for kTokens rows at most. Dynamic shared memory:
/// kTokens * w.stride activations of type X.
template <DeviceType kType, class X, int kTokens, ProductRows kRows>
__global__ void __launch_bounds__(kProductThreads, product_blocks_resident(kTokens))
    norm_product(const DeviceStep* step, const float* hidden, const float* norm, float eps, DeviceMatrix w,
                 float* y, int y_stride) {
  auto* x = reinterpret_cast<X*>(dynamic_shared());
  const int tokens = kRows == ProductRows::tokens ? step->tokens : step->output_rows;
  const auto row_of_token = [&](int t) {
    if constexpr (kRows == ProductRows::tokens) return t;
    return t < tokens ? step->output_row[t] : 0;
  };
  NormShare<kProductThreads> first;
  first.load(hidden + static_cast<std::size_t>(row_of_token(0)) * static_cast<std::size_t>(w.cols), norm,
             w.cols);
  RowProduct<kType, kTokens> product(w);
  norm_tokens_of_block<kTokens>(
      first, hidden, norm, eps, w, tokens, row_of_token,
      [&](int t, int i, float value) { store_activation(value, x + t * w.stride + i); });
  __syncthreads();
  product.run(x, [&](int n, const float(&sum)[kTokens]) {
#pragma unroll
    for (int t = 0; t < kTokens; ++t) {
      if (t < tokens)
        y[static_cast<std::size_t>(t) * static_cast<std::size_t>(y_stride) + static_cast<std::size_t>(n)] =
            sum[t];
    }
  });
}

/// Chunks of a row that add_product asks for at a time. Its rows are few (a hidden state's channels, two
/// blocks a multiprocessor on Qwen3-30B-A3B) and long (4096 elements there: one round in bf16).
constexpr int add_product_ahead(int tokens) {
  return tokens == 1 ? 16 : 8;
}

/// hidden[t][n] += bias[n] + sum_k x[t][k] w[n][k]. Dynamic shared memory: kTokens * w.stride activations of
/// type X.
template <DeviceType kType, class X, int kTokens>
__global__ void __launch_bounds__(kProductThreads, 2)
    add_product(const DeviceStep* step, const X* x, DeviceMatrix w, const float* bias, float* hidden) {
  auto* shared = reinterpret_cast<X*>(dynamic_shared());
  start_copy_of_row<kProductThreads>(shared, x, kTokens * w.stride);
  copy_async_commit();
  RowProduct<kType, kTokens, add_product_ahead(kTokens)> product(w);
  const int tokens = step->tokens;
  copy_async_wait<0>();
  __syncthreads();
  product.run(shared, [&](int n, const float(&sum)[kTokens]) {
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
template <DeviceType kType, class X, int kTokens>
__global__ void __launch_bounds__(kProductThreads)
    route_tokens_decode(const DeviceStep* step, const float* hidden, const float* norm, float eps,
                        DeviceMatrix w, const DeviceRouting* routing, int moe_layer, float* logits,
                        DeviceSlots slots, X* normed, int normed_stride, unsigned* arrived) {
  auto* x = reinterpret_cast<float*>(dynamic_shared());
  const int tokens = step->tokens;
  NormShare<kProductThreads> first;
  first.load(hidden, norm, w.cols);
  RowProduct<kType, kTokens> product(w);
  norm_tokens_of_block<kTokens>(
      first, hidden, norm, eps, w, tokens, [](int t) { return t; },
      [&](int t, int i, float value) {
        x[t * w.stride + i] = value;
        if (blockIdx.x == 0 && i < normed_stride && t < tokens)
          store_activation(value, normed + t * normed_stride + i);
      });
  __syncthreads();
  product.run(x, [&](int n, const float(&sum)[kTokens]) {
#pragma unroll
    for (int t = 0; t < kTokens; ++t)
      if (t < tokens) logits[t * w.rows + n] = sum[t];
  });
  // Asked for before the blocks wait for each other, and once.
  const DeviceRouting table = *routing;
  if (!is_last_block(arrived, gridDim.x)) return;
  static_assert(2 * kTokens <= kProductWarps, "the probes of the logits have warps of their own");
  const int t = warp_index() % kTokens;
  if (warp_index() >= 2 * kTokens || t >= tokens) return;
  const float* row = logits + t * w.rows;
  if (warp_index() >= kTokens) return note_logits(*step, table.model.score, row, w.rows, moe_layer, t);
  float* memory = x + t * route_scratch_floats(w.rows, table.top_k);
  route_token(*step, table, routing, row, w.rows, moe_layer, t, route_scratch(memory, w.rows), slots);
}

}  // namespace expertscope::cuda
