// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/cpu/can_run.h"

#include "engine/backend/features.h"

namespace expertscope::cpu {

Status can_run(const ModelConfig& config) {
  return check_features(config, "the fast path of the CPU", {.delta_nets = true, .gates = true});
}

}  // namespace expertscope::cpu
