// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "engine/cuda/plain/kernels.cuh"

/// What latent attention does around attend() (LatentSpec); one kernel an operation, as in kernels.cuh.
namespace expertscope::cuda::plain {

/// Columns [first, ...) of rows of `stride` floats.
struct Columns {
  float* data = nullptr;
  int stride = 0;
  int first = 0;

  __device__ float& operator()(std::size_t row, int column) const {
    return data[at(row, stride) + static_cast<std::size_t>(first + column)];
  }
};

/// `columns` columns of every row, a thread an element.
__global__ void copy_columns(std::size_t count, Columns from, Columns to, int columns) {
  const std::size_t i = this_thread();
  if (i >= count) return;
  const std::size_t row = i / static_cast<std::size_t>(columns);
  const auto column = static_cast<int>(i % static_cast<std::size_t>(columns));
  to(row, column) = from(row, column);
}

/// K^T q of every head of every token, K the head's rows of kv_b_proj: q is [tokens * heads, nope_dim ...]. A
/// thread an element of `to`.
__global__ void absorb_keys(std::size_t count, AttentionSpec spec, Matrices kv_b, Columns q, Columns to) {
  const std::size_t i = this_thread();
  if (i >= count) return;
  const int rank = spec.latent.rank;
  const std::size_t row = i / static_cast<std::size_t>(rank);
  const auto d = static_cast<int>(i % static_cast<std::size_t>(rank));
  const auto head = static_cast<int>(row % static_cast<std::size_t>(spec.heads));
  const int first = head * (spec.latent.nope_dim + spec.latent.value_dim);
  float sum = 0;
  for (int n = 0; n < spec.latent.nope_dim; ++n)
    sum += q(row, n) *
           element(*kv_b.stored, at(static_cast<std::size_t>(first + n), rank) + static_cast<std::size_t>(d));
  to(row, d) = sum;
}

/// to = V mean of every head of every token, V the head's rows of kv_b_proj behind its keys: means are
/// [tokens * heads, rank], `to` is [tokens * heads, value_dim]. A warp an element of `to`.
__global__ void expand_values(std::size_t count, AttentionSpec spec, Matrices kv_b, const float* means,
                              float* to) {
  const std::size_t i = this_warp();
  if (i >= count) return;
  const int rank = spec.latent.rank;
  const int values = spec.latent.value_dim;
  const std::size_t row = i / static_cast<std::size_t>(values);
  const auto head = static_cast<int>(row % static_cast<std::size_t>(spec.heads));
  const int of_value = head * (spec.latent.nope_dim + values) + spec.latent.nope_dim +
                       static_cast<int>(i % static_cast<std::size_t>(values));
  float sum = 0;
  for (int d = lane_index(); d < rank; d += kWarp)
    sum += means[at(row, rank) + static_cast<std::size_t>(d)] *
           element(*kv_b.stored, at(static_cast<std::size_t>(of_value), rank) + static_cast<std::size_t>(d));
  sum = warp_sum(sum);
  if (lane_index() == 0) to[i] = sum;
}

}  // namespace expertscope::cuda::plain
