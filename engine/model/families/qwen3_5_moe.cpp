// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/model/config_parts.h"
#include "engine/model/families/family.h"
#include "engine/model/families/qwen3_next.h"

namespace expertscope {
namespace {

/// Qwen3_5MoeTextConfig of transformers: Qwen3-Next with the projections of its DeltaNets apart.
void read_text(ConfigKeys& keys, ModelConfig& config, std::vector<std::string>& warnings) {
  keys.only("mamba_ssm_dtype", {"float32"});
  keys.ignore({"mtp_num_hidden_layers", "mtp_use_dedicated_embeddings"});
  read_qwen3_next(keys, {.grouped = false, .always_routed = true, .experts = 256, .top_k = 8}, config,
                  warnings);
}

/// Qwen3_5MoeConfig: the text part of a model that also sees.
void read(ConfigKeys& keys, ModelConfig& config, std::vector<std::string>& warnings) {
  keys.ignore_usual();
  keys.ignore(
      {"vision_config", "image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id"});
  read_text_part(keys, read_text, config, warnings);
  config.tie_word_embeddings = keys.flag({"tie_word_embeddings"}, false);
}

template <FixedText kPrefix>
constexpr TensorNames names() {
  TensorNames names = qwen3_next_names<kPrefix>();
  names.delta_qkv = joined<kPrefix, "layers.{layer}.linear_attn.in_proj_qkv">();
  names.delta_z = joined<kPrefix, "layers.{layer}.linear_attn.in_proj_z">();
  names.delta_b = joined<kPrefix, "layers.{layer}.linear_attn.in_proj_b">();
  names.delta_a = joined<kPrefix, "layers.{layer}.linear_attn.in_proj_a">();
  return names;
}

}  // namespace

extern const Family kQwen35MoeText;
const Family kQwen35MoeText = {.name = "Qwen3_5MoeForCausalLM",
                               .model_type = "qwen3_5_moe_text",
                               .read = read_text,
                               .tensors = names<"model.">()};

extern const Family kQwen35Moe;
const Family kQwen35Moe = {.name = "Qwen3_5MoeForConditionalGeneration",
                           .model_type = "qwen3_5_moe",
                           .read = read,
                           .tensors = names<"model.language_model.">()};

}  // namespace expertscope
