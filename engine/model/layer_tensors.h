// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "engine/model/layer_spec.h"
#include "engine/model/tensor_names.h"
#include "engine/model/weights.h"

/// What tensors a decoder layer consists of, as data: one row each, for those who look for them in files,
/// and those who walk over them.
namespace expertscope {

/// A matrix [rows, cols], or a vector [rows], which is [rows, 1, cols] in the files where cols is not 0.
struct TensorSize {
  std::int64_t rows = 0;  ///< 0: there is no such tensor
  std::int64_t cols = 0;
};

/// A tensor of a layer; one of `matrix` and `vector` says where it is kept.
struct LayerTensor {
  const char* TensorNames::*name;
  std::string_view end;  ///< ".weight" or ".bias"; empty: the name is whole
  Matrix LayerWeights::*matrix;
  Vector LayerWeights::*vector;
  /// What a layer asks for. `hidden`: hidden_size.
  TensorSize (*size)(const LayerSpec& layer, std::int64_t hidden);
  bool norm;  ///< the weight of a norm of the kind LayerSpec::norm
};

/// All of them, but for the MLPs.
std::span<const LayerTensor> layer_tensors();
/// What a file calls it; empty where the family has no name for it. `fused`: LayerWeights::fused_experts.
std::string layer_tensor_name(const LayerTensor& tensor, const TensorNames& names, int layer, bool fused);

/// A tensor of an MLP: which of the three names, and where it is kept.
struct MlpTensor {
  const char* MlpNames::*name;
  std::string_view end;
  Matrix MlpWeights::*matrix;
  Vector MlpWeights::*vector;
  TensorSize (*size)(const MlpSpec& mlp, std::int64_t hidden);
};

std::span<const MlpTensor> mlp_tensors();
std::string mlp_tensor_name(const MlpTensor& tensor, const MlpNames& names, int layer, int expert = -1);

}  // namespace expertscope
