// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <stop_token>
#include <string>
#include <vector>

#include "engine/error.h"
#include "engine/formats/tensor_store.h"
#include "engine/model/config.h"
#include "engine/model/layer_tensors.h"
#include "engine/model/stored_tensors.h"
#include "engine/model/tensor_names.h"
#include "engine/model/weights.h"

namespace expertscope {

/// Finds the tensors of a model in a store, checks their shapes and types against the config, and makes views
/// into the mapped files. Experts are read in every layout: one matrix per expert, or all experts of a layer
/// in one 3-D tensor, gate and up in one (transformers 5) or in two (GGUF), in MXFP4 as two tensors of bytes;
/// those that lie transposed are copied. Errors name the file, the tensor and both shapes.
class WeightBinder {
 public:
  WeightBinder(const TensorStore& store, const ModelConfig& config, const TensorNames& names,
               const Quantization& quantization = {})
      : store_(store), config_(config), names_(names), tensors_(store, config, quantization) {}

  /// embed_tokens, the final norm and lm_head. Where tie_word_embeddings asks for one matrix and the files
  /// have only one of the two, it is both; where they have two, these are compared, and kept if they differ,
  /// as transformers does (PreTrainedModel.tie_weights of 5.24).
  Status bind_ends(Weights& weights, const std::stop_token& stop = {});
  Status bind_layer(int index, LayerWeights& layer);

  /// Copies that the views point into: of scales, and of tensors whose data start at an address unfit for
  /// their type, which only files of early safetensors versions have.
  AlignedCopies take_copies() { return tensors_.take_copies(); }
  std::int64_t copied_bytes() const { return tensors_.copied_bytes(); }
  /// Of weights that lie transposed in their files: kernels read them along the rows of a matrix.
  std::int64_t turned_bytes() const { return tensors_.turned_bytes(); }
  /// 1 for each of the store's tensors that was bound.
  const std::vector<std::uint8_t>& used() const { return tensors_.used(); }

 private:
  using Shape = StoredTensors::Shape;
  /// Reads a matrix, or the slice of a 3-D tensor that the caller cuts from `whole`.
  Status matrix(const std::string& name, std::int64_t rows, std::int64_t cols, Matrix& out);
  /// All experts of a layer, [experts, rows, cols], as one matrix.
  struct Stack {
    Matrix whole;
    bool alternates = false;  ///< rows of gate and up take turns; else an expert's gate rows come first
  };
  Status stack(const char* pattern, int index, const Shape& shape, Stack& out);
  Status stored_stack(const std::string& name, const Shape& shape, Matrix& whole);
  Status mxfp4_stack(const std::string& name, const Shape& shape, Matrix& whole);
  Status turned_stack(const std::string& name, const Shape& shape, bool alternates, Matrix& whole);
  Status vector(const std::string& name, TensorSize size, bool zero_centred, Vector& out);
  Status bind_tied(Weights& weights, const std::stop_token& stop);
  Status bind_mlp(const MlpNames& names, int index, int expert, const MlpSpec& spec, MlpWeights& mlp);
  Status bind_experts(int index, LayerWeights& layer);
  Status bind_fused_experts(int index, LayerWeights& layer);
  Status bind_fused_biases(int index, LayerWeights& layer);
  /// Whether a tensor of this name is there, or its blocks of MXFP4.
  bool has(const char* pattern, int index) const;

  const TensorStore& store_;
  const ModelConfig& config_;
  const TensorNames& names_;
  StoredTensors tensors_;
};

}  // namespace expertscope
