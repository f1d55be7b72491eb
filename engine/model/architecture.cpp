// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/model/architecture.h"

#include <algorithm>
#include <array>
#include <vector>

namespace expertscope {
namespace {

constexpr Architecture kQwen3Moe = {
    .name = "Qwen3MoeForCausalLM",
    .model_type = "qwen3_moe",
    .keys = {.num_experts = {{"num_experts", "num_local_experts"}},
             .num_experts_per_tok = {{"num_experts_per_tok"}},
             .moe_intermediate_size = {{"moe_intermediate_size"}},
             .intermediate_size = {{"intermediate_size"}},
             .decoder_sparse_step = {{"decoder_sparse_step"}},
             .mlp_only_layers = {{"mlp_only_layers"}},
             .norm_topk_prob = {{"norm_topk_prob"}}},
    .tensors = {.embed_tokens = "model.embed_tokens.weight",
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
                .down_proj = "model.layers.{layer}.mlp.down_proj"},
    .switches = {.qk_norm = true,
                 .norm_topk_prob_default = false,
                 .tie_word_embeddings_default = false,
                 .rope_theta_default = 10000.0,
                 .rms_norm_eps_default = 1e-6,
                 .max_position_default = 32768},
};

constexpr std::array kArchitectures = {kQwen3Moe};

void replace(std::string& text, std::string_view what, int index) {
  const auto at = text.find(what);
  if (at != std::string::npos) text.replace(at, what.size(), std::to_string(index));
}

}  // namespace

std::span<const char* const> ConfigKey::all() const {
  const auto* end = std::find(std::begin(names), std::end(names), nullptr);
  return {std::begin(names), end};
}

std::span<const Architecture> architectures() {
  return kArchitectures;
}

Result<const Architecture*> find_architecture(std::string_view name, const std::string& file) {
  const auto all = architectures();
  const auto it = std::find_if(all.begin(), all.end(), [&](const Architecture& a) { return a.name == name; });
  if (it != all.end()) return &*it;
  std::vector<std::string_view> known;
  for (const auto& row : all)
    known.emplace_back(row.name);
  return fail(ErrorCode::unsupported, "{}: architecture {} is not supported; supported: {}", file, name,
              fmt::join(known, ", "));
}

std::string tensor_name(std::string_view pattern, int layer, int expert) {
  std::string name(pattern);
  replace(name, "{layer}", layer);
  replace(name, "{expert}", expert);
  return name;
}

}  // namespace expertscope
