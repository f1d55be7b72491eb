// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/model/config_parts.h"
#include "engine/model/families/family.h"

namespace expertscope {
namespace {

/// Qwen2MoeConfig of transformers: biases of queries, keys and values, and a shared expert behind a gate.
void read(ConfigKeys& keys, ModelConfig& config, std::vector<std::string>& warnings) {
  const ConfigDefaults defaults;
  read_decoder(keys, defaults, config);
  read_attention(keys, defaults, config);
  refuse_switched_window(keys);
  const bool bias = keys.flag({"qkv_bias"}, true);

  RouterSpec router;
  router.experts = keys.size_or({"num_experts", "num_local_experts"}, 60, ConfigKeys::kMaxExperts);
  router.top_k = keys.size_or({"num_experts_per_tok"}, 4, ConfigKeys::kMaxExperts);
  router.renormalise = keys.flag({"norm_topk_prob"}, false);
  const MlpSpec expert{.width = keys.size({"moe_intermediate_size"}, ConfigKeys::kMaxWidth)};
  const MlpSpec shared{.width = keys.size({"shared_expert_intermediate_size"}, ConfigKeys::kMaxWidth)};
  const auto sparse = read_sparse_layers(keys, config.num_layers(), warnings);
  const MlpSpec dense{.width = keys.count_or({"intermediate_size"}, 0, ConfigKeys::kMaxWidth)};
  for (std::size_t n = 0; n < config.layers.size(); ++n) {
    LayerSpec& layer = config.layers[n];
    layer.attention.qkv_bias = bias;
    if (!sparse[n]) set_dense(keys, dense, layer);
    if (!sparse[n]) continue;
    set_router(keys, router, expert, layer);
    layer.shared = shared;
    layer.shared_gate = true;
  }
}

constexpr TensorNames names() {
  TensorNames names = llama_tensor_names();
  names.shared.gate_proj = "model.layers.{layer}.mlp.shared_expert.gate_proj";
  names.shared.up_proj = "model.layers.{layer}.mlp.shared_expert.up_proj";
  names.shared.down_proj = "model.layers.{layer}.mlp.shared_expert.down_proj";
  names.shared_expert_gate = "model.layers.{layer}.mlp.shared_expert_gate";
  return names;
}

}  // namespace

extern const Family kQwen2Moe;
const Family kQwen2Moe = {
    .name = "Qwen2MoeForCausalLM", .model_type = "qwen2_moe", .read = read, .tensors = names()};

}  // namespace expertscope
