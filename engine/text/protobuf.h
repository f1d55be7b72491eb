// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "engine/error.h"

namespace expertscope {

/// One field of a protobuf message: its number and its value, as bytes or as a number.
struct ProtobufField {
  std::uint32_t number = 0;
  std::string_view bytes;   ///< of a message, a string or bytes
  std::uint64_t value = 0;  ///< of a number; floats are their bits
  bool has_bytes = false;
};

/// Goes through the fields of an untrusted message (protobuf.dev/programming-guides/encoding), in their
/// order. Groups, which nobody writes any more, are refused.
class ProtobufReader {
 public:
  /// `where` names the file and the message in errors; it outlives the reader.
  ProtobufReader(std::string_view message, const std::string& where) : rest_(message), where_(&where) {}
  /// The next field; nothing at the end.
  Result<std::optional<ProtobufField>> next();

 private:
  Result<std::uint64_t> varint();
  Result<std::string_view> take(std::uint64_t count);
  Result<std::uint64_t> fixed(std::size_t bytes);
  std::string_view rest_;
  const std::string* where_;
};

}  // namespace expertscope
