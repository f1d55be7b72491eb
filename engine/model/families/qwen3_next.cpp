// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/model/families/qwen3_next.h"

#include <algorithm>

#include "engine/model/config_parts.h"
#include "engine/model/families/family.h"

namespace expertscope {
namespace {

DeltaNetSpec read_delta_net(ConfigKeys& keys) {
  DeltaNetSpec spec;
  spec.key_heads = keys.size_or({"linear_num_key_heads"}, 16, ConfigKeys::kMaxHeads);
  spec.value_heads = keys.size_or({"linear_num_value_heads"}, 32, ConfigKeys::kMaxHeads);
  spec.key_dim = keys.size_or({"linear_key_head_dim"}, 128, DeltaNetSpec::kMaxHeadDim);
  spec.value_dim = keys.size_or({"linear_value_head_dim"}, 128, DeltaNetSpec::kMaxHeadDim);
  spec.taps = keys.size_or({"linear_conv_kernel_dim"}, 4, DeltaNetSpec::kMaxTaps);
  if (spec.value_heads % spec.key_heads != 0)
    keys.refuse(
        ErrorCode::mismatch, "linear_num_key_heads",
        fmt::format("{} does not divide linear_num_value_heads {}", spec.key_heads, spec.value_heads));
  if (std::int64_t{spec.value_heads} * std::max(spec.key_dim, spec.value_dim) > ConfigKeys::kMaxWidth)
    keys.refuse(ErrorCode::unsupported, "linear_num_value_heads",
                fmt::format("{} heads of {} are more than {} elements", spec.value_heads,
                            std::max(spec.key_dim, spec.value_dim), ConfigKeys::kMaxWidth));
  return spec;
}

/// layer_types; where there are none, every full_attention_interval-th layer is attention.
std::vector<std::uint8_t> linear_layers(ConfigKeys& keys, int layers) {
  const int interval = keys.size_or({"full_attention_interval"}, 4, ConfigKeys::kMaxLayers);
  std::vector<std::uint8_t> usual(static_cast<std::size_t>(layers));
  for (int n = 0; n < layers; ++n)
    usual[n] = (n + 1) % interval != 0;
  return read_layer_types(keys, "linear_attention", "full_attention", usual);
}

/// The experts of the layers that have some, and the MLPs of the others.
void read_mlps(ConfigKeys& keys, const Qwen3NextForm& form, ModelConfig& config,
               std::vector<std::string>& warnings) {
  RouterSpec router;
  router.experts = keys.size_or({"num_experts", "num_local_experts"}, form.experts, ConfigKeys::kMaxExperts);
  router.top_k = keys.size_or({"num_experts_per_tok"}, form.top_k, ConfigKeys::kMaxExperts);
  router.renormalise = form.always_routed || keys.flag({"norm_topk_prob"}, true);
  const MlpSpec expert{.width = keys.size_or({"moe_intermediate_size"}, 512, ConfigKeys::kMaxWidth)};
  const MlpSpec shared{.width =
                           keys.size_or({"shared_expert_intermediate_size"}, 512, ConfigKeys::kMaxWidth)};
  std::vector<std::uint8_t> sparse(config.layers.size(), 1);
  MlpSpec dense;
  if (form.always_routed) {
    keys.only("norm_topk_prob", {true});
    keys.only("mlp_only_layers", {});
    keys.only("decoder_sparse_step", {1});
    keys.ignore({"intermediate_size"});
  } else {
    sparse = read_sparse_layers(keys, config.num_layers(), warnings);
    dense.width = keys.size_or({"intermediate_size"}, 5632, ConfigKeys::kMaxWidth);
  }
  for (std::size_t n = 0; n < config.layers.size(); ++n) {
    LayerSpec& layer = config.layers[n];
    if (!sparse[n]) set_dense(keys, dense, layer);
    if (!sparse[n]) continue;
    set_router(keys, router, expert, layer);
    layer.shared = shared;
    layer.shared_gate = true;
  }
}

/// Qwen3NextConfig of transformers.
void read(ConfigKeys& keys, ModelConfig& config, std::vector<std::string>& warnings) {
  read_qwen3_next(keys, {}, config, warnings);
}

constexpr TensorNames names() {
  TensorNames names = qwen3_next_names();
  names.delta_qkvz = "model.layers.{layer}.linear_attn.in_proj_qkvz";
  names.delta_ba = "model.layers.{layer}.linear_attn.in_proj_ba";
  return names;
}

}  // namespace

void read_qwen3_next(ConfigKeys& keys, const Qwen3NextForm& form, ModelConfig& config,
                     std::vector<std::string>& warnings) {
  const ConfigDefaults defaults{.head_dim = 256, .partial_rotary_factor = 0.25};
  read_decoder(keys, defaults, config);
  config.norm.zero_centred = true;
  read_attention(keys, defaults, config);
  const bool bias = keys.flag({"attention_bias"}, false);
  keys.only("attn_output_gate", {true});
  DeltaNetSpec delta_net = read_delta_net(keys);
  delta_net.grouped = form.grouped;
  const auto linear = linear_layers(keys, config.num_layers());
  for (std::size_t n = 0; n < config.layers.size(); ++n) {
    LayerSpec& layer = config.layers[n];
    layer.norm = config.norm;
    AttentionSpec& attention = layer.attention;
    attention.qk_norm = AttentionSpec::QkNorm::head;
    attention.qkv_bias = attention.output_bias = bias;
    attention.gate = attention.query_width();
    attention.gate_in_q = true;
    if (!linear[n]) continue;
    layer.mixer = MixerKind::linear_attention;
    layer.attention = {};
    layer.delta_net = delta_net;
  }
  read_mlps(keys, form, config, warnings);
}

extern const Family kQwen3Next;
const Family kQwen3Next = {
    .name = "Qwen3NextForCausalLM", .model_type = "qwen3_next", .read = read, .tensors = names()};

}  // namespace expertscope
