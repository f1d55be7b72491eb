// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/cpu/router.h"

#include "engine/backend/route_token.h"

namespace expertscope::cpu {

RouterRule rule_of(const LayerRouting& routing, std::span<const float> correction_bias,
                   std::span<const float> expert_scale) {
  return {.logit_bias = routing.logit_bias.data(),
          .remap = routing.remap.data(),
          .output_scale = routing.output_scale.data(),
          .drop = routing.drop.data(),
          .force = routing.force.data(),
          .correction_bias = correction_bias.empty() ? nullptr : correction_bias.data(),
          .expert_scale = expert_scale.empty() ? nullptr : expert_scale.data(),
          .top_k = routing.top_k,
          .top_p = routing.top_p,
          .edited = routing.edited ? 1 : 0,
          .model = routing.model};
}

void route(std::span<const float> logits, const RouterRule& rule, std::span<float> scores,
           std::span<RoutedSlot> slots) {
  rules::route(rule, logits.data(), scores.data(), slots.data());
}

float router_entropy(RouterSpec::Score score, std::span<const float> logits) {
  return rules::entropy(score, logits.data(), static_cast<int>(logits.size()));
}

}  // namespace expertscope::cpu
