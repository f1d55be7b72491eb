// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/error.h"

namespace expertscope::jinja {

enum class TokenKind : std::uint8_t {
  text,          ///< literal output
  output_begin,  ///< {{
  output_end,    ///< }}
  block_begin,   ///< {%
  block_end,     ///< %}
  name,
  string,  ///< unescaped
  integer,
  real,
  symbol,  ///< an operator or a bracket
  end,
};

struct Token {
  TokenKind kind = TokenKind::end;
  std::string text;
  int line = 1;
};

/// Cuts a template into tokens with the white-space rules that transformers uses for chat templates:
/// trim_blocks, lstrip_blocks, "-" in tags, and no newline at the end of the source.
Result<std::vector<Token>> tokenize(std::string_view source);

}  // namespace expertscope::jinja
