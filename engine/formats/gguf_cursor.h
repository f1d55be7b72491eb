// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <cstring>
#include <stop_token>
#include <string>
#include <string_view>

#include "engine/error.h"
#include "engine/formats/json_fields.h"

namespace expertscope {

/// Reads the header of a GGUF file from its beginning. Keeps the first error, which names the file, the byte
/// and what stands there; what is read after it is empty or 0, so that a reader checks once an item.
class GgufCursor {
 public:
  GgufCursor(const std::uint8_t* bytes, std::size_t size, const std::string& file);

  bool ok() const { return status_.has_value(); }
  const Status& status() const { return status_; }
  const std::string& file() const { return file_; }
  std::size_t at() const { return at_; }

  /// An error, unless there was one before.
  void refuse(const std::string& what);
  /// The next bytes; `what` they are, for errors.
  std::string_view take(std::uint64_t count, std::string_view what);
  /// A little-endian number.
  template <class T>
  T number(std::string_view what);
  /// A string with its length before it.
  std::string_view string(std::string_view what);
  /// A string of printable ASCII.
  std::string name(std::string_view what);
  /// A type and a value of it.
  Json value(const std::string& key, const std::stop_token& stop);

 private:
  Json scalar(std::uint32_t type, const std::string& key);
  Json array(const std::string& key, int depth, const std::stop_token& stop);

  const std::uint8_t* bytes_;
  std::size_t size_;  ///< as far as a header may reach
  bool whole_;        ///< `size_` is that of the file
  const std::string& file_;
  std::size_t at_ = 0;
  std::uint64_t elements_ = 0;  ///< of arrays, so far
  Status status_;
};

template <class T>
T GgufCursor::number(std::string_view what) {
  const auto bytes = take(sizeof(T), what);
  T value{};
  if (bytes.size() == sizeof(T)) std::memcpy(&value, bytes.data(), sizeof(T));
  return value;
}

}  // namespace expertscope
