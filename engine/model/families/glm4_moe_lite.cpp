// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/model/config_parts.h"
#include "engine/model/families/family.h"

namespace expertscope {
namespace {

/// mlp_layer_types, "dense" or "sparse" a layer; where there is none, all but the first have experts.
int first_sparse(ConfigKeys& keys, int layers) {
  const Json& json = keys.fields().json();
  const auto types = json.find("mlp_layer_types");
  keys.ignore({"mlp_layer_types"});
  if (types == json.end() || types->is_null()) return 1;
  const auto is = [&](std::size_t n, const char* kind) { return (*types)[n] == kind; };
  const auto count = static_cast<std::size_t>(layers);
  std::size_t first = 0;
  while (types->is_array() && first < std::min(count, types->size()) && is(first, "dense"))
    ++first;
  for (std::size_t n = first; n < count; ++n)
    if (!types->is_array() || types->size() != count || !is(n, "sparse")) {
      keys.refuse(ErrorCode::unsupported, "mlp_layer_types",
                  fmt::format("expected {} layers that are \"dense\" and then \"sparse\"", layers));
      break;
    }
  return static_cast<int>(first);
}

/// Glm4MoeLiteConfig of transformers: GLM-4.7-Flash.
void read(ConfigKeys& keys, ModelConfig& config, std::vector<std::string>&) {
  const ConfigDefaults defaults{.rms_norm_eps = 1e-5, .max_position_embeddings = 202752};
  read_decoder(keys, defaults, config);
  read_latent_attention(keys, {.q_rank = 768, .nope_dim = 192, .value_dim = 256}, defaults, config);
  read_interleaved(keys, config);
  keys.ignore({"num_nextn_predict_layers", "first_k_dense_replace"});
  const RouterSpec router =
      read_sigmoid_router(keys, {.experts = 64, .top_k = 4, .renormalise = true, .scale = 1.8f});
  keys.only("topk_method", {"noaux_tc"});
  keys.only("scoring_func", {"sigmoid"});
  const MlpSpec expert{.width = keys.size_or({"moe_intermediate_size"}, 1536, ConfigKeys::kMaxWidth)};
  const int shared = keys.size_or({"n_shared_experts"}, 1, 64);
  const MlpSpec dense{.width = keys.size_or({"intermediate_size"}, 10240, ConfigKeys::kMaxWidth)};
  set_moe_from(keys, first_sparse(keys, config.num_layers()), dense, router, expert, shared, config);
}

}  // namespace

extern const Family kGlm4MoeLite;
const Family kGlm4MoeLite = {.name = "Glm4MoeLiteForCausalLM",
                             .model_type = "glm4_moe_lite",
                             .read = read,
                             .tensors = latent_tensor_names()};

}  // namespace expertscope
