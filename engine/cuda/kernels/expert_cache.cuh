// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "engine/cuda/kernels/experts_decode.cuh"
#include "engine/cuda/kernels/rows.cuh"
#include "engine/cuda/weights/expert_cache.h"

namespace expertscope::cuda {

inline constexpr int kCopyThreads = 256;

/// The slot that was read longest ago and not in this step, by one warp; -1 when there is none. Of equals the
/// lowest, so that runs repeat.
__device__ inline int oldest_slot(const DeviceExpertCache& cache, std::uint32_t now) {
  std::uint32_t age = 0;
  int slot = cache.slot_count;
  for (int s = lane_index(); s < cache.slot_count; s += kWarp) {
    const std::uint32_t mine = now - cache.last_use[s];
    if (mine > age) {
      age = mine;
      slot = s;
    }
  }
  for (int offset = kWarp / 2; offset > 0; offset /= 2) {
    const std::uint32_t other_age = __shfl_xor_sync(kAllLanes, age, offset);
    const int other = __shfl_xor_sync(kAllLanes, slot, offset);
    if (other_age > age || (other_age == age && other < slot)) {
      age = other_age;
      slot = other;
    }
  }
  return age > 0 ? slot : -1;
}

/// Gives the expert a slot and lists the copy; its tables point there from now on. One warp.
__device__ inline void take_slot(const DeviceExpertCache& cache, int expert, int slot, std::uint32_t now) {
  if (lane_index() == 0) {
    const int leaving = cache.expert_of_slot[slot];
    if (leaving >= 0) {
      const std::uint8_t* home = cache.host + static_cast<std::size_t>(leaving) * cache.expert_bytes;
      cache.gate_up[leaving] = home;
      cache.down[leaving] = home + cache.down_offset;
      cache.slot_of_expert[leaving] = -1;
    }
    std::uint8_t* place = cache.slots + static_cast<std::size_t>(slot) * cache.expert_bytes;
    cache.gate_up[expert] = place;
    cache.down[expert] = place + cache.down_offset;
    cache.slot_of_expert[expert] = slot;
    cache.expert_of_slot[slot] = expert;
    cache.last_use[slot] = now;
    const int at = (*cache.fetches)++;
    cache.fetch[2 * at] = expert;
    cache.fetch[2 * at + 1] = slot;
  }
  __syncwarp();
}

/// Decides what to bring: one block. Experts that are needed and there are marked as used first, so that none
/// of them makes room for another.
__global__ void __launch_bounds__(kRowThreads)
    choose_experts(const DeviceStep* step, const DeviceRouting* routing, DeviceSlots slots,
                   DeviceExpertCache cache, int first_token, int last_token) {
  __shared__ std::uint8_t needed[kMaxExperts];
  for (int e = static_cast<int>(threadIdx.x); e < cache.experts; e += kRowThreads)
    needed[e] = 0;
  __syncthreads();
  const int end = min(last_token, step->tokens) * step->slots;
  for (int i = first_token * step->slots + static_cast<int>(threadIdx.x); i < end; i += kRowThreads) {
    const int expert = slots.expert[i];
    if (slot_runs(*routing, expert)) needed[expert] = 1;
  }
  const std::uint32_t now = *cache.clock + 1;
  __syncthreads();  // all have read the clock before one of them sets it
  int hits = 0;
  for (int first = 0; first < cache.experts; first += kRowThreads) {
    const int e = first + static_cast<int>(threadIdx.x);
    const int slot = e < cache.experts && needed[e] != 0 ? cache.slot_of_expert[e] : -1;
    if (slot >= 0) cache.last_use[slot] = now;
    hits += __syncthreads_count(slot >= 0);
  }
  if (warp_index() != 0) return;
  if (lane_index() == 0) {
    *cache.clock = now;
    *cache.fetches = 0;
    cache.counters[0] += hits;
  }
  __syncwarp();
  for (int e = 0; e < cache.experts; ++e) {
    if (needed[e] == 0 || cache.slot_of_expert[e] >= 0) continue;
    if (lane_index() == 0) {
      ++cache.counters[1];
      cache.counters[2] += static_cast<long long>(cache.expert_bytes);
    }
    const int slot = oldest_slot(cache, now);
    if (slot >= 0) take_slot(cache, e, slot, now);
  }
}

/// Copies what was listed, 16 bytes a thread at a time. Blocks: (pieces, experts or fewer).
__global__ void __launch_bounds__(kCopyThreads) copy_experts(DeviceExpertCache cache) {
  const std::size_t words = cache.expert_bytes / sizeof(uint4);
  const std::size_t stride = static_cast<std::size_t>(gridDim.x) * kCopyThreads;
  for (int i = static_cast<int>(blockIdx.y); i < *cache.fetches; i += static_cast<int>(gridDim.y)) {
    const auto* from = reinterpret_cast<const uint4*>(
        cache.host + static_cast<std::size_t>(cache.fetch[2 * i]) * cache.expert_bytes);
    auto* to = reinterpret_cast<uint4*>(cache.slots + static_cast<std::size_t>(cache.fetch[2 * i + 1]) *
                                                          cache.expert_bytes);
    for (std::size_t w = static_cast<std::size_t>(blockIdx.x) * kCopyThreads + threadIdx.x; w < words;
         w += stride)
      to[w] = from[w];
  }
}

}  // namespace expertscope::cuda
