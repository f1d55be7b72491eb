// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <span>
#include <string_view>

namespace expertscope {

/// The version of Unicode that the classes of characters follow, in patterns and around added tokens.
inline constexpr std::string_view kUnicodeOfClasses = "16.0.0";

/// Characters of Unicode 16 (which the engine of tokenizers 0.23 has) that PCRE2 and utf8proc of Debian 12
/// (Unicode 14) know nothing of.
struct UnicodeAddition {
  /// A category ("Lu"), "Alphabetic", "Uppercase", "Lowercase", or a script ("han": lower case, no
  /// separators). With a '-' before it the characters are in that set no longer.
  std::string_view set;
  char32_t first;
  char32_t last;
};

/// Sets in no order that matters; the ranges of one set stand together and ascend.
std::span<const UnicodeAddition> unicode_additions();

}  // namespace expertscope
