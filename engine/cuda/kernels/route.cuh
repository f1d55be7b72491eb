// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>

#include "engine/cuda/kernels/block.cuh"
#include "engine/cuda/step/device_step.h"

namespace expertscope::cuda {

/// Shared memory of one warp that routes: `route_scratch_floats(experts, top_k)` floats.
struct RouteScratch {
  float* probability = nullptr;         ///< [experts]
  float* slot_probability = nullptr;    ///< [top_k]
  float* slot_weight = nullptr;         ///< [top_k]
  std::int32_t* slot_expert = nullptr;  ///< [top_k]
};

constexpr int route_scratch_floats(int experts, int top_k) {
  return experts + 3 * top_k;
}

__device__ inline RouteScratch route_scratch(float* memory, int experts, int top_k) {
  return {memory, memory + experts, memory + experts + top_k,
          reinterpret_cast<std::int32_t*>(memory + experts + 2 * top_k)};
}

/// A float as an integer of the same order: NaN below everything, the two zeros equal.
__device__ inline std::uint32_t ordered(float value) {
  if (isnan(value)) return 0;
  const std::uint32_t bits = value == 0.0f ? 0u : __float_as_uint(value);
  return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}

/// scratch.probability = softmax of the logits with their biases. key[j] is the rank of expert
/// j * kWarp + lane among the experts: larger before smaller, NaN behind every number (1), and 0 for experts
/// that there are not; forced ones come first. kEach experts a lane at most.
template <int kEach>
__device__ inline void softmax_and_keys(const float* logits, const DeviceRouting& routing, int experts,
                                        const RouteScratch& scratch, std::uint32_t (&key)[kEach]) {
  float value[kEach];
  float largest = -INFINITY;
#pragma unroll
  for (int j = 0; j < kEach; ++j) {
    const int e = j * kWarp + lane_index();
    value[j] = e < experts ? logits[e] : -INFINITY;
  }
  if (routing.edited) {
#pragma unroll
    for (int j = 0; j < kEach; ++j) {
      const int e = j * kWarp + lane_index();
      if (e < experts) value[j] += routing.logit_bias[e];
    }
  }
#pragma unroll
  for (int j = 0; j < kEach; ++j) {
    const int e = j * kWarp + lane_index();
    key[j] = e < experts ? max(ordered(value[j]), 1u) : 0u;
    if (e < experts && routing.edited && routing.force[e]) key[j] = ordered(INFINITY);
    largest = fmaxf(largest, value[j]);
  }
  largest = warp_max(largest);
  float sum = 0;
#pragma unroll
  for (int j = 0; j < kEach; ++j) {
    value[j] = expf(value[j] - largest);
    if (j * kWarp + lane_index() < experts) sum += value[j];
  }
  sum = warp_sum(sum);
#pragma unroll
  for (int j = 0; j < kEach; ++j) {
    const int e = j * kWarp + lane_index();
    if (e < experts) scratch.probability[e] = value[j] / sum;
  }
  __syncwarp();
}

/// The top_k largest keys in descending order, of equals the lower index first: whatever the logits, the
/// result is a set of distinct experts.
template <int kEach>
__device__ inline void select_experts(const RouteScratch& scratch, int experts, int top_k,
                                      std::uint32_t (&key)[kEach]) {
  for (int slot = 0; slot < top_k; ++slot) {
    std::uint32_t best = 0;
#pragma unroll
    for (int j = 0; j < kEach; ++j)
      best = max(best, key[j]);
    best = __reduce_max_sync(kAllLanes, best);
    auto index = static_cast<unsigned>(experts);
#pragma unroll
    for (int j = kEach - 1; j >= 0; --j)
      if (key[j] == best) index = static_cast<unsigned>(j * kWarp + lane_index());
    index = __reduce_min_sync(kAllLanes, index);
#pragma unroll
    for (int j = 0; j < kEach; ++j)
      if (index == static_cast<unsigned>(j * kWarp + lane_index())) key[j] = 0;
    if (lane_index() == 0) scratch.slot_expert[slot] = static_cast<std::int32_t>(index);
  }
  __syncwarp();
  for (int slot = lane_index(); slot < top_k; slot += kWarp)
    scratch.slot_probability[slot] = scratch.probability[scratch.slot_expert[slot]];
  __syncwarp();
}

/// Steps 1 and 2 of engine/cpu/router.h, the keys in registers.
template <int kEach>
__device__ inline void fill_slots(const float* logits, const DeviceRouting& routing, int experts,
                                  const RouteScratch& scratch) {
  std::uint32_t key[kEach];
  softmax_and_keys(logits, routing, experts, scratch, key);
  select_experts(scratch, experts, routing.top_k, key);
}

/// What weigh_slots does where no expert is edited and none is cut off by top_p, by one warp, a lane a slot.
/// The sum has the order of the CPU all the same.
__device__ inline void weigh_plain_slots(const DeviceRouting& routing, const RouteScratch& s) {
  const int slot = lane_index();
  const float probability = slot < routing.top_k ? s.slot_probability[slot] : 0.0f;
  float sum = 0;
#pragma unroll 8
  for (int i = 0; i < routing.top_k; ++i)
    sum += __shfl_sync(kAllLanes, probability, i);
  if (slot >= routing.top_k) return;
  s.slot_weight[slot] = !routing.renormalise ? probability : sum == 0 ? 0.0f : probability / sum;
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

/// Row of a token in the arrays of the probes.
__device__ inline std::size_t capture_row(const DeviceStep& step, int moe_layer, int token) {
  return static_cast<std::size_t>(moe_layer) * static_cast<std::size_t>(step.tokens) +
         static_cast<std::size_t>(token);
}

/// Routes one token by one warp: what engine/cpu/router.h describes, with the probes of the slots. `token` is
/// the row of the batch; slots behind the layer's top_k are marked empty.
__device__ inline void route_token(const DeviceStep& step, const DeviceRouting& routing, const float* logits,
                                   int experts, int moe_layer, int token, const RouteScratch& scratch,
                                   const DeviceSlots& slots) {
  const int room = step.slots;
  const std::size_t row = capture_row(step, moe_layer, token) * static_cast<std::size_t>(room);
  std::uint16_t* const captured_expert = step.capture.expert;
  float* const captured_probability = step.capture.probability;
  float* const captured_weight = step.capture.weight;
  if (experts <= 4 * kWarp)
    fill_slots<4>(logits, routing, experts, scratch);
  else if (experts <= 8 * kWarp)
    fill_slots<8>(logits, routing, experts, scratch);
  else
    fill_slots<kMaxExperts / kWarp>(logits, routing, experts, scratch);
  if (!routing.edited && routing.top_p >= 1.0f && routing.top_k <= kWarp) {
    weigh_plain_slots(routing, scratch);
  } else if (lane_index() == 0) {
    weigh_slots(routing, scratch);
    if (routing.edited) {
      drop_slots(routing, scratch);
      reroute_slots(routing, scratch);
    }
  }
  __syncwarp();
  for (int i = lane_index(); i < room; i += kWarp) {
    const bool filled = i < routing.top_k;
    const int expert = filled ? scratch.slot_expert[i] : -1;
    const float weight = filled ? scratch.slot_weight[i] : 0.0f;
    slots.expert[token * room + i] = expert;
    slots.weight[token * room + i] = weight;
    const std::size_t at = row + static_cast<std::size_t>(i);
    if (captured_expert != nullptr)
      captured_expert[at] = static_cast<std::uint16_t>(expert);  // -1: kNoExpert
    if (captured_probability != nullptr)
      captured_probability[at] = filled ? scratch.slot_probability[i] : 0.0f;
    if (captured_weight != nullptr) captured_weight[at] = weight;
  }
  __syncwarp();
}

/// The probes of a token's logits, by one warp.
__device__ inline void note_logits(const DeviceStep& step, const float* logits, int experts, int moe_layer,
                                   int token) {
  const std::size_t row = capture_row(step, moe_layer, token);
  float* const captured_entropy = step.capture.entropy;
  float* const captured_logits = step.capture.router_logits;
  if (captured_entropy != nullptr) {
    const float entropy = router_entropy(logits, experts);
    if (lane_index() == 0) captured_entropy[row] = entropy;
  }
  if (captured_logits == nullptr) return;
  for (int e = lane_index(); e < experts; e += kWarp)
    captured_logits[row * static_cast<std::size_t>(experts) + static_cast<std::size_t>(e)] = logits[e];
}

}  // namespace expertscope::cuda
