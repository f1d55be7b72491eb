// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/model/config_parts.h"
#include "engine/model/families/family.h"

namespace expertscope {
namespace {

/// Qwen3MoeConfig of transformers.
void read(ConfigKeys& keys, ModelConfig& config, std::vector<std::string>& warnings) {
  const ConfigDefaults defaults;
  read_decoder(keys, defaults, config);
  read_attention(keys, defaults, config);
  refuse_switched_window(keys);
  const bool bias = keys.flag({"attention_bias"}, false);
  // Qwen3-Coder has these, with the values that Qwen3-MoE means without them.
  keys.only("qkv_bias", {false});
  keys.only("use_qk_norm", {true});
  keys.only("shared_expert_intermediate_size", {0});

  RouterSpec router;
  router.experts = keys.size({"num_experts", "num_local_experts"}, ConfigKeys::kMaxExperts);
  router.top_k = keys.size({"num_experts_per_tok"}, ConfigKeys::kMaxExperts);
  router.renormalise = keys.flag({"norm_topk_prob"}, false);
  const MlpSpec expert{.width = keys.size({"moe_intermediate_size"}, ConfigKeys::kMaxWidth)};
  const auto sparse = read_sparse_layers(keys, config.num_layers(), warnings);
  const MlpSpec dense{.width = keys.count_or({"intermediate_size"}, 0, ConfigKeys::kMaxWidth)};
  for (std::size_t n = 0; n < config.layers.size(); ++n) {
    LayerSpec& layer = config.layers[n];
    layer.attention.qk_norm = AttentionSpec::QkNorm::head;
    layer.attention.qkv_bias = layer.attention.output_bias = bias;
    if (sparse[n]) set_router(keys, router, expert, layer);
    if (!sparse[n]) set_dense(keys, dense, layer);
  }
}

}  // namespace

extern const Family kQwen3Moe;
const Family kQwen3Moe = {.name = "Qwen3MoeForCausalLM",
                          .model_type = "qwen3_moe",
                          .read = read,
                          .tensors = llama_tensor_names(),
                          .gguf = "qwen3moe",
                          .gguf_defaults = R"({"norm_topk_prob": true})"};

}  // namespace expertscope
