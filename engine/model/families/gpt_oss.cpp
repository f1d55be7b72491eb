// SPDX-License-Identifier: GPL-3.0-or-later
#include <cmath>

#include "engine/model/config_parts.h"
#include "engine/model/families/family.h"

namespace expertscope {
namespace {

/// What GptOssConfig stretches its rotary embedding by where the file says nothing of it.
void set_usual_rotary(RotarySpec& rotary) {
  rotary.scaling = RotaryScaling::yarn;
  rotary.factor = 32.0;
  rotary.trained_positions = 4096;
  rotary.truncate = false;
  rotary.magnitude = 0.1 * std::log(rotary.factor) + 1.0;
}

/// The experts of GptOssExperts: SwiGLU with a sigmoid of its own slope, held within a limit.
MlpSpec read_expert(ConfigKeys& keys) {
  MlpSpec expert{.width = keys.size_or({"intermediate_size"}, 2880, ConfigKeys::kMaxWidth)};
  expert.alpha = static_cast<float>(keys.number({"swiglu_alpha"}, 1.702, 1e-6, 1e6));
  expert.clamp = static_cast<float>(keys.number({"swiglu_limit"}, 7.0, 1e-6, 1e6));
  expert.up_offset = 1.0f;
  expert.biases = true;
  return expert;
}

/// GptOssConfig of transformers: gpt-oss 20b and 120b. Every other layer sees a window, each head may attend
/// to nothing (sinks), and weights are a softmax of the chosen logits.
void read(ConfigKeys& keys, ModelConfig& config, std::vector<std::string>&) {
  const ConfigDefaults defaults{.rms_norm_eps = 1e-5,
                                .rope_theta = 150000.0,
                                .kv_heads = 8,
                                .head_dim = 64,
                                .max_position_embeddings = 131072};
  read_decoder(keys, defaults, config);
  read_attention(keys, defaults, config);
  const bool stretched = keys.has({"rope_parameters"}) || keys.has({"rope_scaling"});
  const bool bias = keys.flag({"attention_bias"}, true);
  std::vector<std::uint8_t> even(config.layers.size());
  for (std::size_t n = 0; n < even.size(); n += 2)
    even[n] = 1;
  read_windows(keys, 128, even, config);

  RouterSpec router;
  router.experts = keys.size_or({"num_local_experts", "num_experts"}, 128, ConfigKeys::kMaxExperts);
  router.top_k = keys.size_or({"num_experts_per_tok"}, 4, ConfigKeys::kMaxExperts);
  router.score = RouterSpec::Score::softmax_of_chosen;
  router.bias = true;
  // The configs of the hub have these, which the class does not read.
  keys.only("experts_per_token", {router.top_k});
  keys.ignore({"initial_context_length"});
  const MlpSpec expert = read_expert(keys);
  for (LayerSpec& layer : config.layers) {
    if (!stretched) set_usual_rotary(layer.attention.rotary);
    if (layer.attention.rotary.width != layer.attention.head_dim)
      keys.refuse(ErrorCode::unsupported, "partial_rotary_factor", "GptOssAttention turns whole heads");
    layer.attention.qkv_bias = layer.attention.output_bias = bias;
    layer.attention.sinks = true;
    set_router(keys, router, expert, layer);
  }
}

constexpr TensorNames names() {
  TensorNames names = llama_tensor_names();
  names.sinks = "model.layers.{layer}.self_attn.sinks";
  names.router = "model.layers.{layer}.mlp.router";
  names.expert = {};
  names.fused_gate_up_bias = "model.layers.{layer}.mlp.experts.gate_up_proj_bias";
  names.fused_down_bias = "model.layers.{layer}.mlp.experts.down_proj_bias";
  names.fused_transposed = true;
  names.fused_alternates = true;
  return names;
}

}  // namespace

extern const Family kGptOss;
const Family kGptOss = {
    .name = "GptOssForCausalLM", .model_type = "gpt_oss", .read = read, .tensors = names()};

}  // namespace expertscope
