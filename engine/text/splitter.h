// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "engine/error.h"
#include "engine/formats/json_fields.h"
#include "engine/text/regex.h"

namespace expertscope {

/// A piece of text, by byte offsets.
struct Span {
  std::size_t begin = 0;
  std::size_t end = 0;
};

/// One step that cuts a piece of text into smaller ones.
class Splitter {
 public:
  virtual ~Splitter() = default;
  /// Appends the parts of `text` in order, with offsets into `text`; empty parts may be among them.
  virtual Status split(std::string_view text, RegexScratch& scratch, std::vector<Span>& parts) const = 0;
};

/// What happens to the matches of a Split; the names are those of tokenizer.json.
enum class SplitBehavior : std::uint8_t {
  isolated,
  removed,
  merged_with_previous,
  merged_with_next,
  contiguous,
};

/// Cuts at what `regex` matches or, with `invert`, at what it does not.
std::unique_ptr<const Splitter> split_at(Regex regex, SplitBehavior behavior, bool invert = false);

/// Split, Digits, Punctuation, Whitespace, WhitespaceSplit, CharDelimiterSplit; null for any other type.
Result<std::unique_ptr<const Splitter>> parse_splitter(const JsonFields& fields, std::string_view type);

}  // namespace expertscope
