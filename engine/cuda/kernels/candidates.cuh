// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "engine/cuda/kernels/route.cuh"
#include "engine/cuda/kernels/rows.cuh"
#include "engine/cuda/step/device_step.h"

/// The most probable tokens of a row of logits, found where the logits are: a decode step sends a few hundred
/// bytes to the host instead of a vocabulary. Two kernels: blocks find the largest of their share of the
/// vocabulary, then one block a row the largest of those.
namespace expertscope::cuda {

inline constexpr int kCandidateThreads = 256;
inline constexpr int kLogitsOfAThread = kCandidateShare / kCandidateThreads;
/// Shares that a row's candidates are put together from; the host looks at the logits of larger vocabularies.
inline constexpr int kMostShares = 512;

/// The k-th largest of `count` keys in shared memory, by the block: four rounds of eight bits, from the top.
/// `histogram` is [256]. All keys when there are fewer than k.
__device__ inline std::uint32_t kth_largest(const std::uint32_t* keys, int count, int k, int* histogram) {
  __shared__ std::uint32_t found;
  __shared__ int remaining;
  if (threadIdx.x == 0) {
    found = 0;
    remaining = k;
  }
  __syncthreads();
  if (count <= k) return 0;
  for (int shift = 24; shift >= 0; shift -= 8) {
    for (int i = static_cast<int>(threadIdx.x); i < 256; i += kCandidateThreads)
      histogram[i] = 0;
    __syncthreads();
    const std::uint32_t above = shift == 24 ? 0u : ~0u << (shift + 8);
    const std::uint32_t prefix = found;
    for (int i = static_cast<int>(threadIdx.x); i < count; i += kCandidateThreads)
      if ((keys[i] & above) == prefix) atomicAdd(&histogram[keys[i] >> shift & 255u], 1);
    __syncthreads();
    if (warp_index() == 0) {  // a lane looks after eight digits, the largest first
      const int first = 255 - lane_index() * 8;
      int mine = 0;
      for (int d = 0; d < 8; ++d)
        mine += histogram[first - d];
      int before = mine;
      for (int offset = 1; offset < kWarp; offset *= 2) {
        const int other = __shfl_up_sync(kAllLanes, before, static_cast<unsigned>(offset));
        if (lane_index() >= offset) before += other;
      }
      before -= mine;
      const int wanted = remaining;
      __syncwarp();
      if (before < wanted && before + mine >= wanted) {
        int d = 0;
        while (before + histogram[first - d] < wanted)
          before += histogram[first - d++];
        found = prefix | static_cast<std::uint32_t>(first - d) << shift;
        remaining = wanted - before;
      }
    }
    __syncthreads();
  }
  return found;
}

/// Largest of the block, in all threads.
__device__ inline float block_max(float value, float* scratch) {
  value = warp_max(value);
  if (lane_index() == 0) scratch[warp_index()] = value;
  __syncthreads();
  for (int warp = 0; warp < warps_per_block(); ++warp)
    value = fmaxf(value, scratch[warp]);
  __syncthreads();
  return value;
}

/// Blocks: (shares of the vocabulary, rows). The number wanted is step->candidates. Every block leaves the
/// `wanted` largest of its share (with those that equal the last, as far as there is room), its largest logit
/// and its sum of exponentials.
__global__ void __launch_bounds__(kCandidateThreads)
    find_candidate_parts(const DeviceStep* step, const float* logits, int vocab, CandidateParts parts) {
  __shared__ std::uint32_t keys[kCandidateShare];
  __shared__ int histogram[256];
  __shared__ float scratch[kCandidateThreads / kWarp];
  __shared__ int taken;
  if (static_cast<int>(blockIdx.y) >= step->output_rows) return;  // the padding of a bucket
  const float* row = logits + static_cast<std::size_t>(blockIdx.y) * static_cast<std::size_t>(vocab);
  const int first = static_cast<int>(blockIdx.x) * kCandidateShare;
  const int count = min(kCandidateShare, vocab - first);
  float logit[kLogitsOfAThread];
  float largest = -INFINITY;
#pragma unroll
  for (int j = 0; j < kLogitsOfAThread; ++j) {
    const int i = static_cast<int>(threadIdx.x) + j * kCandidateThreads;
    logit[j] = i < count ? row[first + i] : -INFINITY;
  }
#pragma unroll
  for (int j = 0; j < kLogitsOfAThread; ++j) {
    keys[static_cast<int>(threadIdx.x) + j * kCandidateThreads] = ordered(logit[j]);
    largest = fmaxf(largest, logit[j]);
  }
  largest = block_max(largest, scratch);
  float sum = 0;
#pragma unroll
  for (int j = 0; j < kLogitsOfAThread; ++j)
    if (static_cast<int>(threadIdx.x) + j * kCandidateThreads < count) sum += expf(logit[j] - largest);
  sum = block_sum<kCandidateThreads / kWarp>(sum, scratch);
  const std::size_t part = static_cast<std::size_t>(blockIdx.y) * gridDim.x + blockIdx.x;
  if (threadIdx.x == 0) {
    taken = 0;
    parts.largest[part] = largest;
    parts.sum[part] = sum;
  }
  const std::uint32_t least = kth_largest(keys, count, step->candidates, histogram);
  __syncthreads();
#pragma unroll
  for (int j = 0; j < kLogitsOfAThread; ++j) {
    const int i = static_cast<int>(threadIdx.x) + j * kCandidateThreads;
    if (i >= count || keys[i] < least) continue;
    const int at = atomicAdd(&taken, 1);
    if (at < kCandidateRoom) parts.candidate[part * kCandidateRoom + at] = {first + i, logit[j]};
  }
  __syncthreads();
  if (threadIdx.x == 0) parts.count[part] = taken;
}

/// What merge_candidates knows of a row's shares, in shared memory.
struct ShareSums {
  int first[kMostShares + 1];  ///< where a share's candidates begin among those of all shares
  bool crowded;                ///< there are more than there is room for
};

/// The sums over a row's shares, by one warp; the row's log_sum_exp and the beginning of its count.
__device__ inline void sum_shares(const CandidateParts& parts, std::size_t first, int shares, ShareSums& sums,
                                  RowCandidates& out, unsigned* not_finite) {
  float largest = -INFINITY;
  for (int s = lane_index(); s < shares; s += kWarp)
    largest = fmaxf(largest, parts.largest[first + static_cast<std::size_t>(s)]);
  largest = warp_max(largest);
  double sum = 0;
  int total = 0;
  bool full = shares > kMostShares;
  for (int base = 0; base < shares; base += kWarp) {
    const int s = base + lane_index();
    const std::size_t at = first + static_cast<std::size_t>(min(s, shares - 1));
    const float relative = parts.largest[at] - largest;
    if (s < shares) sum += static_cast<double>(parts.sum[at]) * exp(static_cast<double>(relative));
    const int count = s < shares ? parts.count[at] : 0;
    full = full || count > kCandidateRoom;
    int before = count;
    for (int offset = 1; offset < kWarp; offset *= 2) {
      const int other = __shfl_up_sync(kAllLanes, before, static_cast<unsigned>(offset));
      if (lane_index() >= offset) before += other;
    }
    if (s < min(shares, kMostShares)) sums.first[s + 1] = total + before;
    total += __shfl_sync(kAllLanes, before, kWarp - 1);
  }
  for (int offset = kWarp / 2; offset > 0; offset /= 2)
    sum += __shfl_xor_sync(kAllLanes, sum, offset);
  full = __any_sync(kAllLanes, full) || total > kCandidateShare;
  if (lane_index() != 0) return;
  sums.first[0] = 0;
  sums.crowded = full;
  out.log_sum_exp = static_cast<double>(largest) + log(sum);
  out.count = full ? kCandidateRoom + 1 : 0;
  if (!isfinite(sum) || !isfinite(largest)) atomicOr(not_finite, 1u);
}

/// Blocks: rows. Puts the shares together: the `wanted` largest of all and those that equal the last. A count
/// above kCandidateRoom, here or of a share, says that there were more than fit: the host looks at the
/// logits.
__global__ void __launch_bounds__(kCandidateThreads)
    merge_candidates(const DeviceStep* step, int shares, CandidateParts parts, RowCandidates* rows,
                     unsigned* not_finite) {
  __shared__ std::uint32_t keys[kCandidateShare];
  __shared__ int histogram[256];
  __shared__ ShareSums sums;
  if (static_cast<int>(blockIdx.x) >= step->output_rows) return;
  const std::size_t first = static_cast<std::size_t>(blockIdx.x) * static_cast<std::size_t>(shares);
  RowCandidates& out = rows[blockIdx.x];
  if (warp_index() == 0) sum_shares(parts, first, shares, sums, out, not_finite);
  __syncthreads();
  if (sums.crowded) return;
  // All places of all shares, empty ones among them: the loads of a thread do not wait for each other.
  const DeviceCandidate* const candidate = parts.candidate + first * kCandidateRoom;
  const int places = shares * kCandidateRoom;
  constexpr int kAtOnce = 8;
  for (int base = static_cast<int>(threadIdx.x); base < places; base += kAtOnce * kCandidateThreads) {
    float logit[kAtOnce];
    int at[kAtOnce];
#pragma unroll
    for (int j = 0; j < kAtOnce; ++j) {
      const int place = base + j * kCandidateThreads;
      const int s = min(place / kCandidateRoom, shares - 1);
      at[j] = place < places ? sums.first[s] + place % kCandidateRoom : kCandidateShare;
      if (at[j] >= sums.first[s + 1]) at[j] = -1;
      logit[j] = at[j] >= 0 ? candidate[place].logit : 0.0f;
    }
#pragma unroll
    for (int j = 0; j < kAtOnce; ++j)
      if (at[j] >= 0) keys[at[j]] = ordered(logit[j]);
  }
  __syncthreads();
  const int total = sums.first[shares];
  const std::uint32_t least = kth_largest(keys, total, step->candidates, histogram);
  __syncthreads();
  for (int place = static_cast<int>(threadIdx.x); place < places; place += kCandidateThreads) {
    const int s = place / kCandidateRoom;
    const int at = sums.first[s] + place % kCandidateRoom;
    if (at >= sums.first[s + 1] || keys[at] < least) continue;
    const int to = atomicAdd(&out.count, 1);
    if (to < kCandidateRoom) out.candidate[to] = candidate[place];
  }
}

}  // namespace expertscope::cuda
