// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cmath>
#include <cstdint>

#include "engine/backend/routing_rules.h"

/// The rules of engine/backend/routing_rules.h for one token in one thread: the loops over experts that the
/// CPU and the plain path of CUDA share.
namespace expertscope::rules {

/// values = softmax(values), in place.
EXPERTSCOPE_HOST_DEVICE inline void softmax(float* values, int count) {
  float most = values[0];
  for (int i = 1; i < count; ++i)
    if (most < values[i]) most = values[i];
  float sum = 0;
  for (int i = 0; i < count; ++i) {
    values[i] = expf(values[i] - most);
    sum += values[i];
  }
  for (int i = 0; i < count; ++i)
    values[i] /= sum;
}

/// Step 2, of all experts.
EXPERTSCOPE_HOST_DEVICE inline void score_experts(const RouterRule& rule, const float* logits,
                                                  float* scores) {
  const int experts = rule.model.experts;
  for (int e = 0; e < experts; ++e)
    scores[e] = edited_logit(rule, e, logits[e]);
  if (rule.model.score == RouterSpec::Score::softmax) return softmax(scores, experts);
  for (int e = 0; e < experts; ++e)
    scores[e] = own_score(rule.model.score, scores[e]);
}

/// Step 4: bits of the groups that experts are chosen within.
EXPERTSCOPE_HOST_DEVICE inline std::uint32_t chosen_groups(const RouterRule& rule, const float* logits,
                                                           const float* scores) {
  float rank[RouterSpec::kMaxGroups];
  for (int g = 0; g < rule.model.groups; ++g)
    rank[g] = group_rank(rule, g, logits, scores);
  std::uint32_t chosen = 0;
  for (int g = 0; g < rule.model.groups; ++g) {
    int before = 0;
    for (int other = 0; other < rule.model.groups; ++other)
      before += group_precedes(rank[other], other, rank[g], g) ? 1 : 0;
    if (before < rule.model.top_groups) chosen |= 1u << g;
  }
  return chosen;
}

/// Step 5: fills the slots with the largest keys; a slot's `weight` holds its key meanwhile. NaN keys lose
/// against everything that was seen before them, so the result is a set of distinct experts for any input.
/// Slots are left empty only where groups have too few experts.
EXPERTSCOPE_HOST_DEVICE inline void select_experts(const RouterRule& rule, const float* logits,
                                                   const float* scores, RoutedSlot* slots) {
  const bool groups = has_groups(rule);
  const std::uint32_t chosen = groups ? chosen_groups(rule, logits, scores) : 0;
  const bool by_score = ranks_by_score(rule);
  int filled = 0;
  for (int e = 0; e < rule.model.experts; ++e) {
    if (groups && !can_be_chosen(rule, chosen, e)) continue;
    const float rank = by_score ? rank_of_score(rule, e, scores[e]) : edited_logit(rule, e, logits[e]);
    const float key = selection_key(rule, e, rank);
    int at = filled;
    while (at > 0 && key > slots[at - 1].weight)
      --at;
    if (at == rule.top_k) continue;
    if (filled < rule.top_k) ++filled;
    for (int i = filled - 1; i > at; --i)
      slots[i] = slots[i - 1];
    slots[at] = {e, 0.0f, key};
  }
  for (int i = filled; i < rule.top_k; ++i)
    slots[i] = {};
}

/// All steps. `logits` are the router's [experts]; `slots` are rule.top_k; `scores` is scratch [experts] and
/// holds the scores of the edited logits afterwards.
EXPERTSCOPE_HOST_DEVICE inline void route(const RouterRule& rule, const float* logits, float* scores,
                                          RoutedSlot* slots) {
  score_experts(rule, logits, scores);
  select_experts(rule, logits, scores, slots);
  for (int i = 0; i < rule.top_k; ++i)
    if (slots[i].expert >= 0) slots[i].score = scores[slots[i].expert];
  weigh_slots(rule, slots);
}

/// Entropy in nats of the unedited scores of all experts: of softmax(logits), also where a softmax is of the
/// chosen only; of the sigmoids divided by their sum.
EXPERTSCOPE_HOST_DEVICE inline float entropy(RouterSpec::Score score, const float* logits, int experts) {
  float sum = 0;
  float weighted = 0;
  if (score == RouterSpec::Score::sigmoid) {
    for (int e = 0; e < experts; ++e) {
      const float own = own_score(score, logits[e]);
      sum += own;
      weighted += times_its_log(own);
    }
    return entropy_of(sum, weighted);
  }
  float most = logits[0];
  for (int e = 1; e < experts; ++e)
    if (most < logits[e]) most = logits[e];
  for (int e = 0; e < experts; ++e) {
    const float power = expf(logits[e] - most);
    sum += power;
    weighted += power * (logits[e] - most);
  }
  return entropy_of(sum, weighted);
}

}  // namespace expertscope::rules
