// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <span>

#include "engine/backend/routing_table.h"
#include "engine/cpu/router.h"
#include "engine/model/layer_spec.h"
#include "engine/model/weights.h"

namespace expertscope::cpu {

/// Routes one token under any RouterSpec, in the order of steps of route(). `logits` are the router's
/// [experts]; `slots` has room for routing.top_k; `scores` [experts] receives the score of every expert:
/// softmax or sigmoid of the edited logits, or under softmax_of_chosen the softmax over the chosen and 0
/// elsewhere. Selection is by score plus `correction_bias` (empty: none), within the best groups. What an
/// edit means beyond the softmax: the bias of an edit is added to the logit; an expert removed by -inf and a
/// forced one are so whatever correction and groups say; top_p counts shares of the sum of the chosen scores.
void reference_route(const RouterSpec& spec, std::span<const float> logits, const Vector& correction_bias,
                     const LayerRouting& routing, std::span<float> scores, std::span<RoutedSlot> slots);

}  // namespace expertscope::cpu
