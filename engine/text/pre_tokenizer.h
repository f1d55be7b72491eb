// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/error.h"
#include "engine/formats/json_fields.h"
#include "engine/text/metaspace.h"
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

/// The "pre_tokenizer" of tokenizer.json: cuts text into the words that BPE merges within. Immutable.
class PreTokenizer {
 public:
  using WordSink = std::function<void(std::string_view word)>;

  /// For a byte-level vocabulary ByteLevel, or a Sequence of Split and Digits that ends in ByteLevel; for one
  /// of characters (`characters`) nothing, or Split and Digits, and Metaspace at the end. Others are refused
  /// by name.
  static Result<PreTokenizer> parse(const JsonFields& root, std::string_view key, bool characters);

  /// Calls `sink` with every word of a piece of text, as raw bytes (the byte alphabet is the vocabulary's
  /// affair). `begins_text`: the piece is what the text begins with. The words are only valid during the
  /// call.
  Status split(std::string_view text, bool begins_text, RegexScratch& scratch, const WordSink& sink) const;

 private:
  Status parse_step(const JsonFields& fields);
  Status parse_sequence(const JsonFields& fields);
  Status parse_byte_level(const JsonFields& fields);
  Status parse_metaspace(const JsonFields& fields);
  Status split_byte_level(std::string_view text, RegexScratch& scratch, const WordSink& sink) const;
  Status split_metaspace(std::string_view text, bool begins_text, RegexScratch& scratch,
                         const WordSink& sink) const;
  Status split_words(std::string_view text, RegexScratch& scratch, const WordSink& sink) const;

  std::vector<std::unique_ptr<const Splitter>> steps_;
  std::unique_ptr<const Splitter> words_;  ///< of the last step: the GPT-2 pattern, or at every metaspace
  std::string last_step_;                  ///< ByteLevel, Metaspace or none: what has no step after it
  Metaspace metaspace_;
  bool add_prefix_space_ = false;
};

}  // namespace expertscope
