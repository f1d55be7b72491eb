// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "engine/error.h"
#include "engine/formats/json_fields.h"

namespace expertscope {

/// What a "Metaspace" of tokenizer.json, pre-tokenizer or decoder, says of spaces.
struct Metaspace {
  /// Which pieces of a text begin with one: none, the first of the text, all; but those that have one.
  enum class Prepend : std::uint8_t { never, first, always };

  std::string replacement;  ///< the one character that stands for a space
  Prepend prepend = Prepend::always;

  static Result<Metaspace> parse(const JsonFields& fields);
};

/// A text of one character; anything else is refused by its field.
Result<std::string> one_character(const JsonFields& fields, std::string_view key);

}  // namespace expertscope
