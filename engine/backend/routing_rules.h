// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cmath>
#include <cstdint>

#include "engine/backend/host_device.h"
#include "engine/model/layer_spec.h"

namespace expertscope {

/// The router of one layer as backends read it: what the model does and the edits in force (LayerRouting), as
/// plain data for host and device. Arrays are [experts].
struct RouterRule {
  const float* logit_bias = nullptr;
  const std::int32_t* remap = nullptr;
  const float* output_scale = nullptr;
  const std::uint8_t* drop = nullptr;
  const std::uint8_t* force = nullptr;
  const float* correction_bias = nullptr;  ///< a weight of the model; null: it has none
  const float* expert_scale = nullptr;     ///< likewise (RouterSpec::expert_scale)
  std::int32_t top_k = 0;                  ///< slots a token, with the edits
  float top_p = 1.0f;
  std::int32_t edited = 0;
  RouterSpec model;
};

/// What the router decided for one slot of one token.
struct RoutedSlot {
  std::int32_t expert = -1;  ///< expert that runs; -1: none (top_p, dropped, merged into an earlier slot)
  float score = 0;   ///< of the selected expert (RouterSpec::Score); 0 where top_p left the slot empty
  float weight = 0;  ///< combine weight
};

/// Every decision of a router, once for all backends: they bring the loops over experts and tokens. For one
/// token, in this order:
///
///  1. logit:   z' = z + logit_bias; -inf masks the expert
///  2. score:   softmax(z') or sigmoid(z') of every expert
///  3. rank:    score + correction bias; z' where neither that bias nor sums of a group need the score
///  4. groups:  the top_groups groups with the best experts that are not masked; others cannot be chosen
///  5. select:  forced experts, then the largest ranks, in descending order; of equals the lower index first
///  6. scores of the chosen: their softmax, where that is the model's score
///  7. top_p:   a slot stays while the scores before it sum to at most top_p; a forced one always stays
///  8. weights: scores, divided by their sum over the slots kept when the layer renormalises, times scale,
///     times the expert's own
///  9. drop:    slots of dropped experts go, the others are rescaled to the sum from before
/// 10. reroute: remap gives the expert that runs; slots that meet on one add their weights in the first
///
/// Sources: the routers of transformers 5.24 (tests/data/make_routers.py); docs/decisions.md for the edits.
namespace rules {

EXPERTSCOPE_HOST_DEVICE inline bool is_masked(const RouterRule& rule, int expert) {
  return rule.edited != 0 && rule.logit_bias[expert] == -INFINITY;
}

EXPERTSCOPE_HOST_DEVICE inline bool is_forced(const RouterRule& rule, int expert) {
  return rule.edited != 0 && rule.force[expert] != 0;
}

/// Step 1.
EXPERTSCOPE_HOST_DEVICE inline float edited_logit(const RouterRule& rule, int expert, float logit) {
  return rule.edited != 0 ? logit + rule.logit_bias[expert] : logit;
}

/// Step 2 of an expert whose score needs no other expert. A softmax of the chosen has none yet: the logit.
EXPERTSCOPE_HOST_DEVICE inline float own_score(RouterSpec::Score score, float logit) {
  return score == RouterSpec::Score::sigmoid ? 1.0f / (1.0f + expf(-logit)) : logit;
}

EXPERTSCOPE_HOST_DEVICE inline bool has_groups(const RouterRule& rule) {
  return rule.model.groups > 1;
}

/// Whether experts rank by score. Elsewhere their logits give the same order, and tell experts apart whose
/// scores are equal in f32.
EXPERTSCOPE_HOST_DEVICE inline bool ranks_by_score(const RouterRule& rule) {
  return rule.correction_bias != nullptr ||
         (has_groups(rule) && rule.model.group_rank == RouterSpec::GroupRank::sum_of_two);
}

/// Nothing but a softmax of all logits, of which the largest are taken: what backends have a short way for.
EXPERTSCOPE_HOST_DEVICE inline bool is_plain_softmax(const RouterRule& rule) {
  return rule.model.score == RouterSpec::Score::softmax && rule.correction_bias == nullptr &&
         !has_groups(rule);
}

/// Step 3 where experts rank by score. No correction bias brings a masked expert back.
EXPERTSCOPE_HOST_DEVICE inline float rank_of_score(const RouterRule& rule, int expert, float score) {
  if (is_masked(rule, expert)) return -INFINITY;
  return rule.correction_bias != nullptr ? score + rule.correction_bias[expert] : score;
}

/// Step 3. `logit` is the edited one.
EXPERTSCOPE_HOST_DEVICE inline float rank_of(const RouterRule& rule, int expert, float logit, float score) {
  return ranks_by_score(rule) ? rank_of_score(rule, expert, score) : logit;
}

/// Step 5: what experts are sorted by.
EXPERTSCOPE_HOST_DEVICE inline float selection_key(const RouterRule& rule, int expert, float rank) {
  return is_forced(rule, expert) ? INFINITY : rank;
}

/// Step 4: what a group is sorted by. A masked expert does not count, and neither does a force: a group ranks
/// by what its experts are worth. -inf when nothing is left in it. `logits` and `scores` are [experts],
/// `logits` the unedited ones.
EXPERTSCOPE_HOST_DEVICE inline float group_rank(const RouterRule& rule, int group, const float* logits,
                                                const float* scores) {
  const int size = rule.model.experts / rule.model.groups;
  float best = -INFINITY;
  float second = -INFINITY;
  for (int e = group * size; e < (group + 1) * size; ++e) {
    if (is_masked(rule, e)) continue;
    const float rank = rank_of(rule, e, edited_logit(rule, e, logits[e]), scores[e]);
    if (rank > best) {
      second = best;
      best = rank;
    } else if (rank > second) {
      second = rank;
    }
  }
  const bool one = rule.model.group_rank == RouterSpec::GroupRank::maximum || second == -INFINITY;
  return one ? best : best + second;
}

/// Order of groups by their ranks: of equals the lower index comes first.
EXPERTSCOPE_HOST_DEVICE inline bool group_precedes(float rank, int group, float other_rank, int other) {
  return rank > other_rank || (rank == other_rank && group < other);
}

/// Step 4. `chosen` has the bits of the groups that were chosen. Forced experts need no group.
EXPERTSCOPE_HOST_DEVICE inline bool can_be_chosen(const RouterRule& rule, std::uint32_t chosen, int expert) {
  if (is_forced(rule, expert)) return true;
  const int group = expert / (rule.model.experts / rule.model.groups);
  return !is_masked(rule, expert) && ((chosen >> group) & 1u) != 0;
}

/// Step 6: scores that are logits become their softmax.
EXPERTSCOPE_HOST_DEVICE inline void score_chosen(const RouterRule& rule, RoutedSlot* slots) {
  if (rule.model.score != RouterSpec::Score::softmax_of_chosen) return;
  float largest = -INFINITY;
  float sum = 0;
  for (int i = 0; i < rule.top_k; ++i)
    if (slots[i].expert >= 0) largest = fmaxf(largest, slots[i].score);
  for (int i = 0; i < rule.top_k; ++i) {
    if (slots[i].expert < 0) continue;
    slots[i].score = expf(slots[i].score - largest);
    sum += slots[i].score;
  }
  for (int i = 0; i < rule.top_k; ++i)
    if (slots[i].expert >= 0) slots[i].score /= sum;
}

EXPERTSCOPE_HOST_DEVICE inline float sum_of_scores(const RouterRule& rule, const RoutedSlot* slots) {
  float sum = 0;
  for (int i = 0; i < rule.top_k; ++i)
    sum += slots[i].score;
  return sum;
}

EXPERTSCOPE_HOST_DEVICE inline float sum_of_weights(const RouterRule& rule, const RoutedSlot* slots) {
  float sum = 0;
  for (int i = 0; i < rule.top_k; ++i)
    sum += slots[i].weight;
  return sum;
}

/// Step 7. Sigmoids sum to no 1: what counts is the share of the chosen experts' sum.
EXPERTSCOPE_HOST_DEVICE inline void cut_by_top_p(const RouterRule& rule, RoutedSlot* slots) {
  if (rule.top_p >= 1.0f) return;
  const bool shares = rule.model.score == RouterSpec::Score::sigmoid;
  const float most = shares ? rule.top_p * sum_of_scores(rule, slots) : rule.top_p;
  float before = 0;
  for (int i = 0; i < rule.top_k; ++i) {
    const float score = slots[i].score;
    const bool forced = slots[i].expert >= 0 && is_forced(rule, slots[i].expert);
    if (i > 0 && !(before <= most) && !forced) slots[i] = {};
    before += score;
  }
}

/// Step 8 of one slot; `sum` is that of the scores of the slots kept. The softmax of the chosen is that of
/// the kept: its weights sum to `scale`, whatever top_p took.
EXPERTSCOPE_HOST_DEVICE inline float combine_weight(const RouterSpec& model, float score, float sum) {
  float weight = score;
  if (model.renormalise || model.score == RouterSpec::Score::softmax_of_chosen) {
    // 0 when nothing but a forced expert far below the others is left: it stays silent instead of NaN.
    const float divisor = sum + model.renormalise_epsilon;
    weight = divisor == 0 ? 0.0f : score / divisor;
  }
  return weight * model.scale;
}

/// Step 9.
EXPERTSCOPE_HOST_DEVICE inline void drop_slots(const RouterRule& rule, RoutedSlot* slots) {
  const float before = sum_of_weights(rule, slots);
  for (int i = 0; i < rule.top_k; ++i) {
    if (slots[i].expert < 0 || rule.drop[slots[i].expert] == 0) continue;
    slots[i].expert = -1;
    slots[i].weight = 0;
  }
  const float after = sum_of_weights(rule, slots);
  if (!(after > 0) || after == before) return;
  for (int i = 0; i < rule.top_k; ++i)
    slots[i].weight *= before / after;
}

/// Step 10.
EXPERTSCOPE_HOST_DEVICE inline void reroute_slots(const RouterRule& rule, RoutedSlot* slots) {
  for (int i = 0; i < rule.top_k; ++i) {
    RoutedSlot& slot = slots[i];
    if (slot.expert < 0) continue;
    slot.expert = rule.remap[slot.expert];
    for (int earlier = 0; earlier < i; ++earlier) {
      if (slots[earlier].expert != slot.expert) continue;
      slots[earlier].weight += slot.weight;
      slot.expert = -1;
      slot.weight = 0;
      break;
    }
  }
}

/// Steps 6 to 10 of a token's slots [top_k], which have their experts and the scores of step 2. The sums are
/// in the order of the slots, on every backend.
EXPERTSCOPE_HOST_DEVICE inline void weigh_slots(const RouterRule& rule, RoutedSlot* slots) {
  score_chosen(rule, slots);
  cut_by_top_p(rule, slots);
  const float sum = sum_of_scores(rule, slots);
  for (int i = 0; i < rule.top_k; ++i)
    slots[i].weight = combine_weight(rule.model, slots[i].score, sum);
  for (int i = 0; rule.expert_scale != nullptr && i < rule.top_k; ++i)
    if (slots[i].expert >= 0) slots[i].weight *= rule.expert_scale[slots[i].expert];
  if (rule.edited == 0) return;
  drop_slots(rule, slots);
  reroute_slots(rule, slots);
}

/// u ln u of a score, 0 for u = 0.
EXPERTSCOPE_HOST_DEVICE inline float times_its_log(float score) {
  return score > 0 ? score * logf(score) : score;
}

/// -sum p ln p in nats for p = u / sum(u); `weighted` is the sum of u ln u.
EXPERTSCOPE_HOST_DEVICE inline float entropy_of(float sum, float weighted) {
  return logf(sum) - weighted / sum;
}

}  // namespace rules
}  // namespace expertscope
