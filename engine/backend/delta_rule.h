// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cmath>

#include "engine/backend/host_device.h"

/// The numbers of a Gated DeltaNet (DeltaNetSpec) that every backend computes alike.
namespace expertscope::rules {

/// ln(1 + e^x), with the threshold of torch.nn.functional.softplus.
EXPERTSCOPE_HOST_DEVICE inline float softplus(float x) {
  return x > 20.0f ? x : std::log1p(std::exp(x));
}

/// exp(g): what is left of a state after a token.
EXPERTSCOPE_HOST_DEVICE inline float delta_decay(float a_log, float dt_bias, float a) {
  return std::exp(-std::exp(a_log) * softplus(a + dt_bias));
}

/// In front of the square root of the norm that makes queries and keys unit vectors.
inline constexpr float kDeltaNormEps = 1e-6f;

}  // namespace expertscope::rules
