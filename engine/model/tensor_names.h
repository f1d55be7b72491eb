// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <string>
#include <string_view>

namespace expertscope {

/// The names under which a model's tensors are stored. `{layer}` and `{expert}` stand for indices.
/// Projections stand without ".weight" / ".bias". Null: the family has no such tensor.
struct TensorNames {
  const char* embed_tokens = nullptr;
  const char* norm = nullptr;
  const char* lm_head = nullptr;
  const char* input_layernorm = nullptr;
  const char* post_attention_layernorm = nullptr;
  const char* q_proj = nullptr;
  const char* k_proj = nullptr;
  const char* v_proj = nullptr;
  const char* o_proj = nullptr;
  const char* q_norm = nullptr;
  const char* k_norm = nullptr;
  const char* router = nullptr;
  const char* correction_bias = nullptr;  ///< full name
  const char* expert_gate_proj = nullptr;
  const char* expert_up_proj = nullptr;
  const char* expert_down_proj = nullptr;
  const char* fused_router = nullptr;        ///< beside the two below; null: as `router`
  const char* fused_gate_up_proj = nullptr;  ///< [experts, 2 * width, hidden], gate rows first; full name
  const char* fused_down_proj = nullptr;     ///< [experts, hidden, width]; full name
  const char* shared_gate_proj = nullptr;    ///< of the shared expert
  const char* shared_up_proj = nullptr;
  const char* shared_down_proj = nullptr;
  const char* shared_expert_gate = nullptr;  ///< [1, hidden]
  const char* gate_proj = nullptr;           ///< of the dense MLP
  const char* up_proj = nullptr;
  const char* down_proj = nullptr;
};

/// Those of a Llama-like decoder under "model.", with experts under "mlp.experts": what most families of
/// transformers have. A family names what it has otherwise.
constexpr TensorNames llama_tensor_names() {
  return {.embed_tokens = "model.embed_tokens.weight",
          .norm = "model.norm.weight",
          .lm_head = "lm_head.weight",
          .input_layernorm = "model.layers.{layer}.input_layernorm.weight",
          .post_attention_layernorm = "model.layers.{layer}.post_attention_layernorm.weight",
          .q_proj = "model.layers.{layer}.self_attn.q_proj",
          .k_proj = "model.layers.{layer}.self_attn.k_proj",
          .v_proj = "model.layers.{layer}.self_attn.v_proj",
          .o_proj = "model.layers.{layer}.self_attn.o_proj",
          .q_norm = "model.layers.{layer}.self_attn.q_norm.weight",
          .k_norm = "model.layers.{layer}.self_attn.k_norm.weight",
          .router = "model.layers.{layer}.mlp.gate",
          .expert_gate_proj = "model.layers.{layer}.mlp.experts.{expert}.gate_proj",
          .expert_up_proj = "model.layers.{layer}.mlp.experts.{expert}.up_proj",
          .expert_down_proj = "model.layers.{layer}.mlp.experts.{expert}.down_proj",
          .fused_gate_up_proj = "model.layers.{layer}.mlp.experts.gate_up_proj",
          .fused_down_proj = "model.layers.{layer}.mlp.experts.down_proj",
          .gate_proj = "model.layers.{layer}.mlp.gate_proj",
          .up_proj = "model.layers.{layer}.mlp.up_proj",
          .down_proj = "model.layers.{layer}.mlp.down_proj"};
}

/// A tensor name with its indices filled in.
std::string tensor_name(std::string_view pattern, int layer = -1, int expert = -1);

}  // namespace expertscope
