// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/error.h"

namespace expertscope {

/// SentencePiece's "precompiled_charsmap": which characters a text's characters become. A size (32 bits,
/// little endian), a double array of that many bytes (Aoe 1989, as in the library darts-clone) whose values
/// are places in what follows: replacements that end with a zero byte. Immutable.
class Charsmap {
 public:
  /// `where` names the file and the field in errors.
  static Result<Charsmap> parse(std::string_view bytes, const std::string& where);

  /// What `text` as a whole becomes; nothing where the map says nothing of it. As in the library tokenizers,
  /// it is enough that the map has a beginning of the text.
  std::optional<std::string_view> replacement(std::string_view text) const;

  /// The longest beginning of `text` that the map has, as SentencePiece looks for it.
  struct Prefix {
    std::string_view text;  ///< what it becomes
    std::size_t length;     ///< of the beginning, in bytes
  };
  std::optional<Prefix> longest_prefix(std::string_view text) const;

  /// The text with its grapheme clusters replaced, or, where the map does not have one, its characters;
  /// nothing where that has more than about `max_bytes`.
  std::optional<std::string> apply(std::string_view text, std::size_t max_bytes) const;

 private:
  template <class Found>
  void find_prefixes(std::string_view text, const Found& found) const;
  std::optional<std::string_view> replacement_at(std::size_t place) const;

  std::vector<std::uint32_t> units_;
  std::string replacements_;
};

/// Bytes of base64 text with padding; nothing where it is none.
std::optional<std::string> decode_base64(std::string_view text);

}  // namespace expertscope
