// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/model/config_parts.h"
#include "engine/model/families/family.h"

namespace expertscope {
namespace {

/// Glm4MoeConfig of transformers: GLM-4.5, 4.6 and 4.7. The first layers are dense, half of each head turns,
/// and the router is that of DeepSeek-V3.
void read(ConfigKeys& keys, ModelConfig& config, std::vector<std::string>&) {
  const ConfigDefaults defaults{
      .rms_norm_eps = 1e-5, .partial_rotary_factor = 0.5, .max_position_embeddings = 131072};
  read_decoder(keys, defaults, config);
  read_attention(keys, defaults, config);
  keys.ignore(
      {"num_nextn_predict_layers", "num_mtp_layers"});  // layers behind the last, which predict further
  const bool bias = keys.flag({"attention_bias"}, false);
  const bool qk_norm = keys.flag({"use_qk_norm"}, false);

  const RouterSpec router = read_sigmoid_router(keys, {.experts = 128, .top_k = 8, .renormalise = true});
  const MlpSpec expert{.width = keys.size({"moe_intermediate_size"}, ConfigKeys::kMaxWidth)};
  const int shared = keys.count_or({"n_shared_experts"}, 1, 64);
  const int first_moe = keys.count_or({"first_k_dense_replace"}, 1, ConfigKeys::kMaxLayers);
  const MlpSpec dense{.width = keys.count_or({"intermediate_size"}, 10944, ConfigKeys::kMaxWidth)};
  for (LayerSpec& layer : config.layers) {
    layer.attention.qkv_bias = bias;
    if (qk_norm) layer.attention.qk_norm = AttentionSpec::QkNorm::head;
  }
  set_moe_from(keys, first_moe, dense, router, expert, shared, config);
}

}  // namespace

extern const Family kGlm4Moe;
const Family kGlm4Moe = {
    .name = "Glm4MoeForCausalLM", .model_type = "glm4_moe", .read = read, .tensors = deepseek_tensor_names()};

}  // namespace expertscope
