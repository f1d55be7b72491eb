// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <span>

#include "engine/backend/routing_rules.h"
#include "engine/backend/routing_table.h"

namespace expertscope::cpu {

/// The rule of a layer, which points into both: `correction_bias` is the layer's weight, or empty.
RouterRule rule_of(const LayerRouting& routing, std::span<const float> correction_bias,
                   std::span<const float> expert_scale = {});

/// Routes one token (engine/backend/route_token.h). `logits` are the router's [experts];
/// `slots` are rule.top_k; `scores` is scratch [experts] and holds the scores of the edited logits
/// afterwards.
void route(std::span<const float> logits, const RouterRule& rule, std::span<float> scores,
           std::span<RoutedSlot> slots);

/// Entropy in nats of the unedited scores of all experts (engine/backend/route_token.h).
float router_entropy(RouterSpec::Score score, std::span<const float> logits);

}  // namespace expertscope::cpu
