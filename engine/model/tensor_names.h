// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

namespace expertscope {

/// The projections of an MLP, without ".weight" and ".bias".
struct MlpNames {
  const char* gate_proj = nullptr;
  const char* up_proj = nullptr;
  const char* down_proj = nullptr;
};

/// The names under which a model's tensors are stored. `{layer}` and `{expert}` stand for indices.
/// Projections stand without ".weight" and ".bias", norms with ".weight" (their bias ends in ".bias").
/// Null: the family has no such tensor.
struct TensorNames {
  const char* embed_tokens = nullptr;
  const char* norm = nullptr;
  const char* lm_head = nullptr;
  const char* input_layernorm = nullptr;           ///< before the mixer
  const char* attention_post_norm = nullptr;       ///< of what the mixer gives
  const char* post_attention_layernorm = nullptr;  ///< before the MLP
  const char* mlp_post_norm = nullptr;             ///< of what the MLP gives
  const char* q_proj = nullptr;
  const char* k_proj = nullptr;
  const char* v_proj = nullptr;
  const char* o_proj = nullptr;
  const char* q_norm = nullptr;
  const char* k_norm = nullptr;
  const char* sinks = nullptr;  ///< full name
  const char* attention_gate = nullptr;
  const char* q_a_proj = nullptr;  ///< LatentSpec, as all of these
  const char* q_a_norm = nullptr;
  const char* q_b_proj = nullptr;
  const char* kv_a_proj = nullptr;
  const char* kv_a_norm = nullptr;
  const char* kv_b_proj = nullptr;
  const char* delta_qkvz = nullptr;  ///< DeltaNetSpec::grouped; the five below where it is not
  const char* delta_ba = nullptr;
  const char* delta_qkv = nullptr;
  const char* delta_z = nullptr;
  const char* delta_b = nullptr;
  const char* delta_a = nullptr;
  const char* delta_conv = nullptr;     ///< full name
  const char* delta_dt_bias = nullptr;  ///< full name
  const char* delta_a_log = nullptr;    ///< full name
  const char* delta_norm = nullptr;     ///< full name
  const char* delta_out = nullptr;
  const char* router_norm = nullptr;  ///< full name
  const char* router = nullptr;
  const char* correction_bias = nullptr;  ///< full name
  const char* expert_scale = nullptr;     ///< full name
  const char* output_scale = nullptr;     ///< full name
  const char* expert_input_norm = nullptr;
  const char* expert_output_norm = nullptr;
  const char* dense_output_norm = nullptr;
  MlpNames expert = {};
  const char* fused_router = nullptr;        ///< beside those below; null: as `router`
  const char* fused_gate_up_proj = nullptr;  ///< [experts, 2 * width, hidden], gate rows first; full name
  const char* fused_gate_proj = nullptr;     ///< [experts, width, hidden], or as above; full name
  const char* fused_up_proj = nullptr;       ///< beside it
  const char* fused_down_proj = nullptr;     ///< [experts, hidden, width]; full name
  const char* fused_gate_up_bias = nullptr;  ///< [experts, 2 * width]; full name
  const char* fused_down_bias = nullptr;     ///< [experts, hidden]; full name
  bool fused_transposed = false;             ///< but for blocks of MXFP4, the last two axes change places
  bool fused_alternates = false;             ///< rows of gate and up take turns, gate first
  MlpNames shared = {};                      ///< the shared expert
  const char* shared_expert_gate = nullptr;  ///< [1, hidden]
  MlpNames dense = {};                       ///< the dense MLP
};

/// Text as an argument of a template.
template <std::size_t kSize>
struct FixedText {
  char text[kSize] = {};
  constexpr FixedText(const char (&from)[kSize]) {
    for (std::size_t i = 0; i < kSize; ++i)
      text[i] = from[i];
  }
};

/// The one text behind the other, which lives as long as the program.
template <FixedText kFirst, FixedText kSecond>
struct Joined {
  static constexpr std::size_t kBegin = sizeof kFirst.text - 1;
  static constexpr std::array<char, kBegin + sizeof kSecond.text> kText = [] {
    std::array<char, kBegin + sizeof kSecond.text> both{};
    for (std::size_t i = 0; i < both.size(); ++i)
      both[i] = i < kBegin ? kFirst.text[i] : kSecond.text[i - kBegin];
    return both;
  }();
};
template <FixedText kFirst, FixedText kSecond>
constexpr const char* joined() {
  return Joined<kFirst, kSecond>::kText.data();
}

/// Those of a Llama-like decoder under `kPrefix`, with experts under "mlp.experts": what most families of
/// transformers have. A family names what it has otherwise.
template <FixedText kPrefix = "model.">
constexpr TensorNames llama_tensor_names() {
  return {.embed_tokens = joined<kPrefix, "embed_tokens.weight">(),
          .norm = joined<kPrefix, "norm.weight">(),
          .lm_head = "lm_head.weight",
          .input_layernorm = joined<kPrefix, "layers.{layer}.input_layernorm.weight">(),
          .post_attention_layernorm = joined<kPrefix, "layers.{layer}.post_attention_layernorm.weight">(),
          .q_proj = joined<kPrefix, "layers.{layer}.self_attn.q_proj">(),
          .k_proj = joined<kPrefix, "layers.{layer}.self_attn.k_proj">(),
          .v_proj = joined<kPrefix, "layers.{layer}.self_attn.v_proj">(),
          .o_proj = joined<kPrefix, "layers.{layer}.self_attn.o_proj">(),
          .q_norm = joined<kPrefix, "layers.{layer}.self_attn.q_norm.weight">(),
          .k_norm = joined<kPrefix, "layers.{layer}.self_attn.k_norm.weight">(),
          .router = joined<kPrefix, "layers.{layer}.mlp.gate">(),
          .expert = {joined<kPrefix, "layers.{layer}.mlp.experts.{expert}.gate_proj">(),
                     joined<kPrefix, "layers.{layer}.mlp.experts.{expert}.up_proj">(),
                     joined<kPrefix, "layers.{layer}.mlp.experts.{expert}.down_proj">()},
          .fused_gate_up_proj = joined<kPrefix, "layers.{layer}.mlp.experts.gate_up_proj">(),
          .fused_down_proj = joined<kPrefix, "layers.{layer}.mlp.experts.down_proj">(),
          .dense = {joined<kPrefix, "layers.{layer}.mlp.gate_proj">(),
                    joined<kPrefix, "layers.{layer}.mlp.up_proj">(),
                    joined<kPrefix, "layers.{layer}.mlp.down_proj">()}};
}

/// Those of GGUF files, whatever the family (gguf-py/gguf/constants.py of llama.cpp); experts one by one as
/// its first converters wrote them.
constexpr TensorNames gguf_tensor_names() {
  return {.embed_tokens = "token_embd.weight",
          .norm = "output_norm.weight",
          .lm_head = "output.weight",
          .input_layernorm = "blk.{layer}.attn_norm.weight",
          .post_attention_layernorm = "blk.{layer}.ffn_norm.weight",
          .q_proj = "blk.{layer}.attn_q",
          .k_proj = "blk.{layer}.attn_k",
          .v_proj = "blk.{layer}.attn_v",
          .o_proj = "blk.{layer}.attn_output",
          .q_norm = "blk.{layer}.attn_q_norm.weight",
          .k_norm = "blk.{layer}.attn_k_norm.weight",
          .router = "blk.{layer}.ffn_gate_inp",
          .correction_bias = "blk.{layer}.exp_probs_b.bias",
          .expert = {"blk.{layer}.ffn_gate.{expert}", "blk.{layer}.ffn_up.{expert}",
                     "blk.{layer}.ffn_down.{expert}"},
          .fused_gate_proj = "blk.{layer}.ffn_gate_exps.weight",
          .fused_up_proj = "blk.{layer}.ffn_up_exps.weight",
          .fused_down_proj = "blk.{layer}.ffn_down_exps.weight",
          .shared = {"blk.{layer}.ffn_gate_shexp", "blk.{layer}.ffn_up_shexp", "blk.{layer}.ffn_down_shexp"},
          .shared_expert_gate = "blk.{layer}.ffn_gate_inp_shexp",
          .dense = {"blk.{layer}.ffn_gate", "blk.{layer}.ffn_up", "blk.{layer}.ffn_down"}};
}

/// A pattern with its indices filled in.
std::string tensor_name(std::string_view pattern, int layer = -1, int expert = -1);
/// The same of a tensor that ends in `end`, ".weight" or ".bias", whether its pattern says ".weight" or not.
std::string tensor_name(std::string_view pattern, std::string_view end, int layer, int expert = -1);

}  // namespace expertscope
