// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <filesystem>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "engine/error.h"
#include "engine/formats/mapped_file.h"

namespace expertscope {

/// Longest JSON header a safetensors file may have, as in the reference implementation.
inline constexpr std::uint64_t kMaxSafetensorsHeader = 100'000'000;
/// Most tensors of one file, ten times those of the largest models, and the longest name of one.
inline constexpr std::size_t kMaxTensors = 1'000'000;
inline constexpr std::size_t kMaxTensorName = 4096;

/// One tensor of a safetensors file, in place.
struct TensorEntry {
  std::string name;
  std::string dtype;                ///< as the file says: "F32", "BF16", "I64", ...
  std::vector<std::int64_t> shape;  ///< empty for a scalar
  std::uint64_t offset = 0;         ///< of the first byte, from the start of the data section
  std::uint64_t bytes = 0;          ///< length of the data
};

/// Reads the header of a safetensors file (https://github.com/huggingface/safetensors#format):
/// 8 bytes little-endian header length, the JSON header, the data. `file` stands for the name in errors.
/// Refused: what is no safetensors file, by what it is instead; a header that is longer than the file or than
/// kMaxSafetensorsHeader or not a JSON object; more than kMaxTensors; duplicate names; unknown types; a
/// length that is not shape x type; data that overlap, leave a hole, or do not end where the file ends.
/// Entries come back in the order of their data. ErrorCode::cancelled when told to stop.
Result<std::vector<TensorEntry>> parse_safetensors(const std::uint8_t* bytes, std::size_t size,
                                                   const std::string& file, const std::stop_token& stop = {});

/// An open, mapped safetensors file whose header was checked against its size.
class SafetensorsFile {
 public:
  static Result<SafetensorsFile> open(const std::filesystem::path& file, const std::stop_token& stop = {});

  const std::filesystem::path& path() const { return file_.path(); }
  const std::vector<TensorEntry>& tensors() const { return tensors_; }
  /// Where the bytes of a tensor are mapped; valid while this object lives, also after a move.
  const std::uint8_t* data(const TensorEntry& tensor) const { return data_ + tensor.offset; }

 private:
  SafetensorsFile(MappedFile file, std::vector<TensorEntry> tensors);
  MappedFile file_;
  std::vector<TensorEntry> tensors_;
  const std::uint8_t* data_ = nullptr;
};

}  // namespace expertscope
