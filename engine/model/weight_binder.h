// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "engine/error.h"
#include "engine/formats/tensor_store.h"
#include "engine/model/config.h"
#include "engine/model/layer_tensors.h"
#include "engine/model/tensor_names.h"
#include "engine/model/weights.h"

namespace expertscope {

/// Bytes of tensors that could not be used in place, and scales of blocks, which kernels read as F32.
using AlignedCopies = std::vector<std::unique_ptr<std::byte[]>>;

/// Finds the tensors of a model in a store, checks their shapes and types against the config, and makes views
/// into the mapped files. Experts are read in every layout: one matrix per expert, or all experts of a layer
/// in one 3-D tensor, gate and up in one (transformers 5) or in two (GGUF), in MXFP4 as two tensors of bytes;
/// those that lie transposed are copied. Errors name the file, the tensor and both shapes.
class WeightBinder {
 public:
  WeightBinder(const TensorStore& store, const ModelConfig& config, const TensorNames& names)
      : store_(store), config_(config), names_(names), used_(store.tensors().size()) {}

  /// embed_tokens, the final norm and lm_head. Where tie_word_embeddings asks for one matrix and the files
  /// have only one of the two, it is both; where they have two, these are compared, and kept if they differ,
  /// as transformers does (PreTrainedModel.tie_weights of 5.24).
  Status bind_ends(Weights& weights, const std::stop_token& stop = {});
  Status bind_layer(int index, LayerWeights& layer);

  /// Copies that the views point into: of scales, and of tensors whose data start at an address unfit for
  /// their type, which only files of early safetensors versions have.
  AlignedCopies take_copies() { return std::move(copies_); }
  std::int64_t copied_bytes() const { return copied_bytes_; }
  /// Of experts that lie transposed in their files: kernels read weights along the rows of a matrix.
  std::int64_t turned_bytes() const { return turned_bytes_; }
  /// 1 for each of the store's tensors that was bound.
  const std::vector<std::uint8_t>& used() const { return used_; }

 private:
  using Shape = std::vector<std::int64_t>;
  /// Of any format.
  Result<const SourceTensor*> locate(const std::string& name, const Shape& shape);
  /// Of one that weights have.
  Result<const SourceTensor*> find(const std::string& name, const Shape& shape);
  /// Of U8.
  Result<const std::uint8_t*> bytes(const std::string& name, const Shape& shape);
  Result<const void*> aligned(const SourceTensor& tensor, const WeightFormat& format);
  /// The plane of scales of a tensor whose format has one: `<its name>_scale_inv`, one for every block of its
  /// last two axes or one for all of it, of F32, F16, BF16 or F8_E8M0; widened to F32.
  Result<const void*> scales(const SourceTensor& tensor, const WeightFormat& format);
  Result<Matrix> view(const SourceTensor& tensor, std::int64_t rows, std::int64_t cols);
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
  std::vector<std::uint8_t> used_;
  AlignedCopies copies_;
  std::int64_t copied_bytes_ = 0;
  std::int64_t turned_bytes_ = 0;
};

}  // namespace expertscope
