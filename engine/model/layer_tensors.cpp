// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/model/layer_tensors.h"

namespace expertscope {
namespace {

using Names = TensorNames;
using Weights = LayerWeights;
using Spec = LayerSpec;

constexpr std::string_view kWeight = ".weight";
constexpr std::string_view kBias = ".bias";

TensorSize when(bool there, std::int64_t rows, std::int64_t cols = 0) {
  return there ? TensorSize{rows, cols} : TensorSize{};
}

bool has_norm_bias(const Spec& s) {
  return s.norm.kind == NormSpec::Kind::layer;
}

bool is_attention(const Spec& s) {
  return s.mixer == MixerKind::attention;
}
bool has_latent(const Spec& s) {
  return s.attention.has_latent();
}
/// With a latent, qkv_bias is that of what gives the latents.
bool has_latent_bias(const Spec& s) {
  return has_latent(s) && s.attention.qkv_bias;
}
bool has_qkv_bias(const Spec& s) {
  return !has_latent(s) && s.attention.qkv_bias;
}
/// Which of the two layouts of a DeltaNet a layer has.
bool has_delta(const Spec& s, bool grouped) {
  return s.mixer == MixerKind::linear_attention && s.delta_net.grouped == grouped;
}
bool has_delta(const Spec& s) {
  return s.mixer == MixerKind::linear_attention;
}

/// Elements that one norm of q (or k, `width` wide) has.
TensorSize qk_norm(const Spec& s, std::int64_t width) {
  const auto kind = s.attention.qk_norm;
  return when(kind != AttentionSpec::QkNorm::none,
              kind == AttentionSpec::QkNorm::head ? s.attention.head_dim : width);
}

constexpr LayerTensor matrix(const char* Names::*name, Matrix Weights::*place,
                             TensorSize (*size)(const Spec&, std::int64_t)) {
  return {name, kWeight, place, nullptr, size, false};
}
constexpr LayerTensor bias(const char* Names::*name, Vector Weights::*place,
                           TensorSize (*size)(const Spec&, std::int64_t)) {
  return {name, kBias, nullptr, place, size, false};
}
constexpr LayerTensor norm(const char* Names::*name, Vector Weights::*place,
                           TensorSize (*size)(const Spec&, std::int64_t)) {
  return {name, kWeight, nullptr, place, size, true};
}
constexpr LayerTensor whole(const char* Names::*name, Vector Weights::*place,
                            TensorSize (*size)(const Spec&, std::int64_t)) {
  return {name, {}, nullptr, place, size, false};
}

// s: the layer's spec; h: hidden_size.
constexpr LayerTensor kLayer[] = {
    norm(&Names::input_layernorm, &Weights::input_layernorm,
         [](const Spec& s, std::int64_t h) { return when(s.norm_before, h); }),
    bias(&Names::input_layernorm, &Weights::input_layernorm_bias,
         [](const Spec& s, std::int64_t h) { return when(s.norm_before && has_norm_bias(s), h); }),
    matrix(&Names::q_proj, &Weights::q_proj,
           [](const Spec& s, std::int64_t h) {
             return when(s.attention.latent.q_rank == 0, s.attention.q_rows(), h);
           }),
    matrix(&Names::k_proj, &Weights::k_proj,
           [](const Spec& s, std::int64_t h) { return when(!has_latent(s), s.attention.key_width(), h); }),
    matrix(&Names::v_proj, &Weights::v_proj,
           [](const Spec& s, std::int64_t h) {
             return when(!has_latent(s) && !s.attention.keys_as_values, s.attention.key_width(), h);
           }),
    matrix(
        &Names::o_proj, &Weights::o_proj,
        [](const Spec& s, std::int64_t h) { return when(is_attention(s), h, s.attention.output_width()); }),
    bias(&Names::q_proj, &Weights::q_bias,
         [](const Spec& s, std::int64_t) { return when(has_qkv_bias(s), s.attention.q_rows()); }),
    bias(&Names::k_proj, &Weights::k_bias,
         [](const Spec& s, std::int64_t) { return when(has_qkv_bias(s), s.attention.key_width()); }),
    bias(&Names::v_proj, &Weights::v_bias,
         [](const Spec& s, std::int64_t) {
           return when(has_qkv_bias(s) && !s.attention.keys_as_values, s.attention.key_width());
         }),
    bias(&Names::o_proj, &Weights::o_bias,
         [](const Spec& s, std::int64_t h) { return when(s.attention.output_bias, h); }),
    norm(&Names::q_norm, &Weights::q_norm,
         [](const Spec& s, std::int64_t) { return qk_norm(s, s.attention.query_width()); }),
    norm(&Names::k_norm, &Weights::k_norm,
         [](const Spec& s, std::int64_t) { return qk_norm(s, s.attention.key_width()); }),
    whole(&Names::sinks, &Weights::sinks,
          [](const Spec& s, std::int64_t) { return when(s.attention.sinks, s.attention.heads); }),
    matrix(&Names::attention_gate, &Weights::attention_gate,
           [](const Spec& s, std::int64_t h) {
             return when(s.attention.gate > 0 && !s.attention.gate_in_q, s.attention.gate, h);
           }),
    matrix(&Names::q_a_proj, &Weights::q_a_proj,
           [](const Spec& s, std::int64_t h) { return when(has_latent(s), s.attention.latent.q_rank, h); }),
    bias(&Names::q_a_proj, &Weights::q_a_bias,
         [](const Spec& s, std::int64_t) { return when(has_latent_bias(s), s.attention.latent.q_rank); }),
    norm(&Names::q_a_norm, &Weights::q_a_norm,
         [](const Spec& s, std::int64_t) { return when(has_latent(s), s.attention.latent.q_rank); }),
    matrix(&Names::q_b_proj, &Weights::q_b_proj,
           [](const Spec& s, std::int64_t) {
             return when(s.attention.latent.q_rank > 0, s.attention.q_rows(), s.attention.latent.q_rank);
           }),
    matrix(&Names::kv_a_proj, &Weights::kv_a_proj,
           [](const Spec& s, std::int64_t h) { return when(has_latent(s), s.attention.head_dim, h); }),
    bias(&Names::kv_a_proj, &Weights::kv_a_bias,
         [](const Spec& s, std::int64_t) { return when(has_latent_bias(s), s.attention.head_dim); }),
    norm(&Names::kv_a_norm, &Weights::kv_a_norm,
         [](const Spec& s, std::int64_t) { return when(has_latent(s), s.attention.latent.rank); }),
    matrix(&Names::kv_b_proj, &Weights::kv_b_proj,
           [](const Spec& s, std::int64_t) {
             return when(has_latent(s), s.attention.kv_b_rows(), s.attention.latent.rank);
           }),
    matrix(&Names::delta_qkvz, &Weights::delta_qkvz,
           [](const Spec& s, std::int64_t h) {
             return when(has_delta(s, true), s.delta_net.channels() + s.delta_net.values(), h);
           }),
    matrix(&Names::delta_ba, &Weights::delta_ba,
           [](const Spec& s, std::int64_t h) {
             return when(has_delta(s, true), std::int64_t{2} * s.delta_net.value_heads, h);
           }),
    matrix(
        &Names::delta_qkv, &Weights::delta_qkv,
        [](const Spec& s, std::int64_t h) { return when(has_delta(s, false), s.delta_net.channels(), h); }),
    matrix(&Names::delta_z, &Weights::delta_z,
           [](const Spec& s, std::int64_t h) { return when(has_delta(s, false), s.delta_net.values(), h); }),
    matrix(
        &Names::delta_b, &Weights::delta_b,
        [](const Spec& s, std::int64_t h) { return when(has_delta(s, false), s.delta_net.value_heads, h); }),
    matrix(
        &Names::delta_a, &Weights::delta_a,
        [](const Spec& s, std::int64_t h) { return when(has_delta(s, false), s.delta_net.value_heads, h); }),
    whole(&Names::delta_conv, &Weights::delta_conv,
          [](const Spec& s, std::int64_t) {
            return when(has_delta(s), s.delta_net.channels(), s.delta_net.taps);
          }),
    whole(&Names::delta_dt_bias, &Weights::delta_dt_bias,
          [](const Spec& s, std::int64_t) { return when(has_delta(s), s.delta_net.value_heads); }),
    whole(&Names::delta_a_log, &Weights::delta_a_log,
          [](const Spec& s, std::int64_t) { return when(has_delta(s), s.delta_net.value_heads); }),
    whole(&Names::delta_norm, &Weights::delta_norm,
          [](const Spec& s, std::int64_t) { return when(has_delta(s), s.delta_net.value_dim); }),
    matrix(&Names::delta_out, &Weights::delta_out,
           [](const Spec& s, std::int64_t h) { return when(has_delta(s), h, s.delta_net.values()); }),
    norm(&Names::attention_post_norm, &Weights::attention_post_norm,
         [](const Spec& s, std::int64_t h) { return when(s.norm_after, h); }),
    bias(&Names::attention_post_norm, &Weights::attention_post_norm_bias,
         [](const Spec& s, std::int64_t h) { return when(s.norm_after && has_norm_bias(s), h); }),
    norm(&Names::post_attention_layernorm, &Weights::post_attention_layernorm,
         [](const Spec& s, std::int64_t h) { return when(s.norm_before, h); }),
    bias(&Names::post_attention_layernorm, &Weights::post_attention_layernorm_bias,
         [](const Spec& s, std::int64_t h) { return when(s.norm_before && has_norm_bias(s), h); }),
    LayerTensor{&Names::router_norm,
                {},
                nullptr,
                &Weights::router_norm,
                [](const Spec& s, std::int64_t h) { return when(s.router.input_norm, h); },
                true},
    matrix(&Names::router, &Weights::router,
           [](const Spec& s, std::int64_t h) { return when(s.is_moe(), s.router.experts, h); }),
    bias(&Names::router, &Weights::router_bias,
         [](const Spec& s, std::int64_t) { return when(s.router.bias, s.router.experts); }),
    whole(&Names::correction_bias, &Weights::correction_bias,
          [](const Spec& s, std::int64_t) { return when(s.router.correction_bias, s.router.experts); }),
    whole(&Names::expert_scale, &Weights::expert_scale,
          [](const Spec& s, std::int64_t) { return when(s.router.expert_scale, s.router.experts); }),
    norm(&Names::expert_input_norm, &Weights::expert_input_norm,
         [](const Spec& s, std::int64_t h) { return when(s.branch_norms, h); }),
    norm(&Names::expert_output_norm, &Weights::expert_output_norm,
         [](const Spec& s, std::int64_t h) { return when(s.branch_norms, h); }),
    norm(&Names::dense_output_norm, &Weights::dense_output_norm,
         [](const Spec& s, std::int64_t h) { return when(s.branch_norms, h); }),
    whole(&Names::output_scale, &Weights::output_scale,
          [](const Spec& s, std::int64_t) { return when(s.output_scale, 1); }),
    matrix(&Names::shared_expert_gate, &Weights::shared_gate,
           [](const Spec& s, std::int64_t h) { return when(s.shared_gate, 1, h); }),
    norm(&Names::mlp_post_norm, &Weights::mlp_post_norm,
         [](const Spec& s, std::int64_t h) { return when(s.norm_after, h); }),
    bias(&Names::mlp_post_norm, &Weights::mlp_post_norm_bias,
         [](const Spec& s, std::int64_t h) { return when(s.norm_after && has_norm_bias(s), h); }),
};

constexpr MlpTensor kMlp[] = {
    {&MlpNames::gate_proj, kWeight, &MlpWeights::gate_proj, nullptr,
     [](const MlpSpec& m, std::int64_t h) { return when(m.gated, m.width, h); }},
    {&MlpNames::up_proj, kWeight, &MlpWeights::up_proj, nullptr,
     [](const MlpSpec& m, std::int64_t h) {
       return TensorSize{m.width, h};
     }},
    {&MlpNames::down_proj, kWeight, &MlpWeights::down_proj, nullptr,
     [](const MlpSpec& m, std::int64_t h) { return when(m.width > 0, h, m.width); }},
    {&MlpNames::gate_proj, kBias, nullptr, &MlpWeights::gate_bias,
     [](const MlpSpec& m, std::int64_t) { return when(m.gated && m.biases, m.width); }},
    {&MlpNames::up_proj, kBias, nullptr, &MlpWeights::up_bias,
     [](const MlpSpec& m, std::int64_t) { return when(m.biases, m.width); }},
    {&MlpNames::down_proj, kBias, nullptr, &MlpWeights::down_bias,
     [](const MlpSpec& m, std::int64_t h) { return when(m.biases && m.width > 0, h); }},
};

}  // namespace

std::span<const LayerTensor> layer_tensors() {
  return kLayer;
}

std::string layer_tensor_name(const LayerTensor& tensor, const TensorNames& names, int layer, bool fused) {
  const bool beside = fused && tensor.name == &TensorNames::router && names.fused_router != nullptr;
  const char* pattern = beside ? names.fused_router : names.*tensor.name;
  return pattern == nullptr ? std::string() : tensor_name(pattern, tensor.end, layer);
}

std::span<const MlpTensor> mlp_tensors() {
  return kMlp;
}

std::string mlp_tensor_name(const MlpTensor& tensor, const MlpNames& names, int layer, int expert) {
  const char* pattern = names.*tensor.name;
  return pattern == nullptr ? std::string() : tensor_name(pattern, tensor.end, layer, expert);
}

}  // namespace expertscope
