// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <filesystem>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "engine/error.h"
#include "engine/formats/json_fields.h"
#include "engine/formats/tensor_source.h"

namespace expertscope {

/// Longest header (metadata, and what it says of tensors) of a GGUF file, and the most elements that arrays
/// of its metadata may have together: ten times those of the largest vocabularies.
inline constexpr std::size_t kMaxGgufHeader = std::size_t{256} << 20;
inline constexpr std::uint64_t kMaxGgufElements = std::uint64_t{1} << 22;

/// One tensor of a GGUF file, in place.
struct GgufTensor {
  std::string name;
  std::string_view format;          ///< as ggml calls it: "F32", "BF16", "Q8_0", ...
  std::vector<std::int64_t> shape;  ///< outermost first; the file has it the other way round
  std::uint64_t offset = 0;         ///< of the first byte, from the start of the file
  std::uint64_t bytes = 0;          ///< length of the data
};

struct GgufHeader {
  Json metadata = Json::object();   ///< values by their full keys: "general.architecture"
  std::vector<GgufTensor> tensors;  ///< in the order of their data
  std::uint64_t bytes = 0;          ///< length of the header
};

/// Reads the header of a GGUF file of version 2 or 3, little-endian (docs/gguf.md of ggml). `file` stands for
/// the name in errors. Refused: another version or byte order; a length or count that the file has no room
/// for or that is beyond the limits above; keys and names that are there twice or are not printable ASCII; a
/// type of values or tensors that is not known; rows that are no whole number of blocks; data that overlap,
/// are not aligned, or end behind the file. ErrorCode::cancelled when told to stop.
Result<GgufHeader> parse_gguf(const std::uint8_t* bytes, std::size_t size, const std::string& file,
                              const std::stop_token& stop = {});

/// A model's GGUF file with all its parts, mapped.
struct GgufModel {
  Json metadata;        ///< of the first part
  std::string header;   ///< its bytes, which say what the model is
  TensorSource source;  ///< of all parts
};

/// Opens a file, and where it is the first of several (NAME-00001-of-00003.gguf) the others beside it. Errors
/// name a part that is missing or is another than its name says, and a tensor that two parts have.
Result<GgufModel> open_gguf(const std::filesystem::path& file, const ShardProgress& progress = {},
                            const std::stop_token& stop = {});

/// Whether a file begins as GGUF files do; false where it cannot be read.
bool is_gguf(const std::filesystem::path& file);

/// The file, and where its name is that of a first part those of the others.
std::vector<std::filesystem::path> gguf_parts(const std::filesystem::path& file);

}  // namespace expertscope
