// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/gpu/soak_steps.h"

#include <algorithm>
#include <cmath>
#include <limits>

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

float selection_margin(const CaptureBlock& block, const ModelConfig& config, int sequence) {
  float margin = std::numeric_limits<float>::infinity();
  const auto experts = static_cast<std::size_t>(block.experts);
  std::vector<float> logits;
  std::size_t row = 0;
  for (int layer = 0; layer < config.num_layers(); ++layer) {
    if (!config.is_moe(layer)) continue;
    const LayerRouting& routing = block.table->layers[static_cast<std::size_t>(layer)];
    for (int t = 0; t < block.tokens; ++t, ++row) {
      if (block.sequence[static_cast<std::size_t>(t)] != sequence) continue;
      logits.clear();
      int selected = routing.top_k;
      for (std::size_t e = 0; e < experts; ++e) {
        if (routing.force[e] != 0) {
          --selected;
        } else {
          logits.push_back(block.router_logits[row * experts + e] + routing.logit_bias[e]);
        }
      }
      if (selected < 1 || selected >= static_cast<int>(logits.size())) continue;
      std::sort(logits.begin(), logits.end(), std::greater<>());
      const auto last = static_cast<std::size_t>(selected) - 1;
      const float gap = logits[last] - logits[last + 1];
      if (!std::isnan(gap)) margin = std::min(margin, gap);
    }
  }
  return margin;
}

}  // namespace expertscope::testing
