// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/text/charsmap.h"

#include <utf8proc.h>

#include <cstring>

#include "engine/text/utf8.h"

namespace expertscope {
namespace {

/// Those of SentencePiece have 250 KiB.
constexpr std::size_t kMaxBytes = 16u << 20;
/// Longer clusters are replaced character by character.
constexpr std::size_t kLongestCluster = 6;
/// A double array may have circles; the rules of SentencePiece have a few characters.
constexpr std::size_t kLongestPrefix = 256;

std::uint32_t read_u32(std::string_view bytes, std::size_t at) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i)
    value |= static_cast<std::uint32_t>(static_cast<std::uint8_t>(bytes[at + i])) << (8 * i);
  return value;
}

// The fields of a unit of darts-clone.
bool has_leaf(std::uint32_t unit) {
  return ((unit >> 8) & 1) != 0;
}
std::uint32_t label_of(std::uint32_t unit) {
  return unit & (0x80000000u | 0xFFu);
}
std::uint32_t offset_of(std::uint32_t unit) {
  return (unit >> 10) << ((unit & (1u << 9)) >> 6);
}

/// Bytes of the grapheme cluster that a text begins with.
std::size_t cluster_length(std::string_view text) {
  auto before = utf8_step(text);
  std::size_t length = before.length;
  utf8proc_int32_t state = 0;
  while (length < text.size()) {
    const auto next = utf8_step(text.substr(length));
    if (utf8proc_grapheme_break_stateful(static_cast<utf8proc_int32_t>(before.code_point),
                                         static_cast<utf8proc_int32_t>(next.code_point), &state))
      break;
    length += next.length;
    before = next;
  }
  return length;
}

}  // namespace

Result<Charsmap> Charsmap::parse(std::string_view bytes, const std::string& where) {
  if (bytes.size() > kMaxBytes)
    return fail(ErrorCode::unsupported, "{}: {} bytes, more than {}", where, bytes.size(), kMaxBytes);
  if (bytes.size() < 4) return fail(ErrorCode::format, "{}: too short", where);
  const std::size_t size = read_u32(bytes, 0);
  if (size % 4 != 0 || size > bytes.size() - 4 || size == 0)
    return fail(ErrorCode::format, "{}: its double array has {} bytes, but {} are there", where, size,
                bytes.size() - 4);
  Charsmap map;
  map.units_.reserve(size / 4);
  for (std::size_t at = 4; at < 4 + size; at += 4)
    map.units_.push_back(read_u32(bytes, at));
  map.replacements_ = bytes.substr(4 + size);
  if (find_invalid_utf8(map.replacements_) != std::string_view::npos)
    return fail(ErrorCode::format, "{}: its replacements are not UTF-8", where);
  return map;
}

/// Calls `found(length, place)` for every beginning of the text that the map has, the shortest first, until
/// it returns false.
template <class Found>
void Charsmap::find_prefixes(std::string_view text, const Found& found) const {
  std::size_t node = offset_of(units_[0]);
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<std::uint8_t>(text[i]);
    if (byte == 0) return;
    node ^= byte;
    if (node >= units_.size() || label_of(units_[node]) != byte) return;
    const std::uint32_t unit = units_[node];
    node ^= offset_of(unit);
    if (node >= units_.size()) return;
    if (has_leaf(unit) && !found(i + 1, units_[node] & 0x7FFFFFFFu)) return;
  }
}

std::optional<std::string_view> Charsmap::replacement_at(std::size_t place) const {
  if (place >= replacements_.size()) return std::nullopt;
  const auto rest = std::string_view(replacements_).substr(place);
  // A place in the middle of a character would not be text.
  if ((static_cast<std::uint8_t>(rest.front()) & 0xC0) == 0x80) return std::nullopt;
  return rest.substr(0, rest.find('\0'));
}

std::optional<std::string_view> Charsmap::replacement(std::string_view text) const {
  std::optional<std::string_view> result;
  find_prefixes(text, [&](std::size_t, std::size_t place) {
    result = replacement_at(place);
    return false;
  });
  return result;
}

std::optional<Charsmap::Prefix> Charsmap::longest_prefix(std::string_view text) const {
  std::optional<Prefix> result;
  find_prefixes(text.substr(0, kLongestPrefix), [&](std::size_t length, std::size_t place) {
    const auto replaced = replacement_at(place);
    const bool whole = length == text.size() || (static_cast<std::uint8_t>(text[length]) & 0xC0) != 0x80;
    if (replaced && whole) result = Prefix{*replaced, length};
    return true;
  });
  return result;
}

std::optional<std::string> Charsmap::apply(std::string_view text, std::size_t max_bytes) const {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    if (out.size() > max_bytes) return std::nullopt;
    const auto cluster = text.substr(0, cluster_length(text));
    const auto whole = cluster.size() < kLongestCluster ? replacement(cluster) : std::nullopt;
    if (whole) out += *whole;
    for (std::size_t at = 0; at < cluster.size() && !whole && out.size() <= max_bytes;) {
      const auto character = cluster.substr(at, utf8_step(cluster.substr(at)).length);
      out += replacement(character).value_or(character);
      at += character.size();
    }
    text.remove_prefix(cluster.size());
  }
  return out;
}

std::optional<std::string> decode_base64(std::string_view text) {
  const auto value = [](char c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
  };
  if (text.size() % 4 != 0) return std::nullopt;
  std::size_t padding = 0;
  while (padding < 2 && padding < text.size() && text[text.size() - 1 - padding] == '=')
    ++padding;
  std::string bytes;
  bytes.reserve(text.size() / 4 * 3);
  std::uint32_t bits = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const int digit = i + padding < text.size() ? value(text[i]) : 0;
    if (digit < 0) return std::nullopt;
    bits = (bits << 6) | static_cast<std::uint32_t>(digit);
    if (i % 4 != 3) continue;
    bytes += {static_cast<char>(bits >> 16), static_cast<char>(bits >> 8), static_cast<char>(bits)};
    bits = 0;
  }
  bytes.resize(bytes.size() - padding);
  return bytes;
}

}  // namespace expertscope
