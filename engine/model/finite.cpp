// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/model/finite.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

namespace expertscope {
namespace {

bool all_finite(const std::vector<float>& values) {
  // x * 0 is 0 for every finite x and NaN for the others; in lanes, so that the loop vectorises.
  float lanes[16] = {};
  for (std::size_t i = 0; i < values.size(); ++i)
    lanes[i % 16] += values[i] * 0.0f;
  return std::all_of(std::begin(lanes), std::end(lanes), [](float lane) { return lane == 0.0f; });
}

/// Walks all weights; stops at the first that is not finite.
class FiniteCheck {
 public:
  explicit FiniteCheck(std::stop_token stop) : stop_(std::move(stop)) {}

  Status matrix(const std::string& name, const Matrix& matrix) const {
    std::vector<float> values(static_cast<std::size_t>(matrix.cols));
    for (std::int64_t row = 0; row < matrix.rows; ++row) {
      if (stop_.stop_requested()) return fail(ErrorCode::cancelled, "The scan for NaN and Inf was cancelled");
      matrix.dequantise(row, 0, matrix.cols, values.data());
      if (!all_finite(values))
        return fail(ErrorCode::format, "tensor {} has NaN or Inf in row {}", name, row);
    }
    return {};
  }
  Status vector(const std::string& name, const Vector& values) const {
    for (std::size_t i = 0; i < values.size(); ++i)
      if (!std::isfinite(values[i]))
        return fail(ErrorCode::format, "tensor {} has NaN or Inf at element {}", name, i);
    return {};
  }

 private:
  std::stop_token stop_;
};

Status check_layer(const FiniteCheck& check, const TensorNames& names, const LayerWeights& layer, int index) {
  struct Named {
    const char* pattern;
    const char* suffix;
    const Matrix* matrix;
    const Vector* vector;
  };
  const Named parts[] = {{names.input_layernorm, "", nullptr, &layer.input_layernorm},
                         {names.q_proj, ".weight", &layer.q_proj, nullptr},
                         {names.k_proj, ".weight", &layer.k_proj, nullptr},
                         {names.v_proj, ".weight", &layer.v_proj, nullptr},
                         {names.o_proj, ".weight", &layer.o_proj, nullptr},
                         {names.q_proj, ".bias", nullptr, &layer.q_bias},
                         {names.k_proj, ".bias", nullptr, &layer.k_bias},
                         {names.v_proj, ".bias", nullptr, &layer.v_bias},
                         {names.o_proj, ".bias", nullptr, &layer.o_bias},
                         {names.q_norm, "", nullptr, &layer.q_norm},
                         {names.k_norm, "", nullptr, &layer.k_norm},
                         {names.post_attention_layernorm, "", nullptr, &layer.post_attention_layernorm},
                         {names.router, ".weight", &layer.router, nullptr},
                         {names.correction_bias, "", nullptr, &layer.correction_bias},
                         {names.shared_gate_proj, ".weight", &layer.shared.gate_proj, nullptr},
                         {names.shared_up_proj, ".weight", &layer.shared.up_proj, nullptr},
                         {names.shared_down_proj, ".weight", &layer.shared.down_proj, nullptr},
                         {names.shared_expert_gate, ".weight", &layer.shared_gate, nullptr},
                         {names.gate_proj, ".weight", &layer.mlp.gate_proj, nullptr},
                         {names.up_proj, ".weight", &layer.mlp.up_proj, nullptr},
                         {names.down_proj, ".weight", &layer.mlp.down_proj, nullptr}};
  for (const auto& part : parts) {
    if (part.pattern == nullptr) continue;
    const std::string name = tensor_name(part.pattern, index) + part.suffix;
    auto ok = part.matrix != nullptr ? check.matrix(name, *part.matrix) : check.vector(name, *part.vector);
    if (!ok) return ok;
  }
  for (std::size_t e = 0; e < layer.experts.size(); ++e) {
    const std::pair<const char*, const Matrix*> matrices[] = {
        {names.expert_gate_proj, &layer.experts[e].gate_proj},
        {names.expert_up_proj, &layer.experts[e].up_proj},
        {names.expert_down_proj, &layer.experts[e].down_proj}};
    for (const auto& [pattern, matrix] : matrices) {
      auto ok = check.matrix(tensor_name(pattern, index, static_cast<int>(e)) + ".weight", *matrix);
      if (!ok) return ok;
    }
  }
  return {};
}

}  // namespace

Status check_finite_weights(const Weights& weights, int layer, const std::stop_token& stop) {
  const FiniteCheck check(stop);
  const TensorNames& names = weights.names;
  if (layer >= 0) {
    if (static_cast<std::size_t>(layer) >= weights.layers.size())
      return fail(ErrorCode::invalid_argument, "layer {} of {} does not exist", layer, weights.layers.size());
    return check_layer(check, names, weights.layers[static_cast<std::size_t>(layer)], layer);
  }
  Status ok = check.matrix(names.embed_tokens, weights.embed_tokens);
  if (ok) ok = check.vector(names.norm, weights.norm);
  const bool untied = weights.lm_head.data != weights.embed_tokens.data;
  if (ok && untied) ok = check.matrix(names.lm_head, weights.lm_head);
  return ok;
}

}  // namespace expertscope
