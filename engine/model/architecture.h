// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "engine/error.h"

namespace expertscope {

/// Names under which a value may stand in config.json; the first that is present counts. Unused: nullptr.
struct ConfigKey {
  const char* names[3] = {nullptr, nullptr, nullptr};
  std::span<const char* const> all() const;
};

/// The keys of config.json that families spell differently.
struct ConfigKeys {
  ConfigKey num_experts;
  ConfigKey num_experts_per_tok;
  ConfigKey moe_intermediate_size;
  ConfigKey intermediate_size;  ///< width of a dense MLP
  ConfigKey decoder_sparse_step;
  ConfigKey mlp_only_layers;
  ConfigKey norm_topk_prob;
};

/// Names of the tensors. `{layer}` and `{expert}` stand for indices. Null: the family has no such tensor.
struct TensorNames {
  const char* embed_tokens;
  const char* norm;
  const char* lm_head;
  const char* input_layernorm;
  const char* post_attention_layernorm;
  const char* q_proj;  ///< without ".weight" / ".bias", as are all projections
  const char* k_proj;
  const char* v_proj;
  const char* o_proj;
  const char* q_norm;
  const char* k_norm;
  const char* router;
  const char* expert_gate_proj;
  const char* expert_up_proj;
  const char* expert_down_proj;
  const char* fused_gate_up_proj;  ///< [experts, 2 * intermediate, hidden], gate rows first; full name
  const char* fused_down_proj;     ///< [experts, hidden, intermediate]; full name
  const char* gate_proj;           ///< of the dense MLP
  const char* up_proj;
  const char* down_proj;
};

/// What a config.json that leaves a field out means, and what the family does without asking the config.
struct ArchitectureSwitches {
  bool qk_norm;                 ///< RMSNorm over head_dim on queries and keys
  bool norm_topk_prob_default;  ///< where config.json is silent
  bool tie_word_embeddings_default;
  double rope_theta_default;
  double rms_norm_eps_default;
  int max_position_default;
};

/// One family of models: a row of a table, so that a new family is a new row and no new code.
struct Architecture {
  const char* name;        ///< architectures[0] in config.json
  const char* model_type;  ///< model_type in config.json
  ConfigKeys keys;
  TensorNames tensors;
  ArchitectureSwitches switches;
};

/// All rows.
std::span<const Architecture> architectures();

/// The row of a class name. An unknown one is refused by name, with the list of those that are known.
Result<const Architecture*> find_architecture(std::string_view name, const std::string& file);

/// A tensor name with its indices filled in.
std::string tensor_name(std::string_view pattern, int layer = -1, int expert = -1);

}  // namespace expertscope
