// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/cpu/router.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace expertscope::cpu {
namespace {

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

/// Step 2 of the rules.
void score(std::span<const float> logits, const RouterRule& rule, std::span<float> scores) {
  for (std::size_t e = 0; e < logits.size(); ++e)
    scores[e] = rules::edited_logit(rule, static_cast<int>(e), logits[e]);
  if (rule.model.score == RouterSpec::Score::softmax) return softmax(scores);
  for (float& value : scores)
    value = rules::own_score(rule.model.score, value);
}

/// Bits of the groups that experts are chosen within.
std::uint32_t chosen_groups(std::span<const float> logits, const RouterRule& rule,
                            std::span<const float> scores) {
  std::array<float, RouterSpec::kMaxGroups> rank{};
  for (int g = 0; g < rule.model.groups; ++g)
    rank[static_cast<std::size_t>(g)] = rules::group_rank(rule, g, logits.data(), scores.data());
  std::uint32_t chosen = 0;
  for (int g = 0; g < rule.model.groups; ++g) {
    int before = 0;
    for (int other = 0; other < rule.model.groups; ++other)
      before += rules::group_precedes(rank[static_cast<std::size_t>(other)], other,
                                      rank[static_cast<std::size_t>(g)], g);
    if (before < rule.model.top_groups) chosen |= 1u << g;
  }
  return chosen;
}

/// Fills the slots with the largest keys; a slot's `weight` holds its key meanwhile. NaN keys lose against
/// everything that was seen before them, so the result is a set of distinct experts for any input. Slots are
/// left empty only where groups have too few experts.
void select(std::span<const float> logits, const RouterRule& rule, std::span<const float> scores,
            std::span<RoutedSlot> slots) {
  const bool groups = rules::has_groups(rule);
  const std::uint32_t chosen = groups ? chosen_groups(logits, rule, scores) : 0;
  const bool by_score = rules::ranks_by_score(rule);
  std::size_t filled = 0;
  for (std::size_t e = 0; e < logits.size(); ++e) {
    const int expert = static_cast<int>(e);
    if (groups && !rules::can_be_chosen(rule, chosen, expert)) continue;
    const float rank = by_score ? rules::rank_of_score(rule, expert, scores[e])
                                : rules::edited_logit(rule, expert, logits[e]);
    const float key = rules::selection_key(rule, expert, rank);
    std::size_t at = filled;
    while (at > 0 && key > slots[at - 1].weight)
      --at;
    if (at == slots.size()) continue;
    filled = std::min(filled + 1, slots.size());
    for (std::size_t i = filled - 1; i > at; --i)
      slots[i] = slots[i - 1];
    slots[at] = {expert, 0.0f, key};
  }
  std::fill(slots.begin() + static_cast<std::ptrdiff_t>(filled), slots.end(), RoutedSlot{});
}

}  // namespace

RouterRule rule_of(const LayerRouting& routing, std::span<const float> correction_bias) {
  return {.logit_bias = routing.logit_bias.data(),
          .remap = routing.remap.data(),
          .output_scale = routing.output_scale.data(),
          .drop = routing.drop.data(),
          .force = routing.force.data(),
          .correction_bias = correction_bias.empty() ? nullptr : correction_bias.data(),
          .top_k = routing.top_k,
          .top_p = routing.top_p,
          .edited = routing.edited ? 1 : 0,
          .model = routing.model};
}

void route(std::span<const float> logits, const RouterRule& rule, std::span<float> scores,
           std::span<RoutedSlot> slots) {
  score(logits, rule, scores);
  select(logits, rule, scores, slots);
  for (RoutedSlot& slot : slots)
    if (slot.expert >= 0) slot.score = scores[static_cast<std::size_t>(slot.expert)];
  rules::weigh_slots(rule, slots.data());
}

float router_entropy(RouterSpec::Score score, std::span<const float> logits, std::span<float> scratch) {
  float sum = 0;
  float weighted = 0;
  if (score == RouterSpec::Score::sigmoid) {
    for (const float logit : logits) {
      const float own = rules::own_score(score, logit);
      sum += own;
      weighted += rules::times_its_log(own);
    }
    return rules::entropy_of(sum, weighted);
  }
  const float max = *std::max_element(logits.begin(), logits.end());
  for (std::size_t e = 0; e < logits.size(); ++e) {
    scratch[e] = std::exp(logits[e] - max);
    sum += scratch[e];
  }
  for (std::size_t e = 0; e < logits.size(); ++e)
    weighted += scratch[e] * (logits[e] - max);
  return rules::entropy_of(sum, weighted);
}

}  // namespace expertscope::cpu
