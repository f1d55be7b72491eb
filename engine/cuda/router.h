// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "engine/cuda/forward.h"

namespace expertscope::cuda {

/// The router of one MoE layer on all tokens: norm, logits in f32, selection with the edits of the table and
/// the router's probes. Leaves context.layer_slots(layer) and, in work.normed, the experts' input. The rules
/// are those of engine/backend/routing_rules.h.
void route_tokens(ForwardContext& context, int layer, int moe_layer);

}  // namespace expertscope::cuda
