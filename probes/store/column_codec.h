// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "probes/store/stored_columns.h"

namespace expertscope {

/// Blobs of table column_block. `f32` is the array as it is, little-endian. The others begin with 5 bytes,
/// the bits b of a value and a base (32 bits, little-endian), and go on with b bits a value, the lowest
/// first:
///
///   packed   value = base + bits, base with its sign; -1 is no expert or no channel
///   rounded  0 where the bits are; else the f32 whose upper 19 bits are base + bits and whose others are 0.
///            b = 32: the f32 themselves, and base is 0. That is where one of them is negative, not finite or
///            below the smallest normal number.
///
/// b is 1 at least where there are more than kBlockTokens values, so that no blob says more than 32 times
/// what it takes.

/// The largest relative error of a value that is rounded: half of the last of 10 bits behind the point.
inline constexpr double kRoundingError = 1.0 / 2048;

/// Encodes values; buffers are kept from blob to blob.
class ColumnEncoder {
 public:
  /// The bytes live until the next call.
  std::span<const std::byte> encode(Encoding encoding, std::span<const float> values);
  std::span<const std::byte> encode(Encoding encoding, std::span<const std::int32_t> values);
  std::span<const std::byte> encode(Encoding encoding, std::span<const std::uint16_t> values);
  std::span<const std::byte> encode(Encoding encoding, std::span<const std::uint8_t> values);

 private:
  template <class T>
  std::span<const std::byte> pack_integers(std::span<const T> values);
  std::span<const std::byte> round(std::span<const float> values);
  std::span<const std::byte> pack(std::uint32_t base, std::uint32_t most);

  std::vector<std::uint32_t> codes_;
  std::vector<std::byte> bytes_;
};

/// Reads `count` values; false where the blob does not hold them, or one is none of its type.
bool decode(Encoding encoding, std::span<const std::byte> blob, std::size_t count,
            std::vector<float>& values);
bool decode(Encoding encoding, std::span<const std::byte> blob, std::size_t count,
            std::vector<std::int32_t>& values);
bool decode(Encoding encoding, std::span<const std::byte> blob, std::size_t count,
            std::vector<std::uint16_t>& values);
bool decode(Encoding encoding, std::span<const std::byte> blob, std::size_t count,
            std::vector<std::uint8_t>& values);

}  // namespace expertscope
