// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "engine/error.h"
#include "engine/text/regex_sets.h"

namespace expertscope {

/// Most bytes that a pattern may have as PCRE2 gets it: an escape of two bytes can stand for kilobytes.
inline constexpr std::size_t kMaxTranslation = 1u << 20;

/// A place in a pattern of Oniguruma's syntax. Copies are bookmarks.
class PatternReader {
 public:
  /// Both must outlive the reader; `pattern` is valid UTF-8.
  PatternReader(std::string_view pattern, const std::string& where) : pattern_(pattern), where_(&where) {}

  bool at_end() const { return at_ == pattern_.size(); }
  /// The next byte, or the one `ahead` of it; 0 at the end.
  char peek(std::size_t ahead = 0) const {
    return at_ + ahead < pattern_.size() ? pattern_[at_ + ahead] : '\0';
  }
  bool starts_with(std::string_view text) const { return pattern_.substr(at_).starts_with(text); }
  /// Whether `c` comes after the next byte.
  bool has_later(char c) const { return pattern_.find(c, at_ + 1) != std::string_view::npos; }
  bool take(std::string_view text);
  char byte() { return pattern_[at_++]; }
  char32_t character();
  /// Decimal digits, or none.
  std::optional<std::size_t> number();
  /// Up to `limit` hexadecimal digits.
  std::string_view hex_digits(std::size_t limit);
  tl::unexpected<Error> refuse(std::string_view what) const;

 private:
  std::string_view pattern_;
  const std::string* where_;
  std::size_t at_ = 0;
};

/// What \s, \D, \p{L} and their like stand for; none where the reader stands at no such escape. `in_class`:
/// between [ and ], where \w has less.
Result<std::optional<Property>> read_set_escape(PatternReader& in, bool in_class);
/// \t, \x41, \u0041, \. and other escapes of one character.
Result<char32_t> read_character_escape(PatternReader& in);
/// first .. last with what Oniguruma takes for the same when case is ignored. Refused: characters other than
/// ASCII that have a case, some of which stand for two.
Result<CharacterSet> with_other_case(const PatternReader& in, char32_t first, char32_t last);
/// [...], with classes inside, POSIX brackets and &&.
Result<CharacterSet> read_class(PatternReader& in, bool ignore_case);

}  // namespace expertscope
