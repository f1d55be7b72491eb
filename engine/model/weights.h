// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <vector>

#include "engine/formats/weight_format.h"
#include "engine/model/tensor_names.h"

namespace expertscope {

/// Elements of a matrix that share a scale; those at the edges are what is there of them.
struct ScaleBlock {
  std::int64_t rows = 0;
  std::int64_t cols = 0;
};

/// A read-only row-major matrix inside a memory-mapped file: `rows` outputs of `cols` inputs, which are a
/// whole number of blocks of its format. No alignment beyond that of the numbers it consists of is promised.
struct Matrix {
  const void* data = nullptr;
  const WeightFormat* format = &weight_format(FormatId::f32);
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  const void* scales = nullptr;  ///< the plane of a format that has one (WeightFormat::scales)
  /// Stored rows from one row to the next. Above 1 (gate and up that take turns) only of MXFP4, whose kernels
  /// know it.
  std::int64_t row_step = 1;
  ScaleBlock scale_block = {};  ///< 0 x 0: as WeightFormat::scales says
  /// A plane of zero points beside that of scales, a byte for each; null: the middle (engine/formats/int4.h).
  const std::uint8_t* zeros = nullptr;
  const float* scale_values = nullptr;  ///< [256] of NVFP4: what a byte of the plane of scales stands for

  explicit operator bool() const { return data != nullptr; }
  std::size_t row_bytes() const { return format->row_bytes(cols); }
  const void* row(std::int64_t index) const {
    return static_cast<const std::uint8_t*>(data) + static_cast<std::size_t>(index * row_step) * row_bytes();
  }
  /// The plane of scales; 0 rows where there is none.
  ScalePlane plane() const;
  /// Bytes of a row of it.
  std::size_t scale_row_bytes() const;
  /// Bytes of a row of the plane of zero points.
  std::size_t zero_row_bytes() const;
  /// Rows [first, first + count); with a plane of scales, `first` is where one of its rows begins, or all of
  /// them share one.
  Matrix slice(std::int64_t first, std::int64_t count) const;
  /// Every `step`th row from `first` on.
  Matrix every(std::int64_t step, std::int64_t first, std::int64_t count) const;
  /// Elements [first, first + count) of a row as f32, both a whole number of blocks.
  void dequantise(std::int64_t index, std::int64_t first, std::int64_t count, float* to) const;
};

/// A vector kept as f32: norm weights and biases are small and converted once at load.
using Vector = std::vector<float>;

/// One gated MLP (MlpSpec): a routed expert, the shared expert, or a dense layer's MLP.
struct MlpWeights {
  Matrix gate_proj;  ///< [intermediate, hidden]; empty where MlpSpec::gated is false
  Matrix up_proj;    ///< [intermediate, hidden]
  Matrix down_proj;  ///< [hidden, intermediate]
  Vector gate_bias;  ///< [intermediate], as the two below empty where the model has none
  Vector up_bias;    ///< [intermediate]
  Vector down_bias;  ///< [hidden]
};

/// One decoder layer. What its LayerSpec does not ask for is empty.
struct LayerWeights {
  Vector input_layernorm;                ///< [hidden] before the mixer
  Vector input_layernorm_bias;           ///< [hidden] NormSpec::Kind::layer, as all biases of norms
  Matrix q_proj;                         ///< [heads * head_dim, hidden]
  Matrix k_proj;                         ///< [kv_heads * head_dim, hidden]
  Matrix v_proj;                         ///< [kv_heads * head_dim, hidden]
  Matrix o_proj;                         ///< [hidden, heads * head_dim]
  Vector q_bias, k_bias, v_bias;         ///< [rows of the projection]
  Vector o_bias;                         ///< [hidden]
  Vector q_norm, k_norm;                 ///< [head_dim] or [rows of the projection] (AttentionSpec)
  Vector sinks;                          ///< [heads] scores
  Matrix attention_gate;                 ///< [AttentionSpec::gate, hidden]
  Matrix q_a_proj;                       ///< [q_rank, hidden] (LatentSpec, as all of these)
  Vector q_a_bias;                       ///< [q_rank]
  Vector q_a_norm;                       ///< [q_rank]
  Matrix q_b_proj;                       ///< [rows of q_proj, q_rank] in place of q_proj
  Matrix kv_a_proj;                      ///< [rank + what turns, hidden]
  Vector kv_a_bias;                      ///< [rank + what turns]
  Vector kv_a_norm;                      ///< [rank]
  Matrix kv_b_proj;                      ///< [heads * (nope_dim + value_dim), rank]
  std::vector<Matrix> latent_keys;       ///< [heads] K^T [rank, nope_dim], turned copies
  std::vector<Matrix> latent_values;     ///< [heads] V [value_dim, rank] of kv_b_proj
  Matrix delta_qkvz;                     ///< [2 * keys + 2 * values, hidden] (DeltaNetSpec::grouped)
  Matrix delta_ba;                       ///< [2 * value_heads, hidden]
  Matrix delta_qkv;                      ///< [channels, hidden]
  Matrix delta_z;                        ///< [values, hidden]
  Matrix delta_b, delta_a;               ///< [value_heads, hidden]
  Vector delta_conv;                     ///< [channels, taps] the oldest token first
  Vector delta_dt_bias, delta_a_log;     ///< [value_heads]
  Vector delta_norm;                     ///< [value_dim]
  Matrix delta_out;                      ///< [hidden, values]
  Vector attention_post_norm;            ///< [hidden] of what the mixer gives
  Vector attention_post_norm_bias;       ///< [hidden]
  Vector post_attention_layernorm;       ///< [hidden] before the MLP
  Vector post_attention_layernorm_bias;  ///< [hidden]
  Vector router_norm;                    ///< [hidden] with RouterSpec::input_scale in it
  Matrix router;                         ///< [num_experts, hidden]
  Vector router_bias;                    ///< [num_experts]
  Vector correction_bias;                ///< [num_experts] of the selection
  Vector expert_scale;                   ///< [num_experts] of their weights
  Vector expert_input_norm;              ///< [hidden] LayerSpec::branch_norms, as the two below
  Vector expert_output_norm;             ///< [hidden]
  Vector dense_output_norm;              ///< [hidden]
  Vector output_scale;                   ///< [1]
  std::vector<MlpWeights> experts;       ///< [num_experts]
  bool fused_experts = false;            ///< they are one tensor in the files
  MlpWeights shared;                     ///< the shared expert
  Matrix shared_gate;                    ///< [1, hidden]
  MlpWeights mlp;                        ///< the dense MLP
  Vector mlp_post_norm;                  ///< [hidden] of what the MLP gives
  Vector mlp_post_norm_bias;             ///< [hidden]
};

/// Every tensor of a model, in place in the mapped files that the owning Model keeps open.
struct Weights {
  Matrix embed_tokens;  ///< [vocab, hidden]
  std::vector<LayerWeights> layers;
  Vector norm;                               ///< [hidden] before lm_head
  Vector norm_bias;                          ///< [hidden], or empty
  Matrix lm_head;                            ///< [vocab, hidden]; the embedding when tied
  TensorNames names = llama_tensor_names();  ///< what errors call them
};

}  // namespace expertscope
