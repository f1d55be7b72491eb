// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <vector>

#include "engine/dtype.h"
#include "engine/model/tensor_names.h"

namespace expertscope {

/// A read-only row-major matrix inside a memory-mapped file: `rows` outputs of `cols` inputs.
/// No alignment beyond that of the element type is promised.
struct Matrix {
  const void* data = nullptr;
  DType dtype = DType::f32;
  std::int64_t rows = 0;
  std::int64_t cols = 0;

  explicit operator bool() const { return data != nullptr; }
  std::size_t row_bytes() const { return static_cast<std::size_t>(cols) * dtype_size(dtype); }
  const void* row(std::int64_t index) const {
    return static_cast<const std::uint8_t*>(data) + static_cast<std::size_t>(index) * row_bytes();
  }
};

/// A vector kept as f32: norm weights and biases are small and converted once at load.
using Vector = std::vector<float>;

/// One gated MLP (MlpSpec): a routed expert, the shared expert, or a dense layer's MLP.
struct MlpWeights {
  Matrix gate_proj;  ///< [intermediate, hidden]
  Matrix up_proj;    ///< [intermediate, hidden]
  Matrix down_proj;  ///< [hidden, intermediate]
};

/// One decoder layer.
struct LayerWeights {
  Vector input_layernorm;           ///< [hidden]
  Matrix q_proj;                    ///< [heads * head_dim, hidden]
  Matrix k_proj;                    ///< [kv_heads * head_dim, hidden]
  Matrix v_proj;                    ///< [kv_heads * head_dim, hidden]
  Matrix o_proj;                    ///< [hidden, heads * head_dim]
  Vector q_bias, k_bias, v_bias;    ///< [rows of the projection], or empty
  Vector o_bias;                    ///< [hidden], or empty
  Vector q_norm, k_norm;            ///< [head_dim] or [rows of the projection] (AttentionSpec), or empty
  Vector post_attention_layernorm;  ///< [hidden]
  Matrix router;                    ///< [num_experts, hidden]; empty in a dense layer
  Vector correction_bias;           ///< [num_experts] of the selection, or empty
  std::vector<MlpWeights> experts;  ///< [num_experts]; empty in a dense layer
  MlpWeights shared;                ///< the shared expert, or empty
  Matrix shared_gate;               ///< [1, hidden], or empty
  MlpWeights mlp;                   ///< the dense MLP; empty in a MoE layer
};

/// Every tensor of a model, in place in the mapped files that the owning Model keeps open.
struct Weights {
  Matrix embed_tokens;  ///< [vocab, hidden]
  std::vector<LayerWeights> layers;
  Vector norm;                               ///< [hidden] final RMSNorm
  Matrix lm_head;                            ///< [vocab, hidden]; the embedding when tied
  TensorNames names = llama_tensor_names();  ///< what errors call them
};

}  // namespace expertscope
