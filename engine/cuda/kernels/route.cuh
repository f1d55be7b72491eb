// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>

#include "engine/cuda/kernels/block.cuh"
#include "engine/cuda/step/device_step.h"

namespace expertscope::cuda {

/// Shared memory of one warp that routes: `route_scratch_floats(experts, top_k)` floats.
struct RouteScratch {
  float* score = nullptr;        ///< [experts]
  std::uint32_t* key = nullptr;  ///< [experts] where keys are not made in registers
  RoutedSlot* slot = nullptr;    ///< [top_k]
};

constexpr int route_scratch_floats(int experts, int top_k) {
  return 2 * experts + top_k * static_cast<int>(sizeof(RoutedSlot) / sizeof(float));
}

__device__ inline RouteScratch route_scratch(float* memory, int experts) {
  return {memory, reinterpret_cast<std::uint32_t*>(memory + experts),
          reinterpret_cast<RoutedSlot*>(memory + 2 * experts)};
}

/// A float as an integer of the same order: NaN below everything, the two zeros equal.
__device__ inline std::uint32_t ordered(float value) {
  if (isnan(value)) return 0;
  const std::uint32_t bits = value == 0.0f ? 0u : __float_as_uint(value);
  return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}

/// What experts are sorted by: larger before smaller, NaN behind every number (1), and 0 for those that
/// cannot be chosen.
__device__ inline std::uint32_t key_of(const DeviceRouting& routing, int expert, float rank) {
  return max(ordered(rules::selection_key(routing, expert, rank)), 1u);
}

/// scratch.score = softmax of the logits with their biases, and keys by logit: key[j] is that of expert
/// j * kWarp + lane. kEach experts a lane at most.
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
  if (routing.edited != 0) {
#pragma unroll
    for (int j = 0; j < kEach; ++j) {
      const int e = j * kWarp + lane_index();
      if (e < experts) value[j] = rules::edited_logit(routing, e, value[j]);
    }
  }
#pragma unroll
  for (int j = 0; j < kEach; ++j) {
    const int e = j * kWarp + lane_index();
    key[j] = e < experts ? key_of(routing, e, value[j]) : 0u;
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
    if (e < experts) scratch.score[e] = value[j] / sum;
  }
  __syncwarp();
}

/// values = softmax(values), [count], by one warp.
__device__ inline void softmax_of_warp(float* values, int count) {
  float largest = -INFINITY;
  float sum = 0;
  for (int i = lane_index(); i < count; i += kWarp)
    largest = fmaxf(largest, values[i]);
  largest = warp_max(largest);
  for (int i = lane_index(); i < count; i += kWarp) {
    values[i] = expf(values[i] - largest);
    sum += values[i];
  }
  sum = warp_sum(sum);
  for (int i = lane_index(); i < count; i += kWarp)
    values[i] /= sum;
  __syncwarp();
}

/// Bits of the groups that experts are chosen within, a lane a group.
__device__ inline std::uint32_t chosen_groups(const float* logits, const DeviceRouting& routing,
                                              const RouteScratch& scratch) {
  static_assert(RouterSpec::kMaxGroups <= kWarp);
  const int group = lane_index();
  const int groups = routing.model.groups;
  const float rank = group < groups ? rules::group_rank(routing, group, logits, scratch.score) : -INFINITY;
  int before = 0;
  for (int other = 0; other < groups; ++other)
    before += rules::group_precedes(__shfl_sync(kAllLanes, rank, other), other, rank, group) ? 1 : 0;
  return __ballot_sync(kAllLanes, group < groups && before < routing.model.top_groups ? 1 : 0);
}

/// Scores and keys by any rule, for fill_slots. A call of its own, on the rule where it lies: the kernels
/// keep their registers for the usual one.
__device__ __noinline__ inline void rank_by_rule(const float* logits, const DeviceRouting* rule, int experts,
                                                 RouteScratch scratch) {
  for (int e = lane_index(); e < experts; e += kWarp) {
    const float logit = rules::edited_logit(*rule, e, logits[e]);
    scratch.score[e] = rules::own_score(rule->model.score, logit);
  }
  __syncwarp();
  if (rule->model.score == RouterSpec::Score::softmax) softmax_of_warp(scratch.score, experts);
  const bool groups = rules::has_groups(*rule);
  const std::uint32_t chosen = groups ? chosen_groups(logits, *rule, scratch) : 0;
  for (int e = lane_index(); e < experts; e += kWarp) {
    const float logit = rules::edited_logit(*rule, e, logits[e]);
    const bool choosable = !groups || rules::can_be_chosen(*rule, chosen, e);
    scratch.key[e] = choosable ? key_of(*rule, e, rules::rank_of(*rule, e, logit, scratch.score[e])) : 0u;
  }
  __syncwarp();
}

/// Steps 6 to 10 of the rules, by one thread.
__device__ __noinline__ inline void weigh_by_rule(const DeviceRouting* rule, RoutedSlot* slots) {
  rules::weigh_slots(*rule, slots);
}

/// The top_k largest keys in descending order, of equals the lower index first: whatever the logits, the
/// result is a set of distinct experts. Slots are empty behind the last that can be chosen.
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
    if (lane_index() == 0) scratch.slot[slot].expert = best == 0 ? -1 : static_cast<std::int32_t>(index);
  }
  __syncwarp();
  for (int slot = lane_index(); slot < top_k; slot += kWarp) {
    const std::int32_t expert = scratch.slot[slot].expert;
    scratch.slot[slot].score = expert < 0 ? 0.0f : scratch.score[expert];
  }
  __syncwarp();
}

/// Steps 1 to 5 of the rules, the keys in registers. `rule` is `routing` in memory.
template <int kEach>
__device__ inline void fill_slots(const float* logits, const DeviceRouting& routing,
                                  const DeviceRouting* rule, int experts, const RouteScratch& scratch) {
  std::uint32_t key[kEach];
  if (rules::is_plain_softmax(routing)) {
    softmax_and_keys(logits, routing, experts, scratch, key);
  } else {
    rank_by_rule(logits, rule, experts, scratch);
#pragma unroll
    for (int j = 0; j < kEach; ++j) {
      const int e = j * kWarp + lane_index();
      key[j] = e < experts ? scratch.key[e] : 0u;
    }
  }
  select_experts(scratch, experts, routing.top_k, key);
}

/// What rules::weigh_slots does where no expert is edited, none is cut off by top_p and every slot has its
/// score, by one warp, a lane a slot. The sum has the order of the CPU all the same.
__device__ inline void weigh_plain_slots(const DeviceRouting& routing, const RouteScratch& s) {
  const int slot = lane_index();
  const float score = slot < routing.top_k ? s.slot[slot].score : 0.0f;
  float sum = 0;
#pragma unroll 8
  for (int i = 0; i < routing.top_k; ++i)
    sum += __shfl_sync(kAllLanes, score, i);
  if (slot < routing.top_k) s.slot[slot].weight = rules::combine_weight(routing.model, score, sum);
}

__device__ inline bool slots_are_plain(const DeviceRouting& routing) {
  return routing.edited == 0 && routing.top_p >= 1.0f && routing.top_k <= kWarp &&
         routing.model.score != RouterSpec::Score::softmax_of_chosen;
}

/// router_entropy of engine/cpu/router.h.
__device__ inline float router_entropy(RouterSpec::Score score, const float* logits, int experts) {
  float sum = 0;
  float weighted = 0;
  if (score == RouterSpec::Score::sigmoid) {
    for (int e = lane_index(); e < experts; e += kWarp) {
      const float own = rules::own_score(score, logits[e]);
      sum += own;
      weighted += rules::times_its_log(own);
    }
  } else {
    float largest = -INFINITY;
    for (int e = lane_index(); e < experts; e += kWarp)
      largest = fmaxf(largest, logits[e]);
    largest = warp_max(largest);
    for (int e = lane_index(); e < experts; e += kWarp) {
      const float exponential = expf(logits[e] - largest);
      sum += exponential;
      weighted += exponential * (logits[e] - largest);
    }
  }
  sum = warp_sum(sum);
  weighted = warp_sum(weighted);
  return rules::entropy_of(sum, weighted);
}

/// Row of a token in the arrays of the probes.
__device__ inline std::size_t capture_row(const DeviceStep& step, int moe_layer, int token) {
  return static_cast<std::size_t>(moe_layer) * static_cast<std::size_t>(step.tokens) +
         static_cast<std::size_t>(token);
}

/// Routes one token by one warp: engine/backend/routing_rules.h, with the probes of the slots. `token` is the
/// row of the batch, `rule` is `routing` in memory; slots behind the layer's top_k are marked empty.
__device__ inline void route_token(const DeviceStep& step, const DeviceRouting& routing,
                                   const DeviceRouting* rule, const float* logits, int experts, int moe_layer,
                                   int token, const RouteScratch& scratch, const DeviceSlots& slots) {
  const int room = step.slots;
  const std::size_t row = capture_row(step, moe_layer, token) * static_cast<std::size_t>(room);
  std::uint16_t* const captured_expert = step.capture.expert;
  float* const captured_probability = step.capture.probability;
  float* const captured_weight = step.capture.weight;
  if (experts <= 4 * kWarp)
    fill_slots<4>(logits, routing, rule, experts, scratch);
  else if (experts <= 8 * kWarp)
    fill_slots<8>(logits, routing, rule, experts, scratch);
  else
    fill_slots<kMaxExperts / kWarp>(logits, routing, rule, experts, scratch);
  if (slots_are_plain(routing))
    weigh_plain_slots(routing, scratch);
  else if (lane_index() == 0)
    weigh_by_rule(rule, scratch.slot);
  __syncwarp();
  for (int i = lane_index(); i < room; i += kWarp) {
    const bool filled = i < routing.top_k;
    const int expert = filled ? scratch.slot[i].expert : -1;
    const float weight = filled ? scratch.slot[i].weight : 0.0f;
    slots.expert[token * room + i] = expert;
    slots.weight[token * room + i] = weight;
    const std::size_t at = row + static_cast<std::size_t>(i);
    if (captured_expert != nullptr)
      captured_expert[at] = static_cast<std::uint16_t>(expert);  // -1: kNoExpert
    if (captured_probability != nullptr) captured_probability[at] = filled ? scratch.slot[i].score : 0.0f;
    if (captured_weight != nullptr) captured_weight[at] = weight;
  }
  __syncwarp();
}

/// The probes of a token's logits, by one warp.
__device__ inline void note_logits(const DeviceStep& step, RouterSpec::Score score, const float* logits,
                                   int experts, int moe_layer, int token) {
  const std::size_t row = capture_row(step, moe_layer, token);
  float* const captured_entropy = step.capture.entropy;
  float* const captured_logits = step.capture.router_logits;
  if (captured_entropy != nullptr) {
    const float entropy = router_entropy(score, logits, experts);
    if (lane_index() == 0) captured_entropy[row] = entropy;
  }
  if (captured_logits == nullptr) return;
  for (int e = lane_index(); e < experts; e += kWarp)
    captured_logits[row * static_cast<std::size_t>(step.capture.experts) + static_cast<std::size_t>(e)] =
        logits[e];
}

}  // namespace expertscope::cuda
