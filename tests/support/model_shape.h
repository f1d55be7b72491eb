// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/model/config.h"

namespace expertscope::testing {

/// A Qwen3-MoE model whose layers are alike but for being dense or not, in the words of its config.json: what
/// tests and benchmarks describe models with.
struct ModelShape {
  std::string architecture = "Qwen3MoeForCausalLM";
  std::string model_type = "qwen3_moe";
  int vocab_size = 0;
  int hidden_size = 0;
  int num_hidden_layers = 0;
  int num_attention_heads = 0;
  int num_key_value_heads = 0;
  int head_dim = 0;
  int intermediate_size = 0;
  int max_position_embeddings = 0;
  int num_experts = 0;
  int num_experts_per_tok = 0;
  int moe_intermediate_size = 0;
  int shared_expert_intermediate_size = 0;
  bool shared_expert_gate = false;
  bool norm_topk_prob = false;
  double rope_theta = 10000.0;
  double partial_rotary_factor = 1.0;
  bool tie_word_embeddings = false;
  bool attention_bias = false;
  AttentionSpec::QkNorm qk_norm = AttentionSpec::QkNorm::none;
  RouterSpec router = {};                    ///< what the fields above do not say of it
  std::vector<std::uint8_t> moe_layer = {};  ///< [num_hidden_layers]; empty: all are

  operator ModelConfig() const {  // NOLINT(google-explicit-constructor): a shape stands for its model
    ModelConfig config;
    config.architecture = architecture;
    config.model_type = model_type;
    config.vocab_size = vocab_size;
    config.hidden_size = hidden_size;
    config.max_position_embeddings = max_position_embeddings;
    config.tie_word_embeddings = tie_word_embeddings;
    for (int n = 0; n < num_hidden_layers; ++n)
      config.layers.push_back(layer(moe_layer.empty() || moe_layer[static_cast<std::size_t>(n)] != 0));
    return config;
  }

 private:
  LayerSpec layer(bool moe) const {
    LayerSpec layer;
    AttentionSpec& attention = layer.attention;
    attention.heads = num_attention_heads;
    attention.kv_heads = num_key_value_heads;
    attention.head_dim = head_dim;
    attention.rotary.width = static_cast<int>(head_dim * partial_rotary_factor);
    attention.rotary.theta = rope_theta;
    attention.rotary.trained_positions = max_position_embeddings;
    attention.qk_norm = qk_norm;
    attention.qkv_bias = attention.output_bias = attention_bias;
    if (!moe) layer.dense.width = intermediate_size;
    if (!moe) return layer;
    layer.router = router;
    layer.router.experts = num_experts;
    layer.router.top_k = num_experts_per_tok;
    layer.router.renormalise = norm_topk_prob;
    layer.expert.width = moe_intermediate_size;
    layer.shared.width = shared_expert_intermediate_size;
    layer.shared_gate = shared_expert_gate;
    return layer;
  }
};

}  // namespace expertscope::testing
