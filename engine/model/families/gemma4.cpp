// SPDX-License-Identifier: GPL-3.0-or-later
#include <algorithm>
#include <cmath>

#include "engine/model/config_parts.h"
#include "engine/model/families/family.h"

namespace expertscope {
namespace {

/// Layers that see a window, those that see all before them, and which a layer is.
struct Attentions {
  AttentionSpec windowed, full;
  std::vector<std::uint8_t> is_windowed;
};

/// One kind of layer of rope_parameters; the rest of what stands there refuses.
RotarySpec read_turns(const JsonFields& all, const char* kind, ConfigKeys& keys, int head_dim,
                      RotarySpec rotary) {
  rotary.width = head_dim;
  if (!all.has(kind)) return rotary;
  const auto fields = all.object(kind);
  if (!fields) keys.fail(forward_error(fields));
  if (!fields) return rotary;
  ConfigKeys own(*fields);
  rotary.theta = own.number({"rope_theta"}, rotary.theta, 1.0, 1e30);
  own.only("rope_type", {"default", "proportional"});
  const bool proportional = own.text({"rope_type"}, "default") == "proportional";
  const double part = own.number({"partial_rotary_factor"}, 1.0, 0.0, 1.0);
  rotary.scaling = proportional ? RotaryScaling::proportional : RotaryScaling::none;
  if (proportional) {
    rotary.factor = own.number({"factor"}, 1.0, 1.0, 1e6);
    rotary.turning = static_cast<int>(part * head_dim / 2);
  } else {
    own.only("partial_rotary_factor", {1.0});
  }
  keys.fail(own.finish());
  return rotary;
}

void read_rotaries(ConfigKeys& keys, const ModelConfig& config, Attentions& attentions) {
  RotarySpec windowed{.theta = 10000.0,
                      .trained_positions = static_cast<double>(config.max_position_embeddings)};
  RotarySpec full = windowed;
  full.theta = 1e6;
  full.scaling = RotaryScaling::proportional;
  full.turning = attentions.full.head_dim / 8;
  windowed.width = attentions.windowed.head_dim;
  full.width = attentions.full.head_dim;
  if (const auto all = keys.object("rope_parameters")) {
    windowed = read_turns(*all, "sliding_attention", keys, windowed.width,
                          {.theta = 10000.0, .trained_positions = windowed.trained_positions});
    full = read_turns(*all, "full_attention", keys, full.width,
                      {.theta = 1e6, .trained_positions = windowed.trained_positions});
  }
  attentions.windowed.rotary = windowed;
  attentions.full.rotary = full;
}

Attentions read_attentions(ConfigKeys& keys, const ModelConfig& config) {
  Attentions read;
  AttentionSpec& one = read.windowed;
  one.heads = keys.size({"num_attention_heads"}, ConfigKeys::kMaxHeads);
  one.kv_heads = keys.size_or({"num_key_value_heads"}, 4, ConfigKeys::kMaxHeads);
  one.head_dim = keys.size_or({"head_dim"}, 256, ConfigKeys::kMaxWidth);
  one.qk_norm = AttentionSpec::QkNorm::head;
  one.v_norm = true;
  one.scale = 1.0f;
  one.qkv_bias = one.output_bias = keys.flag({"attention_bias"}, false);
  read.full = one;
  one.window = keys.size_or({"sliding_window"}, 512, ConfigKeys::kMaxInt32);
  read.full.head_dim = keys.size_or({"global_head_dim"}, 512, ConfigKeys::kMaxWidth);
  read.full.keys_as_values = keys.flag({"attention_k_eq_v"}, false);
  const int global = keys.size_or({"num_global_key_value_heads"}, one.kv_heads, ConfigKeys::kMaxHeads);
  if (read.full.keys_as_values) read.full.kv_heads = global;
  for (const AttentionSpec* spec : {&read.windowed, &read.full}) {
    if (spec->heads % spec->kv_heads != 0)
      keys.refuse(ErrorCode::mismatch,
                  spec == &read.full ? "num_global_key_value_heads" : "num_key_value_heads",
                  fmt::format("{} does not divide num_attention_heads {}", spec->kv_heads, spec->heads));
    if (spec->head_dim % 2 != 0)
      keys.refuse(ErrorCode::mismatch, spec == &read.full ? "global_head_dim" : "head_dim",
                  fmt::format("{} is not an even number, which rotary embeddings need", spec->head_dim));
  }
  read_rotaries(keys, config, read);
  std::vector<std::uint8_t> usual;
  for (int n = 0; n < config.num_layers(); ++n)
    usual.push_back((n + 1) % 6 != 0 ? 1 : 0);
  read.is_windowed = read_layer_types(keys, "sliding_attention", "full_attention", usual);
  // transformers makes the last layer one that sees everything, whatever the file says.
  if (!read.is_windowed.empty()) read.is_windowed.back() = 0;
  return read;
}

/// What other members of the family have.
void refuse_the_rest(ConfigKeys& keys) {
  keys.only("use_bidirectional_attention", {"vision"});  // images alone see what comes after them
  keys.ignore({"vocab_size_per_layer_input", "use_double_wide_mlp"});
  if (keys.count_or({"hidden_size_per_layer_input"}, 256, ConfigKeys::kMaxWidth) != 0)
    keys.refuse(ErrorCode::unsupported, "hidden_size_per_layer_input", "only 0 is supported");
  if (keys.count_or({"num_kv_shared_layers"}, 0, ConfigKeys::kMaxLayers) != 0)
    keys.refuse(ErrorCode::unsupported, "num_kv_shared_layers", "only 0 is supported");
  if (!keys.flag({"enable_moe_block"}, false))
    keys.refuse(ErrorCode::unsupported, "enable_moe_block", "no layer of this model is a mixture of experts");
}

/// Gemma4TextConfig of transformers, of the members that have experts: Gemma 4 26B-A4B.
void read(ConfigKeys& keys, ModelConfig& config, std::vector<std::string>&) {
  read_decoder(keys, {.max_position_embeddings = 131072, .tie_word_embeddings = true}, config);
  keys.only("hidden_activation", {"gelu_pytorch_tanh"});
  refuse_the_rest(keys);
  config.embedding_scale = std::sqrt(static_cast<float>(config.hidden_size));
  config.logit_cap = static_cast<float>(keys.number({"final_logit_softcapping"}, 0.0, 0.0, 1e9));
  const Attentions attentions = read_attentions(keys, config);
  RouterSpec router;
  router.experts = keys.size({"num_experts"}, ConfigKeys::kMaxExperts);
  router.top_k = keys.size({"top_k_experts"}, ConfigKeys::kMaxExperts);
  router.input_scale = 1.0f / std::sqrt(static_cast<float>(config.hidden_size));
  router.renormalise = router.input_norm = router.reads_residual = router.expert_scale = true;
  const MlpSpec expert{.width = keys.size({"moe_intermediate_size"}, ConfigKeys::kMaxWidth),
                       .activation = Activation::gelu_tanh};
  const MlpSpec dense{.width = keys.size_or({"intermediate_size"}, 9216, ConfigKeys::kMaxWidth),
                      .activation = Activation::gelu_tanh};
  for (std::size_t n = 0; n < config.layers.size(); ++n) {
    LayerSpec& layer = config.layers[n];
    layer.attention = attentions.is_windowed[n] != 0 ? attentions.windowed : attentions.full;
    layer.norm_after = layer.branch_norms = layer.output_scale = true;
    set_router(keys, router, expert, layer);
    layer.dense = dense;
  }
}

void read_whole(ConfigKeys& keys, ModelConfig& config, std::vector<std::string>& warnings) {
  keys.ignore_usual();
  keys.ignore({"vision_config", "audio_config", "image_token_id", "audio_token_id", "video_token_id",
               "boi_token_id", "eoi_token_id", "boa_token_id", "eoa_token_id", "eoa_token_index",
               "vision_soft_tokens_per_image"});
  read_text_part(keys, read, config, warnings);
  config.tie_word_embeddings = keys.flag({"tie_word_embeddings"}, true);
}

template <FixedText kPrefix>
constexpr TensorNames names() {
  TensorNames names = llama_tensor_names<kPrefix>();
  names.attention_post_norm = joined<kPrefix, "layers.{layer}.post_attention_layernorm.weight">();
  names.post_attention_layernorm = joined<kPrefix, "layers.{layer}.pre_feedforward_layernorm.weight">();
  names.mlp_post_norm = joined<kPrefix, "layers.{layer}.post_feedforward_layernorm.weight">();
  names.dense_output_norm = joined<kPrefix, "layers.{layer}.post_feedforward_layernorm_1.weight">();
  names.expert_output_norm = joined<kPrefix, "layers.{layer}.post_feedforward_layernorm_2.weight">();
  names.expert_input_norm = joined<kPrefix, "layers.{layer}.pre_feedforward_layernorm_2.weight">();
  names.output_scale = joined<kPrefix, "layers.{layer}.layer_scalar">();
  names.router = joined<kPrefix, "layers.{layer}.router.proj">();
  names.router_norm = joined<kPrefix, "layers.{layer}.router.scale">();
  names.expert_scale = joined<kPrefix, "layers.{layer}.router.per_expert_scale">();
  names.expert = {};
  names.fused_gate_up_proj = joined<kPrefix, "layers.{layer}.experts.gate_up_proj">();
  names.fused_down_proj = joined<kPrefix, "layers.{layer}.experts.down_proj">();
  return names;
}

}  // namespace

extern const Family kGemma4;
const Family kGemma4 = {.name = "Gemma4ForConditionalGeneration",
                        .model_type = "gemma4",
                        .read = read_whole,
                        .tensors = names<"model.language_model.">()};
extern const Family kGemma4Text;
const Family kGemma4Text = {
    .name = "Gemma4ForCausalLM", .model_type = "gemma4_text", .read = read, .tensors = names<"model.">()};

}  // namespace expertscope
