// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <string>
#include <vector>

#include "engine/model/config.h"
#include "engine/model/config_keys.h"

/// The parts of a config.json that families have in common. Each takes the values a family has where the file
/// is silent; keys that it reads or knows to be harmless are checked off in `keys`.
namespace expertscope {

/// What a family does where config.json is silent (its Config class in transformers).
struct ConfigDefaults {
  double rms_norm_eps = 1e-6;
  double rope_theta = 10000.0;
  int kv_heads = 0;  ///< 0: as many as num_attention_heads
  int head_dim = 0;  ///< 0: a share of hidden_size
  double partial_rotary_factor = 1.0;
  int max_position_embeddings = 32768;
  bool tie_word_embeddings = false;
};

/// vocab_size, hidden_size, max_position_embeddings, tie_word_embeddings, rms_norm_eps, hidden_act (SiLU is
/// what runs), and num_hidden_layers layers that are all alike: `layer` with its norm.
void read_decoder(ConfigKeys& keys, const ConfigDefaults& defaults, ModelConfig& config);

/// eos_token_id and bos_token_id, where they are there. An error leaves the config as it is.
Status read_token_ids(const JsonFields& fields, ModelConfig& config);

/// text_config of a model that does more than text, by `read`, with its token ids; says in a warning that the
/// rest is left out.
void read_text_part(ConfigKeys& keys, void (*read)(ConfigKeys&, ModelConfig&, std::vector<std::string>&),
                    ModelConfig& config, std::vector<std::string>& warnings);

/// num_attention_heads, num_key_value_heads, head_dim (or a share of hidden_size) and the rotary embedding,
/// for every layer.
void read_attention(ConfigKeys& keys, const ConfigDefaults& defaults, ModelConfig& config);

/// Sizes of latent attention where the file is silent, under the names of LatentSpec.
struct LatentDefaults {
  int rank = 512;
  int q_rank = 1536;
  int nope_dim = 128;
  int rope_dim = 64;
  int value_dim = 128;
};

/// kv_lora_rank, q_lora_rank (null: none), the sizes of heads, attention_bias and the rotary embedding, whose
/// pairs are interleaved, for every layer.
void read_latent_attention(ConfigKeys& keys, const LatentDefaults& silent, const ConfigDefaults& defaults,
                           ModelConfig& config);

/// rope_interleave, true where the file is silent, for every layer.
void read_interleaved(ConfigKeys& keys, ModelConfig& config);

/// The rotary embedding: rope_theta, partial_rotary_factor, rope_scaling of version 4 and rope_parameters of
/// version 5 of transformers.
RotarySpec read_rotary(ConfigKeys& keys, const ConfigDefaults& defaults, const ModelConfig& config,
                       int head_dim);

/// The router of DeepSeek-V3 as other families have it: sigmoids with a correction bias, experts of the
/// groups whose two best are largest. `silent`: experts, top_k, groups, renormalise and scale where the file
/// says nothing; sizes that are 0 there must be in it.
RouterSpec read_sigmoid_router(ConfigKeys& keys, const RouterSpec& silent);

/// Sets the router and the experts of `layer` after checking them against each other.
void set_router(ConfigKeys& keys, const RouterSpec& router, const MlpSpec& expert, LayerSpec& layer);

/// Makes `layer` a dense one, whose MLP must have a width.
void set_dense(ConfigKeys& keys, const MlpSpec& dense, LayerSpec& layer);

/// The first `first` layers are dense; the others have the router, its experts and shared experts, `shared`
/// of them as one.
void set_moe_from(ConfigKeys& keys, int first, const MlpSpec& dense, const RouterSpec& router,
                  const MlpSpec& expert, int shared, ModelConfig& config);

/// decoder_sparse_step and mlp_only_layers as in Qwen2Moe and Qwen3Moe: 1 where the layer has experts.
/// Indices beyond the layers go into `warnings`.
std::vector<std::uint8_t> read_sparse_layers(ConfigKeys& keys, int layers,
                                             std::vector<std::string>& warnings);

/// 1 where layer_types calls a layer `kind`, 0 where it is `other`, what else is refused; `usual` where there
/// is no such list.
std::vector<std::uint8_t> read_layer_types(ConfigKeys& keys, const char* kind, const char* other,
                                           const std::vector<std::uint8_t>& usual);

/// Sliding windows that run: sliding_window (`silent` where it is absent) for the layers that layer_types
/// calls "sliding_attention", or for those of `usual`, where there is no such list. Null is no window, which
/// no layer may ask for then.
void read_windows(ConfigKeys& keys, int silent, const std::vector<std::uint8_t>& usual, ModelConfig& config);

/// Sliding windows as in Qwen2Moe and Qwen3Moe, which do not run: in force only with use_sliding_window.
void refuse_switched_window(ConfigKeys& keys);

}  // namespace expertscope
