// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/model/finite.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "engine/model/layer_tensors.h"

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

/// What files call a tensor of all experts of a layer.
std::string fused_name(const MlpTensor& tensor, const TensorNames& names, int index) {
  const bool down = tensor.name == &MlpNames::down_proj;
  const bool together = names.fused_gate_up_proj != nullptr;
  const char* bias = down ? names.fused_down_bias : names.fused_gate_up_bias;
  const char* matrix = down                                  ? names.fused_down_proj
                       : together                            ? names.fused_gate_up_proj
                       : tensor.name == &MlpNames::gate_proj ? names.fused_gate_proj
                                                             : names.fused_up_proj;
  const char* pattern = tensor.matrix != nullptr ? matrix : bias;
  return pattern == nullptr ? std::string() : tensor_name(pattern, index);
}

/// `name_of`: what files call a tensor of the MLP.
template <class NameOf>
Status check_mlp(const FiniteCheck& check, const MlpWeights& mlp, NameOf&& name_of) {
  for (const MlpTensor& tensor : mlp_tensors()) {
    const std::string name = name_of(tensor);
    auto ok = tensor.matrix != nullptr ? check.matrix(name, mlp.*tensor.matrix)
                                       : check.vector(name, mlp.*tensor.vector);
    if (!ok) return ok;
  }
  return {};
}

/// Experts that are one tensor in the files are named by it.
Status check_experts(const FiniteCheck& check, const TensorNames& names, const LayerWeights& layer,
                     int index) {
  for (std::size_t e = 0; e < layer.experts.size(); ++e) {
    const auto expert = static_cast<int>(e);
    auto ok = check_mlp(check, layer.experts[e], [&](const MlpTensor& tensor) {
      return layer.fused_experts ? fused_name(tensor, names, index)
                                 : mlp_tensor_name(tensor, names.expert, index, expert);
    });
    if (!ok && layer.fused_experts && ok.error().code == ErrorCode::format)
      return fail(ErrorCode::format, "{} of expert {}", ok.error().message, expert);
    if (!ok) return ok;
  }
  return {};
}

Status check_layer(const FiniteCheck& check, const TensorNames& names, const LayerWeights& layer, int index) {
  for (const LayerTensor& tensor : layer_tensors()) {
    const std::string name = layer_tensor_name(tensor, names, index, layer.fused_experts);
    auto ok = tensor.matrix != nullptr ? check.matrix(name, layer.*tensor.matrix)
                                       : check.vector(name, layer.*tensor.vector);
    if (!ok) return ok;
  }
  auto ok = check_experts(check, names, layer, index);
  const auto named = [&](const MlpNames& mlp) {
    return [&names = mlp, index](const MlpTensor& tensor) { return mlp_tensor_name(tensor, names, index); };
  };
  if (ok) ok = check_mlp(check, layer.shared, named(names.shared));
  if (ok) ok = check_mlp(check, layer.mlp, named(names.dense));
  return ok;
}

}  // namespace

Status check_finite_weights(const Weights& weights, int layer, const std::stop_token& stop) {
  const FiniteCheck check(stop);
  const TensorNames& names = weights.names;
  if (layer >= 0) {
    if (static_cast<std::size_t>(layer) >= weights.layers.size())
      return fail(ErrorCode::invalid_argument, "layer {} of {} does not exist", layer, weights.layers.size());
    return check_layer(check, names, weights.layers[layer], layer);
  }
  Status ok = check.matrix(names.embed_tokens, weights.embed_tokens);
  if (ok) ok = check.vector(names.norm, weights.norm);
  if (ok) ok = check.vector(tensor_name(names.norm, ".bias", -1), weights.norm_bias);
  const bool untied = weights.lm_head.data != weights.embed_tokens.data;
  if (ok && untied) ok = check.matrix(names.lm_head, weights.lm_head);
  return ok;
}

}  // namespace expertscope
