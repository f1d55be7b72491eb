// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/cpu/can_run.h"

#include "engine/backend/features.h"

namespace expertscope::cpu {

Status can_run(const ModelConfig& config) {
  constexpr Features kBeyond{.delta_nets = true,
                             .latents = true,
                             .gates = true,
                             .windows = true,
                             .sinks = true,
                             .router_biases = true,
                             .clamps = true,
                             .mlp_biases = true,
                             .gelu = true,
                             .norms_after = true,
                             .branches = true,
                             .router_norms = true,
                             .value_norms = true,
                             .scales = true};
  return check_features(config, "the fast path of the CPU", kBeyond);
}

}  // namespace expertscope::cpu
