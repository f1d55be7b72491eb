// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <span>

#include "engine/backend/routing_table.h"

namespace expertscope::cpu {

/// What the router decided for one slot of one token.
struct RoutedSlot {
  std::int32_t expert = -1;  ///< expert that runs; -1: none (top_p, dropped, merged into an earlier slot)
  float probability = 0;  ///< softmax probability of the selected expert; 0 where top_p left the slot empty
  float weight = 0;       ///< combine weight
};

/// Routes one token. `logits` are the router's [experts]; `slots` has room for routing.top_k; `probabilities`
/// is scratch [experts] and holds the softmax of the edited logits afterwards. The order of things:
///
///  1. bias: z' = z + logit_bias (-inf removes an expert), p = softmax(z')
///  2. select: forced experts, then the largest z', in descending order; of equals the lower index first
///  3. top_p: a slot stays while the probabilities before it sum to at most top_p; a forced one always stays
///  4. weights: p, divided by their sum over the slots kept when the layer renormalises
///  5. drop: slots of dropped experts go, the others are rescaled to the sum from before
///  6. reroute: remap gives the expert that runs; slots that meet on one add their weights in the first
void route(std::span<const float> logits, const LayerRouting& routing, std::span<float> probabilities,
           std::span<RoutedSlot> slots);

/// Entropy of softmax(logits) in nats: log sum exp(z) - sum p z. `scratch` is [experts].
float router_entropy(std::span<const float> logits, std::span<float> scratch);

}  // namespace expertscope::cpu
