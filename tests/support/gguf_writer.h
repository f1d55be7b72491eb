// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace expertscope::testing {

template <class T>
std::string little_endian(T value) {
  return {reinterpret_cast<const char*>(&value), sizeof(value)};
}

/// A GGUF file, well or not: parts are appended as they are asked for.
class GgufWriter {
 public:
  static std::string text(std::string_view value) {
    return little_endian<std::uint64_t>(value.size()) + std::string(value);
  }
  /// A pair of metadata: the number of the type, and the bytes of the value.
  GgufWriter& pair(std::string_view key, std::uint32_t type, std::string_view value) {
    pairs_ += text(key) + little_endian(type) + std::string(value);
    ++pair_count;
    return *this;
  }
  GgufWriter& string(std::string_view key, std::string_view value) { return pair(key, 8, text(value)); }
  GgufWriter& number(std::string_view key, std::uint32_t value) { return pair(key, 4, little_endian(value)); }
  /// The shape innermost first, as the file has it.
  GgufWriter& tensor(std::string_view name, const std::vector<std::uint64_t>& shape, std::uint32_t type,
                     std::uint64_t offset) {
    tensors_ += text(name) + little_endian(static_cast<std::uint32_t>(shape.size()));
    for (const auto extent : shape)
      tensors_ += little_endian(extent);
    tensors_ += little_endian(type) + little_endian(offset);
    ++tensor_count;
    return *this;
  }
  std::string header() const {
    return magic + little_endian(version) + little_endian(tensor_count) + little_endian(pair_count) + pairs_ +
           tensors_;
  }
  /// The header, filled up to `alignment`, and the data.
  std::string bytes(std::string_view data, std::size_t alignment = 32) const {
    std::string file = header();
    file.resize((file.size() + alignment - 1) / alignment * alignment);
    return file + std::string(data);
  }

  std::string magic = "GGUF";
  std::uint32_t version = 3;
  std::uint64_t tensor_count = 0;
  std::uint64_t pair_count = 0;

 private:
  std::string pairs_;
  std::string tensors_;
};

}  // namespace expertscope::testing
