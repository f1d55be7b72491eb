// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/error.h"
#include "engine/formats/json_fields.h"

namespace expertscope {

/// Lets a map with string keys be searched by string_view.
struct StringHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
};
using StringIds = std::unordered_map<std::string, std::int32_t, StringHash, std::equal_to<>>;

/// Largest id a vocabulary may have: tables are indexed by id.
inline constexpr std::int64_t kMaxTokenId = (1 << 22) - 1;
/// Twice what models have; opening takes some microseconds for each.
inline constexpr std::size_t kMaxTokens = 1u << 19;

/// The "model" of a tokenizer: which ids a word becomes. Immutable once parsed.
class TokenModel {
 public:
  virtual ~TokenModel() = default;

  /// BPE or Unigram; others are refused by name. `characters`: words and tokens are text as it is, not bytes
  /// in the letters of byte-level BPE. ErrorCode::cancelled when told to stop.
  static Result<std::unique_ptr<const TokenModel>> parse(const JsonFields& root, std::string_view key,
                                                         bool characters, const std::stop_token& stop);

  /// The most bytes that a word may have: a byte takes tens of bytes of memory while it is encoded.
  static constexpr std::size_t kLongestWord = std::size_t{2} << 20;

  /// Appends the ids of one word: raw bytes, or UTF-8 where tokens are characters. `steps`, where given, is
  /// increased by the work, which is in proportion to the word.
  virtual void encode(std::string_view word, std::vector<std::int32_t>& ids,
                      std::uint64_t* steps = nullptr) const = 0;

  /// Whether a word may be cut before every U+2581 that does not follow another one: no token reaches over
  /// such a place, so that the ids stay the same.
  bool breaks_before_spaces() const { return breaks_before_spaces_; }

  /// Tokens as the file writes them.
  const StringIds& vocabulary() const { return vocabulary_; }
  std::int32_t find(std::string_view content) const {
    const auto it = vocabulary_.find(content);
    return it == vocabulary_.end() ? -1 : it->second;
  }

 protected:
  /// For models of merges, once the vocabulary is there.
  void find_breaks();
  StringIds vocabulary_;

 private:
  bool breaks_before_spaces_ = false;
};

}  // namespace expertscope
