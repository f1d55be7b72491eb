// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/error.h"
#include "engine/formats/json_fields.h"
#include "engine/text/byte_alphabet.h"

namespace expertscope {

/// The "decoder" of tokenizer.json: which text tokens stand for. Immutable.
class TokenDecoder {
 public:
  /// For a byte-level vocabulary ByteLevel; for one of characters (`characters`) Replace and Metaspace,
  /// ByteFallback, Fuse and Strip, each where it is wanted, in this order. Others are refused by name.
  static Result<TokenDecoder> parse(const JsonFields& root, std::string_view key, bool characters);

  /// The bytes that a token stands for, never more than `content` has; those of the first token of a text may
  /// differ.
  std::string bytes_of(std::string_view content, bool begins_text = false) const;
  bool is_other_at_begin() const;
  /// Whether the token is one of the 256 that stand for a byte, such as <0x0A>.
  bool is_byte(std::string_view content) const;

  /// How many characters strip() takes from the beginning of a text at most.
  int strip_count() const { return strip_count_; }
  /// Takes them from the beginning of `text`, what comes next of a text; `left` is what may still be taken.
  void strip(std::string& text, int& left) const;

 private:
  /// One that is no longer than what it replaces.
  struct Replacement {
    std::string pattern;
    std::string content;
    std::string content_at_begin;  ///< in the first token of a text
  };
  Status parse_step(const JsonFields& fields);
  Status parse_sequence(const JsonFields& fields);
  Status parse_replace(const JsonFields& fields);
  Status parse_metaspace(const JsonFields& fields);
  Status parse_strip(const JsonFields& fields);
  std::string replaced(std::string_view content, bool begins_text) const;

  ByteAlphabet alphabet_;
  bool characters_ = false;
  std::vector<Replacement> replacements_;
  std::string last_step_;
  std::int32_t next_stage_ = 0;  ///< of the steps, while parsing
  bool byte_fallback_ = false;
  std::string strip_;
  int strip_count_ = 0;
};

}  // namespace expertscope
