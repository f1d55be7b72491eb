// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace expertscope {

/// What kernels tell formats apart by. `other` has none of its own and runs nevertheless: it is dequantised
/// where the others are read.
enum class FormatId : std::uint8_t {
  f32,
  f16,
  bf16,
  q8_0,
  f8_e4m3,
  mxfp4,
  int4_bf16,
  int4_f16,
  int4_f32,
  nvfp4,
  other
};

/// Elements of a row that lie together: so many in so many bytes.
struct BlockSize {
  std::uint64_t elements = 1;  ///< a power of two up to 256
  std::uint64_t bytes = 0;

  /// Bytes of a tensor whose rows are the last axis; nullopt where a row is no whole number of blocks, or for
  /// more than 64 bits hold.
  std::optional<std::uint64_t> bytes_of(std::span<const std::int64_t> shape) const;
};

/// Scales that lie in a plane beside a matrix, row by row: one for every `rows` x `cols` elements, those at
/// the edges for what is there of them. That of a format is the usual one; a matrix may have others.
struct ScalePlane {
  std::int64_t rows = 0;  ///< 0: the format has none
  std::int64_t cols = 0;
  std::int64_t bytes = 0;  ///< of a scale
};

/// A row of a matrix, and of its plane of scales. Either may lie at any address.
struct WeightRow {
  const std::uint8_t* data = nullptr;
  const std::uint8_t* scales = nullptr;  ///< null where the format has no plane
  std::int64_t scale_cols = 0;           ///< elements that share a scale
  const std::uint8_t* zeros = nullptr;   ///< zero points, one for each scale; null: those of the format
  const float* scale_values = nullptr;   ///< Matrix::scale_values
};

/// How the elements of a matrix are stored. A row of the table of weight_format.cpp is a format that runs:
/// its kernels, where it gets some, come on top.
struct WeightFormat {
  FormatId id = FormatId::other;
  std::string_view name;  ///< as files say: "F32", "Q8_0"
  BlockSize block;
  ScalePlane scales;
  /// Widens elements [first, first + count) of a row, both a whole number of blocks.
  void (*dequantise)(const WeightRow& row, std::int64_t first, std::int64_t count, float* to) = nullptr;

  /// Bytes of a row of `cols` elements, a whole number of blocks.
  std::size_t row_bytes(std::int64_t cols) const {
    return static_cast<std::size_t>(cols) / block.elements * block.bytes;
  }
};

/// That of any id but `other`.
const WeightFormat& weight_format(FormatId id);
/// Null for one that is not read.
const WeightFormat* find_weight_format(std::string_view name);
/// All names, as a person reads them: "F32, F16, ...".
std::string weight_format_names();

}  // namespace expertscope
