// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace expertscope {

/// A set of characters, written so that PCRE2 matches one character of it.
class CharacterSet {
 public:
  CharacterSet() = default;
  /// `members` as they stand between [ and ].
  explicit CharacterSet(std::string members) : members_(std::move(members)) {}

  void add_range(char32_t first, char32_t last);
  void add(const CharacterSet& other);
  void intersect(const CharacterSet& other);
  void negate();
  bool empty() const { return members_.empty() && others_.empty() && !negated_; }
  std::string pattern() const;
  /// As they stand between [ and ], where the set has that form.
  const std::string& members() const { return members_; }

 private:
  std::string members_;
  std::vector<std::string> others_;  ///< patterns of one character that have no form between [ and ]
  bool negated_ = false;
};

/// \s of Oniguruma: White_Space.
CharacterSet white_space_set();
/// \w outside [...]: as inside, and the digits and fractions of Latin-1.
CharacterSet word_set();
/// \w inside [...]: Alphabetic, M, Nd and Pc.
CharacterSet word_set_in_class();

/// A property in braces as Oniguruma names it, in lower case without spaces, '-' and '_'.
struct Property {
  CharacterSet set;
  /// Its category's letter where ignoring case leads from one character of the set to another, 'L' for all
  /// letters; 0 for Lu and its like, scripts and other properties.
  char category = 0;
};
/// The general categories, scripts (by Script, not Script_Extensions) and Alphabetic, Uppercase, Lowercase
/// and White_Space. None for other names.
std::optional<Property> find_property(std::string_view name);
/// The class of a POSIX bracket [:name:]; none for unknown ones and those that have unassigned characters.
std::optional<CharacterSet> find_posix_class(std::string_view name);

}  // namespace expertscope
