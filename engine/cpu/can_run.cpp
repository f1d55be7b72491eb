// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/cpu/can_run.h"

#include "engine/backend/features.h"

namespace expertscope::cpu {

Status can_run(const ModelConfig& config) {
  return check_features(config, "the fast path of the CPU");
}

std::string reason_on_cpu(const ModelConfig& config, const std::string& reason) {
  const Status fast = can_run(config);
  if (fast) return reason;
  return fmt::format("{}{}{}", reason, reason.empty() ? "" : "; ", fast.error().message);
}

}  // namespace expertscope::cpu
