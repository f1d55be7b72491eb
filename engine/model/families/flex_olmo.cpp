// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/model/config_parts.h"
#include "engine/model/families/family.h"

namespace expertscope {
namespace {

/// FlexOlmoConfig of transformers. The attention of OLMo 2 with its norms after attention and MLP, and the
/// experts of OLMoE.
void read(ConfigKeys& keys, ModelConfig& config, std::vector<std::string>&) {
  const ConfigDefaults defaults{.rope_theta = 500000.0, .max_position_embeddings = 4096};
  read_decoder(keys, defaults, config);
  read_attention(keys, defaults, config);
  keys.only("clip_qkv", {}, "clipped queries and keys are not");  // of OLMoE
  const bool bias = keys.flag({"attention_bias"}, false);

  RouterSpec router;
  router.experts = keys.size_or({"num_experts", "num_local_experts"}, 7, ConfigKeys::kMaxExperts);
  router.top_k = keys.size_or({"num_experts_per_tok"}, 5, ConfigKeys::kMaxExperts);
  router.renormalise = keys.flag({"norm_topk_prob"}, false);
  const MlpSpec expert{.width = keys.size_or({"intermediate_size"}, 11008, ConfigKeys::kMaxWidth)};
  for (LayerSpec& layer : config.layers) {
    layer.norm_before = false;
    layer.norm_after = true;
    layer.attention.qk_norm = AttentionSpec::QkNorm::whole;
    layer.attention.qkv_bias = layer.attention.output_bias = bias;
    set_router(keys, router, expert, layer);
  }
}

/// What other families call the norm before the MLP is here that of what attention gives.
constexpr TensorNames names() {
  TensorNames names = llama_tensor_names();
  names.input_layernorm = nullptr;
  names.post_attention_layernorm = nullptr;
  names.attention_post_norm = "model.layers.{layer}.post_attention_layernorm.weight";
  names.mlp_post_norm = "model.layers.{layer}.post_feedforward_layernorm.weight";
  return names;
}

}  // namespace

extern const Family kFlexOlmo;
const Family kFlexOlmo = {
    .name = "FlexOlmoForCausalLM", .model_type = "flex_olmo", .read = read, .tensors = names()};

}  // namespace expertscope
