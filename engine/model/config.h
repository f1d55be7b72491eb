// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/error.h"
#include "engine/model/layer_spec.h"

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

/// The largest of each size over all layers: what arrays that serve every layer are sized by.
struct WidestLayer {
  int heads = 0;
  int kv_heads = 0;
  int head_dim = 0;
  int query_width = 0;     ///< heads * head_dim
  int q_rows = 0;          ///< AttentionSpec::q_rows()
  int output_width = 0;    ///< AttentionSpec::output_width()
  int gate_width = 0;      ///< AttentionSpec::gate
  int latent_queries = 0;  ///< query_width of layers with a latent
  int latent_means = 0;    ///< heads * LatentSpec::rank
  int latent_q_rank = 0;
  int latent_head = 0;      ///< the larger of LatentSpec::rank and nope_dim
  int latent_expanded = 0;  ///< AttentionSpec::kv_b_rows()
  int delta_channels = 0;
  int delta_values = 0;
  int delta_heads = 0;   ///< DeltaNetSpec::value_heads
  int delta_inputs = 0;  ///< that a convolution keeps of a sequence
  int delta_states = 0;  ///< elements of a sequence
  int key_width = 0;     ///< kv_heads * head_dim
  int experts = 0;
  int top_k = 0;
  int expert_width = 0;
  int dense_width = 0;  ///< of dense MLPs and shared experts
};

/// Everything the forward pass needs to know about a model; the contract between the loader and the
/// backends. The name behind a field is the key in a Hugging Face config.json.
struct ModelConfig {
  std::string architecture;  ///< architectures[0], e.g. "Qwen3MoeForCausalLM"
  std::string model_type;    ///< model_type, e.g. "qwen3_moe"

  int vocab_size = 0;                ///< vocab_size: rows of the embedding and of lm_head
  int hidden_size = 0;               ///< hidden_size: width of the residual stream
  int max_position_embeddings = 0;   ///< max_position_embeddings: longest context, in tokens
  bool tie_word_embeddings = false;  ///< tie_word_embeddings: lm_head is the embedding
  float embedding_scale = 1.0f;      ///< rows of the embedding are multiplied by it
  float logit_cap = 0.0f;            ///< logits become cap * tanh(logit / cap); 0: off
  NormSpec norm;                     ///< before lm_head
  std::vector<LayerSpec> layers;     ///< decoder layers

  std::vector<std::int32_t> eos_token_ids;  ///< eos_token_id, one or a list; generation_config wins
  std::int32_t bos_token_id = -1;           ///< bos_token_id; -1: none

  GenerationDefaults generation;

  int num_layers() const { return static_cast<int>(layers.size()); }
  const LayerSpec& layer(int index) const { return layers[static_cast<std::size_t>(index)]; }
  bool is_moe(int index) const { return layer(index).is_moe(); }
  /// Number of decoder layers with routed experts.
  int num_moe_layers() const;
  /// [num_layers] 1 where a layer has routed experts.
  std::vector<std::uint8_t> moe_layers() const;
  /// [num_layers] 1 where a layer has a shared expert beside its routed ones.
  std::vector<std::uint8_t> shared_layers() const;
  bool has_shared_expert() const;
  /// Routed experts of a MoE layer, the most of all; 0: no MoE layer.
  int num_experts() const { return widest().experts; }
  /// Experts a token, the most of all layers.
  int top_k() const { return widest().top_k; }
  WidestLayer widest() const;
  /// DeltaNets among the first `count` layers.
  int delta_nets_before(int count) const;
  /// Whether a sequence can forget its last tokens: recurrent layers keep nothing to go back by.
  bool can_rewind() const;
};

}  // namespace expertscope
