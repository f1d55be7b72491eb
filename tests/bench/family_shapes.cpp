// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/bench/family_shapes.h"

#include "engine/model/config_reader.h"

namespace expertscope::bench {
namespace {

constexpr FamilyShape kShapes[] = {
    {"gpt-oss", "gpt-oss-20b, 4 of 24 layers, an eighth of the vocabulary, experts in MXFP4", R"({
       "architectures": ["GptOssForCausalLM"], "model_type": "gpt_oss", "vocab_size": 25136,
       "hidden_size": 2880, "num_hidden_layers": 4, "num_attention_heads": 64, "num_key_value_heads": 8,
       "head_dim": 64, "intermediate_size": 2880, "num_local_experts": 32, "num_experts_per_tok": 4,
       "sliding_window": 128, "swiglu_limit": 7.0, "attention_bias": true, "rope_theta": 150000,
       "max_position_embeddings": 131072, "rms_norm_eps": 1e-5,
       "rope_scaling": {"rope_type": "yarn", "factor": 32.0, "beta_fast": 32.0, "beta_slow": 1.0,
                        "truncate": false, "original_max_position_embeddings": 4096}})",
     FormatId::mxfp4},
    {"qwen3-next", "Qwen3-Next-80B-A3B, 4 of 48 layers, 128 of 512 experts, an eighth of the vocabulary", R"({
       "architectures": ["Qwen3NextForCausalLM"], "model_type": "qwen3_next", "vocab_size": 18992,
       "hidden_size": 2048, "num_hidden_layers": 4, "num_attention_heads": 16, "num_key_value_heads": 2,
       "head_dim": 256, "partial_rotary_factor": 0.25, "rope_theta": 10000000, "num_experts": 128,
       "num_experts_per_tok": 10, "moe_intermediate_size": 512, "shared_expert_intermediate_size": 512,
       "norm_topk_prob": true, "linear_num_key_heads": 16, "linear_num_value_heads": 32,
       "linear_key_head_dim": 128, "linear_value_head_dim": 128, "linear_conv_kernel_dim": 4,
       "full_attention_interval": 4, "max_position_embeddings": 262144})",
     std::nullopt},
    {"deepseek-v2-lite", "DeepSeek-V2-Lite, 4 of 27 layers, an eighth of the vocabulary", R"({
       "architectures": ["DeepseekV2ForCausalLM"], "model_type": "deepseek_v2", "vocab_size": 12800,
       "hidden_size": 2048, "num_hidden_layers": 4, "num_attention_heads": 16, "num_key_value_heads": 16,
       "kv_lora_rank": 512, "q_lora_rank": null, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64,
       "v_head_dim": 128, "intermediate_size": 10944, "moe_intermediate_size": 1408, "n_routed_experts": 64,
       "n_shared_experts": 2, "num_experts_per_tok": 6, "first_k_dense_replace": 1, "topk_method": "greedy",
       "max_position_embeddings": 163840, "rope_scaling": {"type": "yarn", "factor": 40, "mscale": 0.707,
       "mscale_all_dim": 0.707, "original_max_position_embeddings": 4096}})",
     std::nullopt},
    {"gemma-4", "Gemma 4 26B-A4B, 6 of 30 layers, a sixteenth of the vocabulary", R"({
       "architectures": ["Gemma4ForCausalLM"], "model_type": "gemma4_text", "vocab_size": 16384,
       "hidden_size": 2816, "num_hidden_layers": 6, "num_attention_heads": 16, "num_key_value_heads": 8,
       "num_global_key_value_heads": 2, "head_dim": 256, "global_head_dim": 512, "attention_k_eq_v": true,
       "intermediate_size": 2112, "moe_intermediate_size": 704, "num_experts": 128, "top_k_experts": 8,
       "enable_moe_block": true, "hidden_size_per_layer_input": 0, "sliding_window": 1024,
       "final_logit_softcapping": 30.0, "max_position_embeddings": 262144})",
     std::nullopt},
};

}  // namespace

std::span<const FamilyShape> family_shapes() {
  return kShapes;
}

Result<ModelConfig> config_of(const FamilyShape& shape) {
  const auto parsed = parse_config(shape.config, shape.option);
  if (!parsed) return forward_error(parsed);
  return parsed->config;
}

}  // namespace expertscope::bench
