// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace expertscope {

/// What stands at the start of some bytes.
struct Utf8Step {
  char32_t code_point = 0;  ///< U+FFFD when not valid
  std::size_t length = 0;   ///< bytes of the character, or of the maximal ill-formed part; 0 at the end
  bool valid = false;
  bool truncated = false;  ///< not valid only because the bytes end too early
};

/// Decodes the first character (Unicode 15, table 3-7; ill-formed bytes are cut as in its section 3.9).
Utf8Step utf8_step(std::string_view bytes);

/// Offset of the first byte that is not valid UTF-8, or npos.
std::size_t find_invalid_utf8(std::string_view bytes);

/// The same text with each maximal ill-formed part replaced by U+FFFD.
std::string utf8_lossy(std::string_view bytes);

void append_utf8(std::string& out, char32_t code_point);

/// Start of the last character of valid UTF-8 text; 0 for an empty text.
std::size_t last_character(std::string_view text);

// Character classes as the regex crate of Rust has them, which decides how added tokens are found.
bool is_white_space(char32_t c);     ///< \s: the property White_Space
bool is_word_character(char32_t c);  ///< \w: Alphabetic, M, Nd, Pc, Join_Control
bool is_numeric(char32_t c);         ///< Nd, Nl, No
bool is_punctuation(char32_t c);     ///< P, and what ASCII has beside it
bool is_mark(char32_t c);            ///< M
bool is_printable(char32_t c);       ///< as str.isprintable() of Python has it: not C, not Z but the space

}  // namespace expertscope
