// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/gpu/soak_steps.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <span>
#include <utility>

#include "engine/cpu/router.h"

namespace expertscope::testing {
namespace {

RoutingEdit random_edit(Dice& dice, const ModelConfig& config, bool top_p) {
  RoutingEdit edit;
  const int expert = dice.below(config.num_experts());
  if (!dice.once_in(4)) {
    const int layer = dice.below(config.num_layers());
    if (config.is_moe(layer)) edit.layers = {layer};
  }
  switch (dice.below(top_p ? 6 : 5)) {
    case 0:
      edit.action = PruneEdit{expert, static_cast<PruneMode>(dice.below(3))};
      break;
    case 1:
      edit.action = RerouteEdit{expert, dice.below(config.num_experts())};
      break;
    case 2:
      edit.action = BiasEdit{expert, static_cast<float>(dice.between(-8, 8)) * 0.25f};
      break;
    case 3:
      edit.action = ForceEdit{expert};
      break;
    case 4:
      edit.action = TopKEdit{dice.between(1, std::min(config.num_experts(), 2 * config.top_k()))};
      break;
    default:
      edit.action = TopPEdit{static_cast<float>(dice.between(1, 10)) * 0.1f};
  }
  return edit;
}

CaptureRequest random_capture(Dice& dice) {
  const auto coin = [&] { return dice.once_in(2); };
  return {coin(), coin(), coin(), coin(), coin(), coin(), coin()};
}

int prompt_length(Dice& dice, int most) {
  const int usual = dice.once_in(4) ? dice.between(1, most) : dice.between(1, std::min(most, 24));
  return std::min(usual, most);
}

/// Tokens for sequence `s` in this step; 0: it waits.
int tokens_for(Dice& dice, int length, int room) {
  if (room <= 0) return 0;
  if (length == 0) return dice.once_in(3) ? prompt_length(dice, room) : 0;
  if (dice.once_in(4)) return 0;
  return dice.once_in(8) ? prompt_length(dice, room) : 1;
}

void add_chunk(Dice& dice, const ModelConfig& config, int sequence, int count, Batch& batch) {
  for (int i = 0; i < count; ++i)
    batch.tokens.push_back(dice.below(config.vocab_size));
  batch.chunks.push_back({sequence, 0, count});
}

}  // namespace

SoakStep next_step(Dice& dice, const ModelConfig& config, const BackendOptions& options,
                   const std::vector<int>& lengths, bool top_p) {
  SoakStep step;
  std::vector<int> left = lengths;
  const auto sequences = static_cast<int>(lengths.size());
  for (int s = 0; s < sequences; ++s) {
    int& length = left[static_cast<std::size_t>(s)];
    if (length > 0 && (dice.once_in(24) || length >= options.max_context)) {
      step.ended.push_back(s);
      length = 0;
    } else if (length > 1 && step.cut < 0 && dice.once_in(32)) {
      step.cut = s;
      step.keep = length = dice.below(length);
    }
  }
  int room = options.max_batch;
  for (int s = 0; s < sequences; ++s) {
    const int length = left[static_cast<std::size_t>(s)];
    const int count = tokens_for(dice, length, std::min(room, options.max_context - length));
    if (count == 0) continue;
    add_chunk(dice, config, s, count, step.batch);
    room -= count;
  }
  if (step.batch.chunks.empty()) {
    if (left[0] >= options.max_context) {
      step.ended.push_back(0);
      left[0] = 0;
    }
    add_chunk(dice, config, 0, 1, step.batch);
  }
  step.batch.logits = LogitsWanted::all;
  step.changes_policy = dice.once_in(8);
  if (step.changes_policy) {
    for (int i = dice.below(4); i > 0; --i)
      step.policy.edits.push_back(random_edit(dice, config, top_p));
  }
  step.changes_capture = dice.once_in(5);
  if (step.changes_capture) step.capture = random_capture(dice);
  return step;
}

namespace {

/// Between the `count`-th largest and the one behind it; infinite where there is no such pair.
float gap_behind(std::vector<float> ranks, int count) {
  const float none = std::numeric_limits<float>::infinity();
  if (count < 1 || count >= static_cast<int>(ranks.size())) return none;
  std::sort(ranks.begin(), ranks.end(), std::greater<>());
  const float gap = ranks[static_cast<std::size_t>(count) - 1] - ranks[static_cast<std::size_t>(count)];
  return std::isnan(gap) ? none : gap;
}

/// Bits of the groups that experts are chosen within, and the gap behind the last of them.
std::uint32_t chosen_groups(const RouterRule& rule, std::span<const float> logits,
                            std::span<const float> scores, float& margin) {
  std::vector<float> ranks;
  for (int g = 0; g < rule.model.groups; ++g)
    ranks.push_back(rules::group_rank(rule, g, logits.data(), scores.data()));
  margin = std::min(margin, gap_behind(ranks, rule.model.top_groups));
  std::uint32_t chosen = 0;
  for (int g = 0; g < rule.model.groups; ++g) {
    int before = 0;
    for (int other = 0; other < rule.model.groups; ++other)
      before += rules::group_precedes(ranks[static_cast<std::size_t>(other)], other,
                                      ranks[static_cast<std::size_t>(g)], g);
    if (before < rule.model.top_groups) chosen |= 1u << g;
  }
  return chosen;
}

/// Of one token in one layer, in what its experts rank by.
float margin_of(const RouterRule& rule, std::span<const float> logits) {
  float margin = std::numeric_limits<float>::infinity();
  std::vector<float> scores(logits.size());
  std::vector<RoutedSlot> slots(static_cast<std::size_t>(rule.top_k));
  cpu::route(logits, rule, scores, slots);  // for the scores: the slots are edited already
  const bool groups = rules::has_groups(rule);
  const std::uint32_t chosen = groups ? chosen_groups(rule, logits, scores, margin) : 0;
  std::vector<float> ranks;
  int selected = rule.top_k;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const int expert = static_cast<int>(i);
    if (rules::is_forced(rule, expert)) {
      --selected;
    } else if (!groups || rules::can_be_chosen(rule, chosen, expert)) {
      ranks.push_back(rules::rank_of(rule, expert, rules::edited_logit(rule, expert, logits[i]), scores[i]));
    }
  }
  return std::min(margin, gap_behind(std::move(ranks), selected));
}

}  // namespace

float selection_margin(const CaptureBlock& block, const ModelConfig& config, const Weights& weights,
                       int sequence) {
  float margin = std::numeric_limits<float>::infinity();
  const auto experts = static_cast<std::size_t>(block.experts);
  std::size_t row = 0;
  for (int n = 0; n < config.num_layers(); ++n) {
    if (!config.is_moe(n)) continue;
    const auto layer = static_cast<std::size_t>(n);
    const RouterRule rule = cpu::rule_of(block.table->layers[layer], weights.layers[layer].correction_bias);
    for (int t = 0; t < block.tokens; ++t, ++row) {
      if (block.sequence[static_cast<std::size_t>(t)] != sequence) continue;
      margin =
          std::min(margin, margin_of(rule, std::span(block.router_logits).subspan(row * experts, experts)));
    }
  }
  return margin;
}

}  // namespace expertscope::testing
