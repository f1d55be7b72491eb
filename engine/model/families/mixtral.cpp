// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/model/config_parts.h"
#include "engine/model/families/family.h"

namespace expertscope {
namespace {

/// MixtralConfig of transformers. The weights are always renormalised.
void read(ConfigKeys& keys, ModelConfig& config, std::vector<std::string>&) {
  const ConfigDefaults defaults{.rms_norm_eps = 1e-5, .rope_theta = 1e6, .max_position_embeddings = 131072};
  read_decoder(keys, defaults, config);
  read_attention(keys, defaults, config);
  keys.only("sliding_window", {}, "sliding windows are not");

  RouterSpec router;
  router.experts = keys.size_or({"num_local_experts", "num_experts"}, 8, ConfigKeys::kMaxExperts);
  router.top_k = keys.size_or({"num_experts_per_tok"}, 2, ConfigKeys::kMaxExperts);
  router.renormalise = true;
  const MlpSpec expert{.width = keys.size({"intermediate_size"}, ConfigKeys::kMaxWidth)};
  for (LayerSpec& layer : config.layers)
    set_router(keys, router, expert, layer);
}

constexpr TensorNames names() {
  TensorNames names = llama_tensor_names();
  names.router = "model.layers.{layer}.block_sparse_moe.gate";
  names.expert.gate_proj = "model.layers.{layer}.block_sparse_moe.experts.{expert}.w1";
  names.expert.up_proj = "model.layers.{layer}.block_sparse_moe.experts.{expert}.w3";
  names.expert.down_proj = "model.layers.{layer}.block_sparse_moe.experts.{expert}.w2";
  names.fused_router = "model.layers.{layer}.mlp.gate";
  return names;
}

}  // namespace

extern const Family kMixtral;
const Family kMixtral = {
    .name = "MixtralForCausalLM", .model_type = "mixtral", .read = read, .tensors = names()};

}  // namespace expertscope
