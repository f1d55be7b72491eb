// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/cpu/reference_probes.h"

#include <algorithm>
#include <cmath>
#include <tuple>
#include <vector>

namespace expertscope::cpu {

void LayerProbes::first_token(std::size_t token, float mass) const {
  if (block_ == nullptr || !block_->request.attention) return;
  block_->first_token_attention[layer_ * static_cast<std::size_t>(block_->tokens) + token] = mass;
}

void LayerProbes::routing(std::size_t token, RouterSpec::Score score, std::span<const float> logits,
                          std::span<const RoutedSlot> slots) const {
  if (block_ == nullptr) return;
  const std::size_t row = moe_row(token);
  for (std::size_t s = 0; s < slots.size(); ++s) {
    const std::size_t at = row * static_cast<std::size_t>(block_->slots) + s;
    if (!block_->expert.empty() && slots[s].expert >= 0)
      block_->expert[at] = static_cast<std::uint16_t>(slots[s].expert);
    if (!block_->request.routing) continue;
    block_->probability[at] = slots[s].score;
    block_->weight[at] = slots[s].weight;
  }
  if (block_->request.entropy) block_->entropy[row] = router_entropy(score, logits);
  const auto first = static_cast<std::ptrdiff_t>(row * static_cast<std::size_t>(block_->experts));
  if (block_->request.router_logits)
    std::copy(logits.begin(), logits.end(), block_->router_logits.begin() + first);
}

void LayerProbes::output(std::size_t token, std::size_t slot, std::span<const float> output,
                         float scale) const {
  if (block_ == nullptr || !block_->request.expert_output) return;
  const std::size_t at = moe_row(token) * static_cast<std::size_t>(block_->slots) + slot;
  block_->output_channel[at] = 0;
  if (scale == 0) return;  // silent: norm and maximum are 0
  const auto [most, channel] = largest(output);
  block_->output_norm[at] = std::sqrt(dot(output, output)) * std::abs(scale);
  block_->output_max[at] = most * std::abs(scale);
  block_->output_channel[at] = channel;
}

void LayerProbes::contribution(std::size_t token, std::size_t slot, float term_norm, float sum_norm) const {
  if (block_ == nullptr || !block_->request.contribution) return;
  const std::size_t at = moe_row(token) * static_cast<std::size_t>(block_->slots) + slot;
  block_->contribution[at] = sum_norm > 0 ? term_norm / sum_norm : 0.0f;
}

void LayerProbes::shared(const Rows& outputs) const {
  if (block_ == nullptr || block_->shared_norm.empty()) return;
  for (std::size_t t = 0; t < outputs.count; ++t) {
    const std::size_t at = moe_row(t);
    block_->shared_norm[at] = std::sqrt(dot(outputs[t], outputs[t]));
    std::tie(block_->shared_max[at], block_->shared_channel[at]) = largest(outputs[t]);
  }
}

void LayerProbes::hidden(const Rows& hidden) const {
  if (block_ == nullptr || !block_->request.hidden) return;
  for (std::size_t t = 0; t < hidden.count; ++t) {
    const std::size_t at = layer_ * hidden.count + t;
    std::tie(block_->hidden_max[at], block_->hidden_channel[at]) = largest(hidden[t]);
  }
}

}  // namespace expertscope::cpu
