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
#include "engine/text/splitter.h"

namespace expertscope {

/// The "pre_tokenizer" of tokenizer.json: cuts text into the words that BPE merges within. Immutable.
class PreTokenizer {
 public:
  using WordSink = std::function<void(std::string_view word)>;

  /// Nothing, a step, or a Sequence of steps, of which ByteLevel and Metaspace are the last. Others are
  /// refused by name.
  static Result<PreTokenizer> parse(const JsonFields& root, std::string_view key);

  /// Whether the description has a ByteLevel step: the vocabulary is one of bytes.
  static bool is_byte_level(const JsonFields& root, std::string_view key);

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
