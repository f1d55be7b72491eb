// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <string>
#include <vector>

#include "engine/model/config.h"
#include "engine/model/config_keys.h"
#include "engine/model/tensor_names.h"

namespace expertscope {

/// Where Qwen3-Next and Qwen3.5-MoE differ.
struct Qwen3NextForm {
  bool grouped = true;            ///< DeltaNetSpec::grouped
  bool always_routed = false;     ///< there is neither norm_topk_prob nor a layer without experts
  int experts = 512, top_k = 10;  ///< where the file is silent
};

/// The decoder of both: gated attention in some layers, Gated DeltaNet in the others, and the shared expert
/// of Qwen2-MoE. Norms are stored as differences from 1, but for that of the DeltaNet.
void read_qwen3_next(ConfigKeys& keys, const Qwen3NextForm& form, ModelConfig& config,
                     std::vector<std::string>& warnings);

/// Their names, but for those of the projections of a DeltaNet.
template <FixedText kPrefix = "model.">
constexpr TensorNames qwen3_next_names() {
  TensorNames names = llama_tensor_names<kPrefix>();
  names.shared = {joined<kPrefix, "layers.{layer}.mlp.shared_expert.gate_proj">(),
                  joined<kPrefix, "layers.{layer}.mlp.shared_expert.up_proj">(),
                  joined<kPrefix, "layers.{layer}.mlp.shared_expert.down_proj">()};
  names.shared_expert_gate = joined<kPrefix, "layers.{layer}.mlp.shared_expert_gate">();
  names.delta_conv = joined<kPrefix, "layers.{layer}.linear_attn.conv1d.weight">();
  names.delta_dt_bias = joined<kPrefix, "layers.{layer}.linear_attn.dt_bias">();
  names.delta_a_log = joined<kPrefix, "layers.{layer}.linear_attn.A_log">();
  names.delta_norm = joined<kPrefix, "layers.{layer}.linear_attn.norm.weight">();
  names.delta_out = joined<kPrefix, "layers.{layer}.linear_attn.out_proj">();
  return names;
}

}  // namespace expertscope
