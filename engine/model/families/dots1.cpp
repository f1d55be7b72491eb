// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/model/config_parts.h"
#include "engine/model/families/family.h"

namespace expertscope {
namespace {

/// The windows of Dots1Attention: of the layers from max_window_layers on, where there is no list of them.
/// Dots1Config does not ask use_sliding_window.
void read_late_windows(ConfigKeys& keys, ModelConfig& config) {
  keys.ignore({"use_sliding_window"});
  const int first = keys.count_or({"max_window_layers"}, 62, ConfigKeys::kMaxInt32);
  std::vector<std::uint8_t> late(config.layers.size());
  for (int n = 0; n < config.num_layers(); ++n)
    late[n] = n >= first;
  read_windows(keys, 4096, late, config);
}

/// Dots1Config of transformers: dots.llm1. The attention of Qwen3 before the experts of DeepSeek-V3.
void read(ConfigKeys& keys, ModelConfig& config, std::vector<std::string>&) {
  const ConfigDefaults defaults{.max_position_embeddings = 2048};
  read_decoder(keys, defaults, config);
  read_attention(keys, defaults, config);
  read_late_windows(keys, config);
  const bool bias = keys.flag({"attention_bias"}, false);
  const RouterSpec router = read_sigmoid_router(keys, {});
  // The configs of the hub have these, with the values that Dots1 means without them.
  keys.only("scoring_func", {"noaux_tc", "sigmoid"});
  keys.only("topk_method", {"noaux_tc"});
  keys.only("moe_layer_freq", {1});
  keys.ignore({"ep_size"});
  const MlpSpec expert{.width = keys.size_or({"moe_intermediate_size"}, 1408, ConfigKeys::kMaxWidth)};
  const int shared = keys.size({"n_shared_experts"}, 64);
  const int first_moe = keys.count_or({"first_k_dense_replace"}, 0, ConfigKeys::kMaxLayers);
  const MlpSpec dense{.width = keys.size_or({"intermediate_size"}, 10944, ConfigKeys::kMaxWidth)};
  for (LayerSpec& layer : config.layers) {
    layer.attention.qk_norm = AttentionSpec::QkNorm::head;
    layer.attention.qkv_bias = layer.attention.output_bias = bias;
  }
  set_moe_from(keys, first_moe, dense, router, expert, shared, config);
}

}  // namespace

extern const Family kDots1;
const Family kDots1 = {
    .name = "Dots1ForCausalLM", .model_type = "dots1", .read = read, .tensors = deepseek_tensor_names()};

}  // namespace expertscope
