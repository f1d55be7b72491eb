// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cuda_runtime.h>

#include <cmath>
#include <cstdint>

#include "engine/cuda/kernels/instructions.cuh"

/// Sums and maxima over a warp and a block. The order of every sum is fixed by the lane and warp numbers, so
/// results do not change from run to run.
namespace expertscope::cuda {

inline constexpr unsigned kAllLanes = 0xffffffffu;
inline constexpr int kWarp = 32;

__device__ inline int lane_index() {
  return static_cast<int>(threadIdx.x) % kWarp;
}
__device__ inline int warp_index() {
  return static_cast<int>(threadIdx.x) / kWarp;
}
__device__ inline int warps_per_block() {
  return static_cast<int>(blockDim.x) / kWarp;
}

__device__ inline float warp_sum(float value) {
  for (int offset = kWarp / 2; offset > 0; offset /= 2)
    value += __shfl_xor_sync(kAllLanes, value, offset);
  return value;
}

__device__ inline float warp_max(float value) {
  for (int offset = kWarp / 2; offset > 0; offset /= 2)
    value = fmaxf(value, __shfl_xor_sync(kAllLanes, value, offset));
  return value;
}

/// Sum over a block of kWarps warps; `scratch` has room for one float each and may be used again after the
/// call.
template <int kWarps>
__device__ inline float block_sum(float value, float* scratch) {
  value = warp_sum(value);
  if (lane_index() == 0) scratch[warp_index()] = value;
  __syncthreads();
  float sum = 0;
#pragma unroll
  for (int warp = 0; warp < kWarps; ++warp)
    sum += scratch[warp];
  __syncthreads();
  return sum;
}

/// The largest magnitude of a row and where it is: of equals the lowest channel. NaN beats every number, as
/// in the CPU backend's row_stats.
struct Peak {
  float value = 0;
  std::int32_t channel = 0;
};

__device__ inline bool beats(const Peak& a, const Peak& b) {
  const bool a_nan = isnan(a.value);
  const bool b_nan = isnan(b.value);
  if (a_nan != b_nan) return a_nan;
  if (!a_nan && a.value != b.value) return a.value > b.value;
  return a.channel < b.channel;
}

__device__ inline Peak warp_peak(Peak peak) {
  for (int offset = kWarp / 2; offset > 0; offset /= 2) {
    const Peak other{__shfl_xor_sync(kAllLanes, peak.value, offset),
                     __shfl_xor_sync(kAllLanes, peak.channel, offset)};
    if (beats(other, peak)) peak = other;
  }
  return peak;
}

/// Counts blocks that have finished a piece of work; true in all threads of the one that came last, and then
/// everything the others wrote before is visible. `counter` is zero again afterwards.
///
/// One thread's atomic stands for the whole block: a barrier orders what the block's threads wrote before
/// what thread 0 does behind it, and a release is cumulative, so thread 0 publishes their writes with its
/// own; the same way back, what thread 0 acquires the others see behind the second barrier. The grid barrier
/// of cooperative groups rests on the same. A fence by every thread would only make each of them wait for it.
__device__ inline bool is_last_block(unsigned* counter, unsigned blocks) {
  __shared__ bool last;
  __syncthreads();
  if (threadIdx.x == 0) {
    last = add_acquire_release(counter, 1u) == blocks - 1;
    if (last) *counter = 0;
  }
  __syncthreads();
  return last;
}

}  // namespace expertscope::cuda
