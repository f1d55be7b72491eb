// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/error.h"
#include "engine/model/config.h"
#include "engine/model/config_keys.h"
#include "engine/model/tensor_names.h"

namespace expertscope {

/// One family of models: a file of this folder, and a line in families.cpp. It says how config.json describes
/// a model of the family and what its tensors are called; what there is to compute follows from the specs.
struct Family {
  const char* name;        ///< architectures[0] in config.json
  const char* model_type;  ///< model_type in config.json
  /// Reads the keys of config.json into `config`: its sizes and one LayerSpec a layer. Errors stay in `keys`;
  /// what is ignored and why goes into `warnings`, in whole sentences. Afterwards every key of the file must
  /// have been read or called harmless.
  void (*read)(ConfigKeys& keys, ModelConfig& config, std::vector<std::string>& warnings);
  TensorNames tensors;  ///< in both layouts: an expert a matrix, and all experts of a layer in one tensor
  const char* other_type = nullptr;  ///< model_type of others who use the class; null: none do
  const char* gguf = nullptr;        ///< general.architecture in GGUF files; null: they are not read
  /// What llama.cpp does where a GGUF file is silent, as JSON of keys of config.json; null: nothing else.
  const char* gguf_defaults = nullptr;
};

/// llama_tensor_names() with a correction bias and shared experts, as DeepSeek-V3 and those after it have
/// them.
constexpr TensorNames deepseek_tensor_names() {
  TensorNames names = llama_tensor_names();
  names.correction_bias = "model.layers.{layer}.mlp.gate.e_score_correction_bias";
  names.shared = {"model.layers.{layer}.mlp.shared_experts.gate_proj",
                  "model.layers.{layer}.mlp.shared_experts.up_proj",
                  "model.layers.{layer}.mlp.shared_experts.down_proj"};
  return names;
}

/// Those with the projections of latent attention, as DeepSeek-V2 has them.
constexpr TensorNames latent_tensor_names() {
  TensorNames names = deepseek_tensor_names();
  names.q_a_proj = "model.layers.{layer}.self_attn.q_a_proj";
  names.q_a_norm = "model.layers.{layer}.self_attn.q_a_layernorm.weight";
  names.q_b_proj = "model.layers.{layer}.self_attn.q_b_proj";
  names.kv_a_proj = "model.layers.{layer}.self_attn.kv_a_proj_with_mqa";
  names.kv_a_norm = "model.layers.{layer}.self_attn.kv_a_layernorm.weight";
  names.kv_b_proj = "model.layers.{layer}.self_attn.kv_b_proj";
  return names;
}

/// All of them.
std::span<const Family* const> families();

/// The family of a class name. An unknown one is refused by name, with the list of those that are known.
Result<const Family*> find_family(std::string_view name, const std::string& file);

}  // namespace expertscope
