// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/model/config_parts.h"
#include "engine/model/families/family.h"

namespace expertscope {
namespace {

/// Softmax of all experts; the best of all, or those of the groups whose best expert is best.
RouterSpec read_router(ConfigKeys& keys) {
  RouterSpec router;
  router.experts = keys.size_or({"n_routed_experts", "num_experts"}, 64, ConfigKeys::kMaxExperts);
  router.top_k = keys.size({"num_experts_per_tok"}, ConfigKeys::kMaxExperts);
  router.scale = static_cast<float>(keys.number({"routed_scaling_factor"}, 1.0, 1e-6, 1e6));
  keys.only("topk_method", {"greedy", "group_limited_greedy"});
  const bool limited = keys.text({"topk_method"}, "greedy") == "group_limited_greedy";
  const int groups = keys.size_or({"n_group"}, 1, ConfigKeys::kMaxExperts);
  const int top_groups = keys.size_or({"topk_group"}, 1, ConfigKeys::kMaxExperts);
  if (limited) {
    router.groups = groups;
    router.top_groups = top_groups;
  }
  keys.only("norm_topk_prob", {false});
  keys.only("scoring_func", {"softmax"});
  keys.only("moe_layer_freq", {1});
  return router;
}

/// DeepseekV2Config of transformers: DeepSeek-V2, -Lite, -Coder-V2 and V2.5.
void read(ConfigKeys& keys, ModelConfig& config, std::vector<std::string>&) {
  const ConfigDefaults defaults{.max_position_embeddings = 2048};
  read_decoder(keys, defaults, config);
  read_latent_attention(keys, {}, defaults, config);
  // Of training.
  keys.ignore({"aux_loss_alpha", "seq_aux", "ep_size"});
  keys.only("mlp_bias", {false});
  const RouterSpec router = read_router(keys);
  const MlpSpec expert{.width = keys.size_or({"moe_intermediate_size"}, 1407, ConfigKeys::kMaxWidth)};
  const int shared = keys.size_or({"n_shared_experts"}, 2, 64);
  const int first_moe = keys.count_or({"first_k_dense_replace"}, 0, ConfigKeys::kMaxLayers);
  const MlpSpec dense{.width = keys.size_or({"intermediate_size"}, 11008, ConfigKeys::kMaxWidth)};
  set_moe_from(keys, first_moe, dense, router, expert, shared, config);
}

}  // namespace

extern const Family kDeepseekV2;
const Family kDeepseekV2 = {.name = "DeepseekV2ForCausalLM",
                            .model_type = "deepseek_v2",
                            .read = read,
                            .tensors = latent_tensor_names()};

}  // namespace expertscope
