// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>

#include "engine/cuda/kernels/block.cuh"
#include "engine/cuda/step/device_step.h"

namespace expertscope::cuda {

/// Shared memory of one warp that routes: `route_scratch_floats(experts, top_k)` floats.
struct RouteScratch {
  float* key = nullptr;                 ///< [experts]
  float* probability = nullptr;         ///< [experts]
  float* slot_probability = nullptr;    ///< [top_k]
  float* slot_weight = nullptr;         ///< [top_k]
  std::int32_t* slot_expert = nullptr;  ///< [top_k]
};

constexpr int route_scratch_floats(int experts, int top_k) {
  return 2 * experts + 3 * top_k;
}

__device__ inline RouteScratch route_scratch(float* memory, int experts, int top_k) {
  return {memory, memory + experts, memory + 2 * experts, memory + 2 * experts + top_k,
          reinterpret_cast<std::int32_t*>(memory + 2 * experts + 2 * top_k)};
}

/// A float as an integer of the same order: NaN below everything, the two zeros equal.
__device__ inline std::uint32_t ordered(float value) {
  if (isnan(value)) return 0;
  const std::uint32_t bits = value == 0.0f ? 0u : __float_as_uint(value);
  return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}

/// keys = logits with their biases (forced: infinity); probabilities = softmax of the biased logits.
__device__ inline void softmax_and_keys(const float* logits, const DeviceRouting& routing, int experts,
                                        const RouteScratch& scratch) {
  float largest = -INFINITY;
  for (int e = lane_index(); e < experts; e += kWarp) {
    const float logit = routing.edited ? logits[e] + routing.logit_bias[e] : logits[e];
    scratch.key[e] = logit;
    largest = fmaxf(largest, logit);
  }
  largest = warp_max(largest);
  float sum = 0;
  for (int e = lane_index(); e < experts; e += kWarp) {
    scratch.probability[e] = expf(scratch.key[e] - largest);
    sum += scratch.probability[e];
  }
  sum = warp_sum(sum);
  for (int e = lane_index(); e < experts; e += kWarp) {
    scratch.probability[e] /= sum;
    if (routing.edited && routing.force[e]) scratch.key[e] = INFINITY;
  }
  __syncwarp();
}

/// The top_k largest keys in descending order, of equals the lower index first. NaN loses against every
/// number: whatever the logits, the result is a set of distinct experts.
__device__ inline void select_experts(const RouteScratch& scratch, int experts, int top_k) {
  std::uint32_t taken = 0;  // one bit for each expert this lane looks after
  for (int slot = 0; slot < top_k; ++slot) {
    std::uint32_t best = 0;
    int index = experts;
    for (int e = lane_index(), bit = 0; e < experts; e += kWarp, ++bit) {
      if ((taken >> bit & 1u) != 0) continue;
      const std::uint32_t key = ordered(scratch.key[e]);
      if (index < experts && key <= best) continue;
      best = key;
      index = e;
    }
    for (int offset = kWarp / 2; offset > 0; offset /= 2) {
      const std::uint32_t other = __shfl_xor_sync(kAllLanes, best, offset);
      const int other_index = __shfl_xor_sync(kAllLanes, index, offset);
      const bool there = other_index < experts;
      if (there && (index >= experts || other > best || (other == best && other_index < index))) {
        best = other;
        index = other_index;
      }
    }
    if (index % kWarp == lane_index()) taken |= 1u << (index / kWarp);
    if (lane_index() == 0) {
      scratch.slot_expert[slot] = index;
      scratch.slot_probability[slot] = scratch.probability[index];
    }
  }
}

/// Steps 3 to 6 of engine/cpu/router.h, slot after slot by one thread: the sums have the order of the CPU.
__device__ inline void weigh_slots(const DeviceRouting& routing, const RouteScratch& s) {
  const int top_k = routing.top_k;
  float before = 0;
  for (int i = 0; i < top_k; ++i) {
    const float probability = s.slot_probability[i];
    const bool forced = routing.edited && routing.force[s.slot_expert[i]];
    if (routing.top_p < 1.0f && !(before <= routing.top_p) && !forced) {
      s.slot_expert[i] = -1;
      s.slot_probability[i] = 0;
    }
    before += probability;
    s.slot_weight[i] = s.slot_probability[i];
  }
  float sum = 0;
  for (int i = 0; i < top_k; ++i)
    sum += s.slot_weight[i];
  if (routing.renormalise) {
    for (int i = 0; i < top_k; ++i)
      s.slot_weight[i] = sum == 0 ? 0.0f : s.slot_weight[i] / sum;
  }
}

__device__ inline void drop_slots(const DeviceRouting& routing, const RouteScratch& s) {
  float before = 0;
  float after = 0;
  for (int i = 0; i < routing.top_k; ++i) {
    before += s.slot_weight[i];
    if (s.slot_expert[i] >= 0 && routing.drop[s.slot_expert[i]]) {
      s.slot_expert[i] = -1;
      s.slot_weight[i] = 0;
    }
    after += s.slot_weight[i];
  }
  if (!(after > 0) || after == before) return;
  for (int i = 0; i < routing.top_k; ++i)
    s.slot_weight[i] *= before / after;
}

__device__ inline void reroute_slots(const DeviceRouting& routing, const RouteScratch& s) {
  for (int i = 0; i < routing.top_k; ++i) {
    if (s.slot_expert[i] < 0) continue;
    s.slot_expert[i] = routing.remap[s.slot_expert[i]];
    for (int earlier = 0; earlier < i; ++earlier) {
      if (s.slot_expert[earlier] != s.slot_expert[i]) continue;
      s.slot_weight[earlier] += s.slot_weight[i];
      s.slot_expert[i] = -1;
      s.slot_weight[i] = 0;
      break;
    }
  }
}

/// Entropy of softmax(logits) in nats: log sum exp(z) - sum p z.
__device__ inline float router_entropy(const float* logits, int experts) {
  float largest = -INFINITY;
  for (int e = lane_index(); e < experts; e += kWarp)
    largest = fmaxf(largest, logits[e]);
  largest = warp_max(largest);
  float sum = 0;
  float weighted = 0;
  for (int e = lane_index(); e < experts; e += kWarp) {
    const float exponential = expf(logits[e] - largest);
    sum += exponential;
    weighted += exponential * (logits[e] - largest);
  }
  sum = warp_sum(sum);
  weighted = warp_sum(weighted);
  return logf(sum) - weighted / sum;
}

/// Routes one token by one warp: what engine/cpu/router.h describes, with the probes of the router. `token`
/// is the row of the batch; slots behind the layer's top_k are marked empty.
__device__ inline void route_token(const DeviceStep& step, const DeviceRouting& routing, const float* logits,
                                   int experts, int moe_layer, int token, const RouteScratch& scratch,
                                   const DeviceSlots& slots) {
  softmax_and_keys(logits, routing, experts, scratch);
  select_experts(scratch, experts, routing.top_k);
  if (lane_index() == 0) {
    weigh_slots(routing, scratch);
    if (routing.edited) {
      drop_slots(routing, scratch);
      reroute_slots(routing, scratch);
    }
  }
  __syncwarp();
  const DeviceCapture& capture = step.capture;
  const std::size_t row = static_cast<std::size_t>(moe_layer) * static_cast<std::size_t>(step.tokens) +
                          static_cast<std::size_t>(token);
  for (int i = lane_index(); i < step.slots; i += kWarp) {
    const bool filled = i < routing.top_k;
    const int expert = filled ? scratch.slot_expert[i] : -1;
    const float weight = filled ? scratch.slot_weight[i] : 0.0f;
    slots.expert[token * step.slots + i] = expert;
    slots.weight[token * step.slots + i] = weight;
    const std::size_t at = row * static_cast<std::size_t>(step.slots) + static_cast<std::size_t>(i);
    if (capture.expert != nullptr) capture.expert[at] = static_cast<std::uint16_t>(expert);  // -1: kNoExpert
    if (capture.probability != nullptr) capture.probability[at] = filled ? scratch.slot_probability[i] : 0.0f;
    if (capture.weight != nullptr) capture.weight[at] = weight;
  }
  if (capture.entropy != nullptr) {
    const float entropy = router_entropy(logits, experts);
    if (lane_index() == 0) capture.entropy[row] = entropy;
  }
  if (capture.router_logits != nullptr) {
    for (int e = lane_index(); e < experts; e += kWarp)
      capture.router_logits[row * static_cast<std::size_t>(experts) + static_cast<std::size_t>(e)] =
          logits[e];
  }
  __syncwarp();
}

}  // namespace expertscope::cuda
