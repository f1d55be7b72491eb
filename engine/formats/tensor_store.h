// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "engine/error.h"
#include "engine/formats/safetensors.h"

namespace expertscope {

/// One tensor of a model folder: what its header says, where its bytes are, and which file has it.
struct StoredTensor {
  const TensorEntry* entry = nullptr;
  const std::uint8_t* data = nullptr;
  const SafetensorsFile* file = nullptr;
};

/// Told while shards are opened: the file name, and how many of all are done.
using ShardProgress = std::function<void(const std::string& file, std::size_t done, std::size_t total)>;

/// Every tensor of a Hugging Face model folder, mapped: model.safetensors, or else the shards that
/// model.safetensors.index.json lists. Immutable after open; entries stay valid while the store lives.
class TensorStore {
 public:
  /// Errors name a shard that is missing, a tensor that the index promises and its shard lacks, a shard name
  /// that points outside the folder, and what a folder without safetensors holds instead. Links are followed
  /// but not resolved: in a Hugging Face cache every file is a link to a blob whose name says nothing.
  static Result<std::unique_ptr<TensorStore>> open(const std::filesystem::path& folder,
                                                   const ShardProgress& progress = {},
                                                   const std::stop_token& stop = {});

  /// Null when no file has a tensor of this name.
  const StoredTensor* find(std::string_view name) const;
  /// All of them, by name, whether the model uses them or not; with an index, those that it lists.
  std::span<const StoredTensor> tensors() const { return tensors_; }
  std::int64_t tensor_count() const { return static_cast<std::int64_t>(tensors_.size()); }
  /// Bytes of data of all tensors.
  std::int64_t total_bytes() const { return total_bytes_; }
  const std::filesystem::path& folder() const { return folder_; }

 private:
  TensorStore() = default;
  Status open_single(const std::filesystem::path& file, const ShardProgress& progress,
                     const std::stop_token& stop);
  Status open_shards(const std::filesystem::path& index, const ShardProgress& progress,
                     const std::stop_token& stop);
  Status open_shard(const std::string& name, const std::vector<std::string>& wanted,
                    const std::stop_token& stop);
  void add(const SafetensorsFile& file, const TensorEntry& entry);
  void sort();

  std::filesystem::path folder_;
  std::vector<std::unique_ptr<SafetensorsFile>> files_;
  std::vector<StoredTensor> tensors_;  ///< by name
  std::int64_t total_bytes_ = 0;
};

}  // namespace expertscope
