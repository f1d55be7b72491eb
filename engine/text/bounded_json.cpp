// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/text/bounded_json.h"

#include "engine/formats/mapped_file.h"

namespace expertscope {
namespace {

// What nlohmann::json allocates on a 64-bit machine, with malloc's own bytes.
constexpr std::size_t kObject = 64;
constexpr std::size_t kArray = 48;
constexpr std::size_t kMember = 96;   ///< a node of a map with its key
constexpr std::size_t kElement = 32;  ///< of an array that doubles as it grows
constexpr std::size_t kString = 48;

std::size_t memory_of(char c) {
  if (c == '{') return kObject;
  if (c == '[') return kArray;
  if (c == ':') return kMember;
  return c == ',' ? kElement : 0;
}

}  // namespace

std::size_t json_memory(std::string_view text) {
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '"') {
      bytes += memory_of(text[i]);
      continue;
    }
    const std::size_t begin = i;
    for (++i; i < text.size() && text[i] != '"'; ++i)
      if (text[i] == '\\') ++i;
    bytes += kString + (i - begin);
  }
  return bytes;
}

Result<Json> parse_bounded_json(std::string_view text, const std::string& file) {
  if (const auto bytes = json_memory(text); bytes > kMaxJsonMemory)
    return fail(ErrorCode::unsupported, "{}: the JSON takes {} bytes of memory, more than the {} it may",
                file, bytes, kMaxJsonMemory);
  return parse_json(text, file);
}

Result<Json> read_bounded_json(const std::filesystem::path& file, std::size_t max_bytes) {
  const auto text = read_file(file, max_bytes);
  if (!text) return forward_error(text);
  return parse_bounded_json(*text, file.string());
}

}  // namespace expertscope
