// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>

#include "engine/formats/tensor_source.h"

namespace expertscope {

/// Every tensor of a model by its name. Immutable; entries stay valid while the store lives.
class TensorStore {
 public:
  /// Of tensors of one name the source gives none twice.
  explicit TensorStore(TensorSource source);

  /// Null when no file has a tensor of this name.
  const SourceTensor* find(std::string_view name) const;
  /// All of them, by name, whether the model uses them or not; with an index, those that it lists.
  std::span<const SourceTensor> tensors() const { return source_.tensors; }
  std::int64_t tensor_count() const { return static_cast<std::int64_t>(source_.tensors.size()); }
  /// Bytes of data of all tensors.
  std::int64_t total_bytes() const { return total_bytes_; }
  /// The folder or file, as errors name it.
  const std::filesystem::path& place() const { return source_.place; }
  /// What asks for names and shapes, for errors: "config.json".
  const char* described_by() const { return source_.described_by; }

 private:
  TensorSource source_;  ///< tensors by name
  std::int64_t total_bytes_ = 0;
};

}  // namespace expertscope
