// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cmath>
#include <cstdint>

/// How a decoder layer is built, in words that every family shares. A family file (engine/model/families)
/// gives one LayerSpec a layer; backends read nothing else of a model but its sizes and its weights, so that
/// a forward pass never asks for the name of a model.
namespace expertscope {

/// Normalisation of a row. The weights lie in LayerWeights; what a file stores as a difference from 1
/// ("zero-centred") has got its 1 there already.
struct NormSpec {
  enum class Kind : std::uint8_t {
    rms,    ///< weight * x / sqrt(mean(x^2) + eps) (Zhang and Sennrich 2019)
    layer,  ///< weight * (x - mean) / sqrt(var + eps) + bias (Ba et al. 2016)
  };
  Kind kind = Kind::rms;
  float eps = 1e-6f;
  bool zero_centred = false;  ///< the file stores weight - 1

  bool operator==(const NormSpec&) const = default;
};

/// How the frequencies of a rotary embedding are stretched for contexts longer than those of the training.
/// Names and definitions: rope_type of transformers (modeling_rope_utils.py of 5.24).
enum class RotaryScaling : std::uint8_t { none, linear, dynamic, yarn, llama3, proportional };

/// Rotary position embedding (Su et al. 2021, "RoFormer").
struct RotarySpec {
  int width = 0;             ///< leading elements of a head that turn, even; 0: none do
  bool interleaved = false;  ///< pairs (2 i, 2 i + 1) turn instead of (i, i + width / 2)
  double theta = 10000.0;    ///< rope_theta
  RotaryScaling scaling = RotaryScaling::none;
  double factor = 1.0;            ///< of all but none: how many times longer
  double trained_positions = 0;   ///< original_max_position_embeddings, or max_position_embeddings
  double beta_fast = 32.0;        ///< yarn: turns in the trained context above which nothing is stretched
  double beta_slow = 1.0;         ///< yarn: turns below which everything is
  bool truncate = true;           ///< yarn: the bounds between the two are rounded to whole dimensions
  double magnitude = 1.0;         ///< yarn: what cosines and sines are multiplied by (attention_factor)
  double latent_magnitude = 1.0;  ///< yarn: mscale of mscale_all_dim; its square is in the scale of MLA
  double low_frequency = 1.0;     ///< llama3: low_freq_factor
  double high_frequency = 4.0;    ///< llama3: high_freq_factor
  int turning = 0;                ///< proportional: so many pairs turn, the others have the frequency 0

  bool operator==(const RotarySpec&) const = default;
};

/// What takes the place of attention in a layer. Those that no backend runs yet are refused by name when a
/// model opens.
enum class MixerKind : std::uint8_t {
  attention,         ///< softmax attention: AttentionSpec
  linear_attention,  ///< Gated DeltaNet: DeltaNetSpec
  state_space,       ///< Mamba
  short_convolution,
};

/// Multi-head latent attention (MLA; DeepSeek-V2, arXiv 2405.04434). Of a token all heads share one latent
/// c = norm(first rank rows of kv_a_proj x) and one key t that turns, which the rows behind them give. A head
/// has its rows K and V of kv_b_proj and a query whose last elements turn:
///
///   key = [K c, t],  value = V c,  score = [q, q_t] . key = (K^T q) . c + q_t . t
///
/// So the cache keeps [t, c], a head attends to it with [q_t, K^T q], and V takes the mean of the c.
struct LatentSpec {
  int rank = 0;       ///< kv_lora_rank: elements of c; 0: keys and values are projections of the input
  int q_rank = 0;     ///< q_lora_rank: of a normed latent that q_proj takes; 0: it takes the input
  int nope_dim = 0;   ///< qk_nope_head_dim: elements of a query that do not turn
  int value_dim = 0;  ///< v_head_dim
  float eps = 1e-6f;  ///< of the norms of both latents

  bool operator==(const LatentSpec&) const = default;
};

/// Causal softmax attention with grouped heads. With a latent, what it says is how heads attend to the cache:
/// one kv head of [what turns, c], rotary.width + rank elements.
struct AttentionSpec {
  enum class QkNorm : std::uint8_t {
    none,
    head,   ///< RMSNorm over head_dim of every head of q and k
    whole,  ///< RMSNorm over all heads of a token together
  };
  int heads = 0;     ///< num_attention_heads: of the queries
  int kv_heads = 0;  ///< num_key_value_heads: divides heads
  int head_dim = 0;
  float scale = 0.0f;  ///< of the scores; 0: 1 / sqrt(head_dim)
  RotarySpec rotary = {};
  LatentSpec latent = {};
  QkNorm qk_norm = QkNorm::none;  ///< with the kind and eps of LayerSpec::norm
  bool v_norm = false;  ///< values are normed head by head, with the eps of LayerSpec::norm and no weight
  bool keys_as_values = false;  ///< values are what k_proj gives, before the norm of keys
  bool qkv_bias = false;        ///< with a latent: of q_a_proj and kv_a_proj
  bool output_bias = false;
  int window = 0;          ///< keys a query sees, itself among them; 0: all before it
  float soft_cap = 0.0f;   ///< scores become cap * tanh(score / cap); 0: off
  bool sinks = false;      ///< a learned score a head that takes part in the softmax and has no value
  int gate = 0;            ///< sigmoids of the layer's input that multiply the heads' outputs: query_width()
                           ///< of them, or one a head; 0: none
  bool gate_in_q = false;  ///< q_proj gives them: behind each head's query, as many as that has elements

  // constexpr: kernels call them, too.
  constexpr bool has_latent() const { return latent.rank > 0; }
  constexpr int query_width() const { return heads * head_dim; }
  /// Elements of a head that q_proj gives.
  constexpr int query_dim() const { return has_latent() ? latent.nope_dim + rotary.width : head_dim; }
  constexpr int q_rows() const { return (gate_in_q ? 2 : 1) * heads * query_dim(); }  ///< of q_proj
  /// Of the input of o_proj.
  constexpr int output_width() const { return heads * (has_latent() ? latent.value_dim : head_dim); }
  /// Elements of a value in the cache; with a latent, they are the last of a key.
  constexpr int cached_value_dim() const { return has_latent() ? latent.rank : head_dim; }
  /// Rows of kv_b_proj, by head: those of its key, then those of its value.
  constexpr int kv_b_rows() const { return heads * (latent.nope_dim + latent.value_dim); }
  float score_scale() const { return scale > 0 ? scale : 1.0f / std::sqrt(static_cast<float>(head_dim)); }
  int key_width() const { return kv_heads * head_dim; }
  int group() const { return heads / kv_heads; }  ///< query heads a kv head

  bool operator==(const AttentionSpec&) const = default;
};

/// Gated DeltaNet (Yang et al. 2024, arXiv 2412.06464) as Qwen3-Next has it. Queries, keys and values go
/// through a causal convolution of their last tokens and SiLU, queries and keys are made unit vectors, and a
/// value head keeps a state S [key_dim, value_dim] a sequence, 0 at first:
///
///   S = exp(g) S;  S += k (beta (v - S^T k))^T;  out = S^T q / sqrt(key_dim)
///   beta = sigmoid(b);  g = -exp(A_log) softplus(a + dt_bias)
///
/// out is normed (RMS) over its head, multiplied by silu(z), and goes through out_proj.
struct DeltaNetSpec {
  static constexpr int kMaxHeadDim = 1024;
  static constexpr int kMaxTaps = 64;
  int key_heads = 0;     ///< of queries and keys
  int value_heads = 0;   ///< key_heads divides it: a key head serves value heads next to each other
  int key_dim = 0;       ///< of a head
  int value_dim = 0;     ///< of a head
  int taps = 0;          ///< tokens that the convolution sees, the newest among them
  bool grouped = false;  ///< q, k, v and z of a key head stand together in one projection, b and a in
                         ///< another; else q, k and v of all heads in one, z, b and a in one each

  // constexpr: kernels call them, too.
  constexpr int keys() const { return key_heads * key_dim; }
  constexpr int values() const { return value_heads * value_dim; }
  /// Of the convolution: queries, keys, values.
  constexpr int channels() const { return 2 * keys() + values(); }
  constexpr int group() const { return value_heads / key_heads; }
  /// Elements that are kept of a sequence: of its states, and of the convolution's last inputs.
  constexpr int states() const { return values() * key_dim; }
  constexpr int inputs() const { return channels() * (taps > 0 ? taps - 1 : 0); }

  bool operator==(const DeltaNetSpec&) const = default;
};

/// How a router turns logits into experts and combine weights. `score` is what the trace records of a slot;
/// experts are selected by score plus correction bias, within groups where there are any.
struct RouterSpec {
  enum class Score : std::uint8_t {
    softmax,            ///< of all logits
    softmax_of_chosen,  ///< of the chosen logits alone; selection is by logit
    sigmoid,            ///< of each logit
  };
  enum class GroupRank : std::uint8_t {
    maximum,     ///< a group ranks by its best expert
    sum_of_two,  ///< by the sum of its two best
  };
  int experts = 0;  ///< 0: the layer has no router
  int top_k = 0;
  Score score = Score::softmax;
  bool bias = false;             ///< the router's product has a bias
  bool correction_bias = false;  ///< added for the selection, not for the weight (DeepSeek-V3)
  static constexpr int kMaxGroups = 32;
  int groups = 1;      ///< n_group: experts are chosen within the best groups only; divides experts
  int top_groups = 1;  ///< topk_group: how many of them
  GroupRank group_rank = GroupRank::maximum;
  bool renormalise = false;          ///< weights are divided by their sum over the chosen
  float renormalise_epsilon = 0.0f;  ///< added to that sum
  float scale = 1.0f;                ///< routed_scaling_factor: the weights are multiplied by it, last
  bool weighs_input = false;         ///< the weight multiplies the input of an expert, not its output
  bool input_norm = false;           ///< the router has a norm of its own before it
  float input_scale = 1.0f;          ///< and what that gives is multiplied by it
  bool reads_residual = false;       ///< which takes the residual stream, not what experts take
  bool expert_scale = false;         ///< weights are multiplied by a learned scale of their expert, last

  bool operator==(const RouterSpec&) const = default;
};

enum class Activation : std::uint8_t { silu, gelu_tanh, relu_squared };

/// down_proj(activation(gate_proj x) * (up_proj x + up_offset)): an expert, the shared expert, or a dense
/// layer's MLP. In numbers: engine/backend/activation.h.
struct MlpSpec {
  int width = 0;  ///< intermediate size; 0: there is no such MLP
  Activation activation = Activation::silu;
  bool gated = true;       ///< false: down_proj(activation(up_proj x))
  float alpha = 1.0f;      ///< of SiLU: x * sigmoid(alpha * x)
  float clamp = 0.0f;      ///< before the activation, gate is held below it, up within it; 0: off
  float up_offset = 0.0f;  ///< 1 in gpt-oss; after the clamp
  bool biases = false;

  bool operator==(const MlpSpec&) const = default;
};

/// One decoder layer: hidden += mixer(norm(hidden)); hidden += mlp(norm(hidden)), where mlp is the sum of
/// what is there of dense, routed and shared experts.
struct LayerSpec {
  NormSpec norm;
  bool norm_before = true;  ///< norms of the input of mixer and MLP
  bool norm_after = false;  ///< norms of what mixer and MLP give, before it is added
  MixerKind mixer = MixerKind::attention;
  AttentionSpec attention;  ///< MixerKind::attention; else without heads
  DeltaNetSpec delta_net;   ///< MixerKind::linear_attention
  RouterSpec router;
  MlpSpec expert;            ///< each of the routed experts
  MlpSpec shared;            ///< the shared expert: n_shared_experts of a family as one of their summed width
  bool shared_gate = false;  ///< its output is multiplied by sigmoid(shared_expert_gate x)
  MlpSpec dense;             ///< alone in a layer without router, else beside it
  /// Experts have a norm of their input of their own, and what the experts give together and what the dense
  /// MLP gives are normed each before they are added.
  bool branch_norms = false;
  bool output_scale = false;  ///< the residual stream is multiplied by a learned number at the end

  bool is_moe() const { return router.experts > 0; }

  bool operator==(const LayerSpec&) const = default;
};

}  // namespace expertscope
