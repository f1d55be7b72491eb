// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/backend/features.h"

namespace expertscope {
namespace {

/// What a layer asks for and a fast path does not do; null: nothing.
const char* lacks(const AttentionSpec& attention, const Features& beyond) {
  if (attention.has_latent() && !beyond.latents) return "latent attention (MLA)";
  if (attention.rotary.interleaved && !attention.has_latent()) return "interleaved rotary embeddings";
  if (attention.scale != 0 && !attention.has_latent() && !beyond.scales)
    return "scale of its own of attention";
  if ((attention.v_norm || attention.keys_as_values) && !beyond.value_norms) return "norms of values";
  if (attention.window > 0 && !beyond.windows) return "sliding windows";
  if (attention.soft_cap > 0) return "soft-capped attention";
  if (attention.sinks && !beyond.sinks) return "attention sinks";
  if (attention.gate > 0 && !beyond.gates) return "gated attention";
  return nullptr;
}

const char* lacks(const RouterSpec& router, const Features& beyond) {
  if (router.bias && !beyond.router_biases) return "biases of routers";
  if (router.weighs_input) return "weighted inputs of experts";
  const bool residual = router.reads_residual && beyond.router_norms;
  if (router.input_norm && !residual) return "norms of routers";
  if (router.expert_scale && !beyond.router_norms) return "scales of experts";
  return nullptr;
}

const char* lacks(const MlpSpec& mlp, const Features& beyond) {
  if (mlp.width == 0) return nullptr;
  if (mlp.activation == Activation::gelu_tanh && !beyond.gelu) return "GELU";
  if (mlp.activation == Activation::relu_squared) return "squared ReLU";
  if (!mlp.gated) return "MLPs without a gate";
  const bool plain = mlp.alpha == 1 && mlp.clamp == 0 && mlp.up_offset == 0;
  if (!plain && !beyond.clamps) return "clamped activations";
  if (mlp.biases && !beyond.mlp_biases) return "biases of MLPs";
  return nullptr;
}

const char* lacks(const LayerSpec& layer, const Features& beyond) {
  const bool delta_net = layer.mixer == MixerKind::linear_attention && beyond.delta_nets;
  if (layer.mixer != MixerKind::attention && !delta_net) return "mixers other than attention";
  if (layer.norm.kind != NormSpec::Kind::rms) return "LayerNorm";
  if ((!layer.norm_before || layer.norm_after) && !beyond.norms_after) return "norms after attention and MLP";
  const bool beside = layer.is_moe() && layer.dense.width > 0;
  if ((beside || layer.branch_norms) && !beyond.branches) return "dense MLPs beside experts";
  if (layer.output_scale && !beyond.scales) return "scales of layers";
  if (const char* what = lacks(layer.attention, beyond)) return what;
  if (const char* what = lacks(layer.router, beyond)) return what;
  if (const char* what = lacks(layer.expert, beyond)) return what;
  if (const char* what = lacks(layer.shared, beyond)) return what;
  return lacks(layer.dense, beyond);
}

}  // namespace

Status check_features(const ModelConfig& config, const std::string& path, const Features& beyond) {
  for (int n = 0; n < config.num_layers(); ++n)
    if (const char* what = lacks(config.layer(n), beyond))
      return fail(ErrorCode::unsupported, "{} has no {} (layer {})", path, what, n);
  if ((config.embedding_scale != 1 || config.logit_cap != 0) && !beyond.scales)
    return fail(ErrorCode::unsupported, "{} has no scaled embeddings and capped logits", path);
  if (config.norm.kind != NormSpec::Kind::rms)
    return fail(ErrorCode::unsupported, "{} has no LayerNorm", path);
  return {};
}

}  // namespace expertscope
