// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/error.h"

namespace expertscope {

/// Sampling defaults a model ships in generation_config.json. What the file does not say, or when there is no
/// such file, is what transformers takes then (GenerationConfig._get_default_generation_params of 5.23):
/// greedy, and for who samples nevertheless the 50 most probable tokens.
struct GenerationDefaults {
  bool do_sample = false;           ///< do_sample; false: greedy
  float temperature = 1.0f;         ///< temperature
  int top_k = 50;                   ///< top_k; 0: off
  float top_p = 1.0f;               ///< top_p; 1: off
  float min_p = 0.0f;               ///< min_p; 0: off
  float repetition_penalty = 1.0f;  ///< repetition_penalty; 1: off
};

/// Everything the forward pass needs to know about a model; the contract between the loader and the
/// backends. The name behind each field is the key in a Hugging Face config.json.
struct ModelConfig {
  std::string architecture;  ///< architectures[0], e.g. "Qwen3MoeForCausalLM"
  std::string model_type;    ///< model_type, e.g. "qwen3_moe"

  int vocab_size = 0;               ///< vocab_size: rows of the embedding and of lm_head
  int hidden_size = 0;              ///< hidden_size: width of the residual stream
  int num_hidden_layers = 0;        ///< num_hidden_layers: decoder layers
  int num_attention_heads = 0;      ///< num_attention_heads: query heads
  int num_key_value_heads = 0;      ///< num_key_value_heads: divides num_attention_heads (GQA)
  int head_dim = 0;                 ///< head_dim, or hidden_size / num_attention_heads
  int intermediate_size = 0;        ///< intermediate_size: width of a dense MLP
  int max_position_embeddings = 0;  ///< max_position_embeddings: longest context, in tokens

  int num_experts = 0;            ///< num_experts: routed experts of a MoE layer; 0 = no MoE layer
  int num_experts_per_tok = 0;    ///< num_experts_per_tok: top_k
  int moe_intermediate_size = 0;  ///< moe_intermediate_size: width of one expert
  bool norm_topk_prob = false;    ///< norm_topk_prob: combine weights divided by their top-k sum

  float rms_norm_eps = 1e-6f;        ///< rms_norm_eps
  double rope_theta = 10000.0;       ///< rope_theta
  bool tie_word_embeddings = false;  ///< tie_word_embeddings: lm_head is the embedding
  bool attention_bias = false;       ///< attention_bias: q/k/v/o projections carry a bias
  bool qk_norm = false;              ///< RMSNorm over head_dim on queries and keys (an architecture switch)

  std::vector<std::uint8_t> moe_layer;      ///< [num_hidden_layers] 1 where the MLP is a MoE block
  std::vector<std::int32_t> eos_token_ids;  ///< eos_token_id, one or a list; generation_config wins
  std::int32_t bos_token_id = -1;           ///< bos_token_id; -1: none

  GenerationDefaults generation;

  bool is_moe(int layer) const { return moe_layer[static_cast<std::size_t>(layer)] != 0; }
  /// Number of decoder layers with a MoE block.
  int num_moe_layers() const {
    int layers = 0;
    for (const std::uint8_t moe : moe_layer)
      layers += moe != 0 ? 1 : 0;
    return layers;
  }
};

}  // namespace expertscope
