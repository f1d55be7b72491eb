// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "engine/cuda/kernels/instructions.cuh"
#include "engine/cuda/kernels/route.cuh"

namespace expertscope::cuda {

inline constexpr int kRouteWarps = 4;

/// Routes every token, one warp each. Dynamic shared memory: route_scratch_floats a warp.
__global__ void __launch_bounds__(kRouteWarps* kWarp)
    route_rows(const DeviceStep* step, const DeviceRouting* routing, const float* logits, int experts,
               int moe_layer, DeviceSlots slots) {
  const int token = static_cast<int>(blockIdx.x) * warps_per_block() + warp_index();
  if (token >= step->tokens) return;
  const DeviceRouting table = *routing;
  auto* memory =
      reinterpret_cast<float*>(dynamic_shared()) + warp_index() * route_scratch_floats(experts, table.top_k);
  const float* row = logits + static_cast<std::size_t>(token) * static_cast<std::size_t>(experts);
  route_token(*step, table, routing, row, experts, moe_layer, token, route_scratch(memory, experts), slots);
  note_logits(*step, table.model.score, row, experts, moe_layer, token);
}

}  // namespace expertscope::cuda
