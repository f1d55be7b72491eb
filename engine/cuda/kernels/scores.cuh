// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "engine/cuda/kernels/rows.cuh"

namespace expertscope::cuda {

/// log p(target) = logit - log sum exp of its row; NaN for target -1. Blocks: rows of `logits`.
__global__ void __launch_bounds__(kRowThreads)
    score_targets(const float* logits, int vocab, const std::int32_t* targets, float* log_probs,
                  unsigned* flag) {
  __shared__ float scratch[kRowThreads / kWarp];
  __shared__ double sums[kRowThreads / kWarp];
  const float* row = logits + static_cast<std::size_t>(blockIdx.x) * static_cast<std::size_t>(vocab);
  const int target = targets[blockIdx.x];
  if (target < 0) {
    if (threadIdx.x == 0) log_probs[blockIdx.x] = NAN;
    return;
  }
  float largest = -INFINITY;
  for (int i = static_cast<int>(threadIdx.x); i < vocab; i += kRowThreads)
    largest = fmaxf(largest, row[i]);
  largest = warp_max(largest);
  if (lane_index() == 0) scratch[warp_index()] = largest;
  __syncthreads();
  for (int warp = 0; warp < kRowThreads / kWarp; ++warp)
    largest = fmaxf(largest, scratch[warp]);
  double sum = 0;
  for (int i = static_cast<int>(threadIdx.x); i < vocab; i += kRowThreads)
    sum += static_cast<double>(expf(row[i] - largest));
  for (int offset = kWarp / 2; offset > 0; offset /= 2)
    sum += __shfl_xor_sync(kAllLanes, sum, offset);
  if (lane_index() == 0) sums[warp_index()] = sum;
  __syncthreads();
  if (threadIdx.x != 0) return;
  sum = 0;
  for (int warp = 0; warp < kRowThreads / kWarp; ++warp)
    sum += sums[warp];
  if (!isfinite(sum) || !isfinite(largest)) atomicOr(flag, 1u);
  log_probs[blockIdx.x] =
      static_cast<float>(static_cast<double>(row[target]) - (static_cast<double>(largest) + log(sum)));
}

}  // namespace expertscope::cuda
