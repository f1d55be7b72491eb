// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <numeric>

#include "engine/backend/routing_table.h"

namespace expertscope {

/// The routing of a layer that nobody edited.
inline LayerRouting plain_routing(int experts, int top_k, bool renormalise) {
  const auto n = static_cast<std::size_t>(experts);
  LayerRouting routing;
  routing.logit_bias.assign(n, 0.0f);
  routing.remap.resize(n);
  std::iota(routing.remap.begin(), routing.remap.end(), 0);
  routing.output_scale.assign(n, 1.0f);
  routing.drop.assign(n, 0);
  routing.force.assign(n, 0);
  routing.top_k = top_k;
  routing.model = {.experts = experts, .top_k = top_k, .renormalise = renormalise};
  return routing;
}

}  // namespace expertscope
