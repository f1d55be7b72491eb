// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/model/config_parts.h"
#include "engine/model/families/family.h"

namespace expertscope {
namespace {

/// OlmoeConfig of transformers. Queries and keys are normed over all heads together.
void read(ConfigKeys& keys, ModelConfig& config, std::vector<std::string>&) {
  const ConfigDefaults defaults{.rms_norm_eps = 1e-5, .max_position_embeddings = 4096};
  read_decoder(keys, defaults, config);
  read_attention(keys, defaults, config);
  keys.only("clip_qkv", {}, "clipped queries and keys are not");
  const bool bias = keys.flag({"attention_bias"}, false);

  RouterSpec router;
  router.experts = keys.size_or({"num_experts", "num_local_experts"}, 64, ConfigKeys::kMaxExperts);
  router.top_k = keys.size_or({"num_experts_per_tok"}, 8, ConfigKeys::kMaxExperts);
  router.renormalise = keys.flag({"norm_topk_prob"}, false);
  const MlpSpec expert{.width = keys.size({"intermediate_size"}, ConfigKeys::kMaxWidth)};
  for (LayerSpec& layer : config.layers) {
    layer.attention.qk_norm = AttentionSpec::QkNorm::whole;
    layer.attention.qkv_bias = layer.attention.output_bias = bias;
    set_router(keys, router, expert, layer);
  }
}

}  // namespace

extern const Family kOlmoe;
const Family kOlmoe = {
    .name = "OlmoeForCausalLM", .model_type = "olmoe", .read = read, .tensors = llama_tensor_names()};

}  // namespace expertscope
