// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/cpu/reference_router.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

namespace expertscope::cpu {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// scores = softmax(logits) over the experts of `over`; the others keep what they have.
void softmax(std::span<const float> logits, const std::vector<int>& over, std::span<float> scores) {
  const auto at = [](int e) { return static_cast<std::size_t>(e); };
  float most = -kInfinity;
  for (const int e : over)
    most = std::max(most, logits[at(e)]);
  float sum = 0;
  for (const int e : over)
    sum += scores[at(e)] = std::exp(logits[at(e)] - most);
  for (const int e : over)
    scores[at(e)] /= sum;
}

/// Indices of the `count` largest keys, the largest first, of equals the lower index.
std::vector<int> largest(std::span<const float> keys, std::size_t count) {
  std::vector<int> order(keys.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
    return keys[static_cast<std::size_t>(a)] > keys[static_cast<std::size_t>(b)];
  });
  order.resize(std::min(count, order.size()));
  return order;
}

/// Takes the experts outside the best groups out of the selection (DeepSeek-V2 and V3).
void keep_best_groups(const RouterSpec& spec, std::span<float> keys) {
  if (spec.groups <= 1) return;
  const std::size_t size = keys.size() / static_cast<std::size_t>(spec.groups);
  const bool two = spec.group_rank == RouterSpec::GroupRank::sum_of_two;
  std::vector<float> ranks;
  for (std::size_t first = 0; first < keys.size(); first += size) {
    const auto group = keys.subspan(first, size);
    float rank = *std::max_element(group.begin(), group.end());
    if (two && size > 1) {
      const float second = group[static_cast<std::size_t>(largest(group, 2)[1])];
      if (second > -kInfinity) rank += second;
    }
    ranks.push_back(rank);
  }
  const std::vector<int> best = largest(ranks, static_cast<std::size_t>(spec.top_groups));
  for (std::size_t e = 0; e < keys.size(); ++e)
    if (std::find(best.begin(), best.end(), static_cast<int>(e / size)) == best.end()) keys[e] = -kInfinity;
}

float sum_of_weights(std::span<const RoutedSlot> slots) {
  float sum = 0;
  for (const RoutedSlot& slot : slots)
    sum += slot.weight;
  return sum;
}

/// Slots behind the first at which the shares of the chosen scores exceed top_p are emptied, but forced ones.
/// Under the softmax over all experts a share is the probability itself.
void apply_top_p(const RouterSpec& spec, const LayerRouting& routing, std::span<RoutedSlot> slots) {
  if (routing.top_p >= 1.0f) return;
  const float all = spec.score == RouterSpec::Score::softmax ? 1.0f : sum_of_weights(slots);
  float before = 0;
  for (RoutedSlot& slot : slots) {
    const float share = slot.probability / all;
    const bool forced = routing.edited && routing.force[static_cast<std::size_t>(slot.expert)];
    if (!(before <= routing.top_p) && !forced) slot = {};
    before += share;
  }
}

/// Dropped experts leave their weight to the others; rerouted ones that meet add theirs.
void apply_edits(const LayerRouting& routing, std::span<RoutedSlot> slots) {
  const float before = sum_of_weights(slots);
  for (RoutedSlot& slot : slots) {
    if (slot.expert < 0 || !routing.drop[static_cast<std::size_t>(slot.expert)]) continue;
    slot = {.expert = -1, .probability = slot.probability, .weight = 0};
  }
  const float after = sum_of_weights(slots);
  for (RoutedSlot& slot : slots)
    if (after > 0 && after != before) slot.weight *= before / after;
  for (auto slot = slots.begin(); slot != slots.end(); ++slot) {
    if (slot->expert < 0) continue;
    slot->expert = routing.remap[static_cast<std::size_t>(slot->expert)];
    const auto met =
        std::find_if(slots.begin(), slot, [&](const RoutedSlot& s) { return s.expert == slot->expert; });
    if (met == slot) continue;
    met->weight += slot->weight;
    slot->expert = -1;
    slot->weight = 0;
  }
}

}  // namespace

void reference_route(const RouterSpec& spec, std::span<const float> logits, const Vector& correction_bias,
                     const LayerRouting& routing, std::span<float> scores, std::span<RoutedSlot> slots) {
  std::vector<float> edited(logits.begin(), logits.end());
  for (std::size_t e = 0; routing.edited && e < edited.size(); ++e)
    edited[e] += routing.logit_bias[e];

  std::vector<int> everyone(edited.size());
  std::iota(everyone.begin(), everyone.end(), 0);
  const bool of_chosen = spec.score == RouterSpec::Score::softmax_of_chosen;
  std::fill(scores.begin(), scores.end(), 0.0f);
  if (spec.score == RouterSpec::Score::softmax) softmax(edited, everyone, scores);
  for (std::size_t e = 0; spec.score == RouterSpec::Score::sigmoid && e < edited.size(); ++e)
    scores[e] = 1.0f / (1.0f + std::exp(-edited[e]));

  // The softmax of all keeps the order of the logits, which have fewer ties: it selects by them where it can.
  const bool by_logit =
      of_chosen || (spec.score == RouterSpec::Score::softmax && correction_bias.empty() && spec.groups <= 1);
  std::vector<float> keys(by_logit ? edited : std::vector<float>(scores.begin(), scores.end()));
  for (std::size_t e = 0; e < correction_bias.size(); ++e)
    keys[e] += correction_bias[e];
  for (std::size_t e = 0; e < keys.size(); ++e)
    if (edited[e] == -kInfinity) keys[e] = -kInfinity;
  keep_best_groups(spec, keys);
  for (std::size_t e = 0; routing.edited && e < keys.size(); ++e)
    if (routing.force[e]) keys[e] = kInfinity;

  const std::vector<int> chosen = largest(keys, slots.size());
  if (of_chosen) softmax(edited, chosen, scores);
  for (std::size_t s = 0; s < slots.size(); ++s) {
    const float score = scores[static_cast<std::size_t>(chosen[s])];
    slots[s] = {chosen[s], score, score};
  }
  apply_top_p(spec, routing, slots);
  if (routing.renormalise || of_chosen) {
    const float sum = sum_of_weights(slots) + spec.renormalise_epsilon;
    for (RoutedSlot& slot : slots)
      slot.weight = sum == 0 ? 0.0f : slot.weight / sum;
  }
  for (RoutedSlot& slot : slots)
    slot.weight *= spec.scale;
  if (routing.edited) apply_edits(routing, slots);
}

}  // namespace expertscope::cpu
