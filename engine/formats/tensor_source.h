// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace expertscope {

/// One tensor: what its file says of it, and where its bytes are mapped.
struct SourceTensor {
  std::string name;
  std::string format;                           ///< as the file says: "F32", "BF16", "I64", "Q8_0", ...
  std::vector<std::int64_t> shape;              ///< outermost first; empty for a scalar
  const std::uint8_t* data = nullptr;           ///< valid while the source lives
  std::uint64_t bytes = 0;                      ///< length of the data
  const std::filesystem::path* file = nullptr;  ///< the one that has it
};

/// What a format of weights gives: tensors, in any order. Every shape, format and length was checked against
/// the others and the size of the file.
struct TensorSource {
  std::filesystem::path place;               ///< the folder or file, as errors name it
  const char* described_by = "config.json";  ///< what asks for names and shapes, for errors
  std::vector<SourceTensor> tensors;
  std::vector<std::shared_ptr<const void>> files;  ///< keep the bytes and `file` alive
};

/// Told while the files of a source are opened: the file name, and how many of all are done.
using ShardProgress = std::function<void(const std::string& file, std::size_t done, std::size_t total)>;

/// A tensor shape as people write it: "[128, 2048]"; of one that is far too long, the beginning.
std::string shape_text(const std::vector<std::int64_t>& shape);

}  // namespace expertscope
