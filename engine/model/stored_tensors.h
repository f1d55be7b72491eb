// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/error.h"
#include "engine/formats/tensor_store.h"
#include "engine/model/config.h"
#include "engine/model/quantization.h"
#include "engine/model/weights.h"

namespace expertscope {

/// Bytes of tensors that could not be used in place, and scales of blocks, which kernels read as F32.
using AlignedCopies = std::vector<std::unique_ptr<std::byte[]>>;

/// Of a scale: far above what any model has, so that products of kernels stay within the range of a float.
inline constexpr float kLargestScale = 0x1p100f;

/// The tensors of a store by name, checked against the shape that is asked for, as views into the mapped
/// files. Errors name the file, the tensor and both shapes.
class StoredTensors {
 public:
  using Shape = std::vector<std::int64_t>;

  StoredTensors(const TensorStore& store, const ModelConfig& config, const Quantization& quantization)
      : store_(store), config_(config), quantization_(quantization), used_(store.tensors().size()) {}

  const TensorStore& store() const { return store_; }
  const Quantization& quantization() const { return quantization_; }
  /// Of any format.
  Result<const SourceTensor*> locate(const std::string& name, const Shape& shape);
  /// Of one that weights have.
  Result<const SourceTensor*> find(const std::string& name, const Shape& shape);
  /// Of U8.
  Result<const std::uint8_t*> bytes(const std::string& name, const Shape& shape) {
    return integers(name, shape, "U8", 1);
  }
  /// Of I32.
  Result<const std::uint8_t*> words(const std::string& name, const Shape& shape) {
    return integers(name, shape, "I32", 4);
  }
  /// A matrix, however it is stored.
  Result<Matrix> matrix(const std::string& name, std::int64_t rows, std::int64_t cols);
  /// What find() found, its last two axes as rows and columns of one matrix, with its scales.
  Result<Matrix> view(const SourceTensor& tensor, std::int64_t rows, std::int64_t cols);
  /// Memory that views point into.
  AlignedCopies& copies() { return copies_; }
  /// Numbers in memory that lives as the views do.
  const float* kept(std::span<const float> numbers);
  /// Memory for what kernels cannot read in the order in which `tensor` has it: no more in all than the
  /// machine has.
  Result<std::byte*> turned(const SourceTensor& tensor, std::size_t bytes);

  AlignedCopies take_copies() { return std::move(copies_); }
  std::int64_t copied_bytes() const { return copied_bytes_; }
  std::int64_t turned_bytes() const { return turned_bytes_; }
  /// 1 for each of the store's tensors that was asked for and found.
  const std::vector<std::uint8_t>& used() const { return used_; }

 private:
  struct Scales {
    const void* plane = nullptr;
    ScaleBlock block;
  };
  Result<const std::uint8_t*> integers(const std::string& name, const Shape& shape, const char* format,
                                       std::uint64_t element_bytes);
  Result<const void*> aligned(const SourceTensor& tensor, const WeightFormat& format);
  /// The plane of scales of a tensor whose format has one, `<its name>_scale_inv` or `<its name>_scale`, of
  /// F32, F16, BF16 or F8_E8M0; widened to F32.
  Result<Scales> scales(const SourceTensor& tensor, const WeightFormat& format);

  const TensorStore& store_;
  const ModelConfig& config_;
  Quantization quantization_;
  std::vector<std::uint8_t> used_;
  AlignedCopies copies_;
  std::int64_t copied_bytes_ = 0;
  std::int64_t turned_bytes_ = 0;
};

}  // namespace expertscope
