// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <string>

#include "engine/error.h"
#include "engine/model/config.h"

namespace expertscope {

/// What one of the fast paths, of the CPU and of CUDA, computes beyond what both do.
struct Features {
  bool delta_nets = false;
  bool latents = false;  ///< LatentSpec
  bool gates = false;    ///< of attention
  bool windows = false;
  bool sinks = false;
  bool router_biases = false;
  bool clamps = false;  ///< MlpSpec::alpha, clamp and up_offset
  bool mlp_biases = false;
  bool gelu = false;
  bool norms_after = false;   ///< of mixer and MLPs, also without norms before them
  bool branches = false;      ///< a dense MLP beside experts, LayerSpec::branch_norms
  bool router_norms = false;  ///< of the residual stream, with scales of experts
  bool value_norms = false;   ///< AttentionSpec::v_norm and keys_as_values
  bool scales = false;        ///< of scores, of the embedding and of a layer's output, and capped logits
};

/// Whether a fast path computes every layer of a model. The error says what it lacks and where: "`path` has
/// no sliding windows (layer 3)".
Status check_features(const ModelConfig& config, const std::string& path, const Features& beyond = {});

}  // namespace expertscope
