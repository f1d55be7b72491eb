// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/model/config_parts.h"
#include "engine/model/families/family.h"

namespace expertscope {
namespace {

/// DeepseekV3Config of transformers: DeepSeek-V3, R1 and V3.1, Kimi K2 and Moonlight.
void read(ConfigKeys& keys, ModelConfig& config, std::vector<std::string>&) {
  const ConfigDefaults defaults{.max_position_embeddings = 4096};
  read_decoder(keys, defaults, config);
  read_latent_attention(keys, {}, defaults, config);
  read_interleaved(keys, config);
  keys.ignore(
      {"num_nextn_predict_layers", "num_mtp_layers"});  // layers behind the last, which predict further
  // Of training.
  keys.ignore({"aux_loss_alpha", "seq_aux", "ep_size"});
  const RouterSpec router = read_sigmoid_router(
      keys, {.experts = 256, .top_k = 8, .groups = 8, .top_groups = 4, .renormalise = true, .scale = 2.5f});
  keys.only("scoring_func", {"sigmoid"});
  keys.only("topk_method", {"noaux_tc"});
  keys.only("moe_layer_freq", {1});
  const MlpSpec expert{.width = keys.size_or({"moe_intermediate_size"}, 2048, ConfigKeys::kMaxWidth)};
  const int shared = keys.size_or({"n_shared_experts"}, 1, 64);
  const int first_moe = keys.count_or({"first_k_dense_replace"}, 3, ConfigKeys::kMaxLayers);
  const MlpSpec dense{.width = keys.size_or({"intermediate_size"}, 18432, ConfigKeys::kMaxWidth)};
  set_moe_from(keys, first_moe, dense, router, expert, shared, config);
}

}  // namespace

extern const Family kDeepseekV3;
const Family kDeepseekV3 = {.name = "DeepseekV3ForCausalLM",
                            .model_type = "deepseek_v3",
                            .read = read,
                            .tensors = latent_tensor_names(),
                            .other_type = "kimi_k2"};

}  // namespace expertscope
