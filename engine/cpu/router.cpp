// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/cpu/router.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace expertscope::cpu {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// values = softmax(values), in place.
void softmax(std::span<float> values) {
  const float max = *std::max_element(values.begin(), values.end());
  float sum = 0;
  for (float& value : values) {
    value = std::exp(value - max);
    sum += value;
  }
  for (float& value : values)
    value /= sum;
}

/// Fills the slots with the largest keys; a slot's `weight` holds its key meanwhile. NaN keys lose against
/// everything that was seen before them, so the result is a set of distinct experts for any input.
void select(std::span<const float> logits, const LayerRouting& routing, std::span<RoutedSlot> slots) {
  std::size_t filled = 0;
  for (std::size_t e = 0; e < logits.size(); ++e) {
    float key = logits[e];
    if (routing.edited) key = routing.force[e] ? kInfinity : key + routing.logit_bias[e];
    std::size_t at = filled;
    while (at > 0 && key > slots[at - 1].weight)
      --at;
    if (at == slots.size()) continue;
    filled = std::min(filled + 1, slots.size());
    for (std::size_t i = filled - 1; i > at; --i)
      slots[i] = slots[i - 1];
    slots[at] = {static_cast<std::int32_t>(e), 0.0f, key};
  }
}

bool is_forced(const LayerRouting& routing, const RoutedSlot& slot) {
  return routing.edited && routing.force[static_cast<std::size_t>(slot.expert)];
}

/// Empties the slots behind the first whose cumulative probability exceeds top_p, but for forced ones.
void apply_top_p(const LayerRouting& routing, std::span<RoutedSlot> slots) {
  if (routing.top_p >= 1.0f) return;
  float before = 0;
  for (RoutedSlot& slot : slots) {
    const float probability = slot.probability;
    if (!(before <= routing.top_p) && !is_forced(routing, slot)) slot = {};
    before += probability;
  }
}

float sum_of_weights(std::span<const RoutedSlot> slots) {
  float sum = 0;
  for (const RoutedSlot& slot : slots)
    sum += slot.weight;
  return sum;
}

void drop_experts(const LayerRouting& routing, std::span<RoutedSlot> slots) {
  const float before = sum_of_weights(slots);
  for (RoutedSlot& slot : slots) {
    if (slot.expert < 0 || !routing.drop[static_cast<std::size_t>(slot.expert)]) continue;
    slot.expert = -1;
    slot.weight = 0;
  }
  const float after = sum_of_weights(slots);
  if (!(after > 0) || after == before) return;
  for (RoutedSlot& slot : slots)
    slot.weight *= before / after;
}

void reroute(const LayerRouting& routing, std::span<RoutedSlot> slots) {
  for (std::size_t i = 0; i < slots.size(); ++i) {
    RoutedSlot& slot = slots[i];
    if (slot.expert < 0) continue;
    slot.expert = routing.remap[static_cast<std::size_t>(slot.expert)];
    for (std::size_t earlier = 0; earlier < i; ++earlier) {
      if (slots[earlier].expert != slot.expert) continue;
      slots[earlier].weight += slot.weight;
      slot.expert = -1;
      slot.weight = 0;
      break;
    }
  }
}

}  // namespace

void route(std::span<const float> logits, const LayerRouting& routing, std::span<float> probabilities,
           std::span<RoutedSlot> slots) {
  std::copy(logits.begin(), logits.end(), probabilities.begin());
  if (routing.edited) {
    for (std::size_t e = 0; e < logits.size(); ++e)
      probabilities[e] += routing.logit_bias[e];
  }
  softmax(probabilities);
  select(logits, routing, slots);
  for (RoutedSlot& slot : slots)
    slot.probability = probabilities[static_cast<std::size_t>(slot.expert)];
  apply_top_p(routing, slots);
  for (RoutedSlot& slot : slots)
    slot.weight = slot.probability;
  if (routing.renormalise) {
    const float sum = sum_of_weights(slots);
    // 0 when nothing but a forced expert far below the others is left: it stays silent instead of NaN.
    for (RoutedSlot& slot : slots)
      slot.weight = sum == 0 ? 0.0f : slot.weight / sum;
  }
  if (!routing.edited) return;
  drop_experts(routing, slots);
  reroute(routing, slots);
}

float router_entropy(std::span<const float> logits, std::span<float> scratch) {
  const float max = *std::max_element(logits.begin(), logits.end());
  float sum = 0;
  for (std::size_t e = 0; e < logits.size(); ++e) {
    scratch[e] = std::exp(logits[e] - max);
    sum += scratch[e];
  }
  float weighted = 0;
  for (std::size_t e = 0; e < logits.size(); ++e)
    weighted += scratch[e] * (logits[e] - max);
  return std::log(sum) - weighted / sum;
}

}  // namespace expertscope::cpu
