// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/model/weight_groups.h"

#include <algorithm>
#include <array>
#include <utility>

#include "engine/model/layer_tensors.h"

namespace expertscope {
namespace {

enum Part : std::uint8_t {
  kEmbedding,
  kAttention,
  kRouter,
  kExperts,
  kShared,
  kDense,
  kOutput,
  kVectors,
  kParts
};
constexpr std::array<std::string_view, kParts> kNames = {"embedding", "attention",       "router",
                                                         "experts",   "shared expert",   "dense MLP",
                                                         "output",    "norms and biases"};

class Count {
 public:
  Count() {
    for (std::size_t i = 0; i < kNames.size(); ++i)
      groups_[i].name = kNames[i];
  }
  void add(Part part, const Matrix& matrix) {
    if (!matrix) return;
    WeightGroup& group = groups_[part];
    const ScalePlane plane = matrix.plane();
    const std::int64_t scale_rows = plane.rows == 0 ? 0 : (matrix.rows + plane.rows - 1) / plane.rows;
    group.elements += matrix.rows * matrix.cols;
    group.bytes += matrix.rows * static_cast<std::int64_t>(matrix.row_bytes()) +
                   scale_rows * static_cast<std::int64_t>(matrix.scale_row_bytes() + matrix.zero_row_bytes());
    if (std::find(group.formats.begin(), group.formats.end(), matrix.format->name) == group.formats.end())
      group.formats.push_back(matrix.format->name);
  }
  void add(const Vector& vector) {
    groups_[kVectors].elements += std::ssize(vector);
    groups_[kVectors].bytes += std::ssize(vector) * std::int64_t{sizeof(float)};
  }
  void add(Part part, const MlpWeights& mlp) {
    for (const MlpTensor& tensor : mlp_tensors())
      tensor.matrix != nullptr ? add(part, mlp.*tensor.matrix) : add(mlp.*tensor.vector);
  }
  void add(const LayerWeights& layer) {
    for (const LayerTensor& tensor : layer_tensors()) {
      const Part part = tensor.matrix == &LayerWeights::router        ? kRouter
                        : tensor.matrix == &LayerWeights::shared_gate ? kShared
                                                                      : kAttention;
      tensor.matrix != nullptr ? add(part, layer.*tensor.matrix) : add(layer.*tensor.vector);
    }
    for (const MlpWeights& expert : layer.experts)
      add(kExperts, expert);
    add(kShared, layer.shared);
    add(kDense, layer.mlp);
  }
  std::vector<WeightGroup> take() {
    std::vector<WeightGroup> found;
    for (WeightGroup& group : groups_)
      if (group.elements > 0) found.push_back(std::move(group));
    return found;
  }

 private:
  std::array<WeightGroup, kParts> groups_;
};

}  // namespace

std::vector<WeightGroup> weight_groups(const Model& model) {
  const Weights& weights = model.weights();
  Count count;
  count.add(kEmbedding, weights.embed_tokens);
  for (const LayerWeights& layer : weights.layers)
    count.add(layer);
  if (weights.lm_head.data != weights.embed_tokens.data) count.add(kOutput, weights.lm_head);
  count.add(weights.norm);
  count.add(weights.norm_bias);
  return count.take();
}

}  // namespace expertscope
