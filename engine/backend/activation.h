// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cmath>

#include "engine/backend/host_device.h"
#include "engine/model/layer_spec.h"

/// What an MLP does between its products, once for host and device. NaN stays NaN.
namespace expertscope::rules {

EXPERTSCOPE_HOST_DEVICE inline float silu(float x) {
  return x / (1.0f + expf(-x));
}

EXPERTSCOPE_HOST_DEVICE inline float activation_of(const MlpSpec& mlp, float x) {
  constexpr float kRootOfTwoOverPi = 0.7978845608028654f;
  switch (mlp.activation) {
    case Activation::silu:
      return x / (1.0f + expf(-mlp.alpha * x));
    case Activation::gelu_tanh:  // Hendrycks and Gimpel 2016
      return 0.5f * x * (1.0f + tanhf(kRootOfTwoOverPi * (x + 0.044715f * x * x * x)));
    case Activation::relu_squared:
      return x > 0 ? x * x : 0.0f;
  }
  return x;
}

/// What down_proj takes: of one element of what gate_proj (unread where the MLP has none) and up_proj give.
EXPERTSCOPE_HOST_DEVICE inline float inner_of(const MlpSpec& mlp, float gate, float up) {
  const float limit = mlp.clamp > 0 ? mlp.clamp : INFINITY;
  const float held = up < -limit ? -limit : up > limit ? limit : up;
  if (!mlp.gated) return activation_of(mlp, held);
  return activation_of(mlp, gate > limit ? limit : gate) * (held + mlp.up_offset);
}

}  // namespace expertscope::rules
