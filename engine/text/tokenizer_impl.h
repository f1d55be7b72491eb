// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/text/added_vocabulary.h"
#include "engine/text/normalizer.h"
#include "engine/text/pre_tokenizer.h"
#include "engine/text/token_decoder.h"
#include "engine/text/token_model.h"
#include "engine/text/tokenizer.h"
#include "engine/text/tokenizer_parts.h"

namespace expertscope {

/// What a token id decodes to.
struct TokenText {
  std::string_view content;  ///< as tokenizer.json writes it: a key of `vocabulary` or `added_ids`
  std::string bytes;         ///< the raw bytes it stands for
  bool special = false;
  bool byte = false;  ///< one of the 256 that stand for a byte (byte_fallback)
  bool present = false;
};

/// The parts of a tokenizer.json. Immutable once parsed.
struct Tokenizer::Impl {
  std::unique_ptr<const Normalizer> normalizer;
  PreTokenizer pre_tokenizer;
  std::unique_ptr<const TokenModel> model;
  TokenDecoder decoder;
  AddedTokenFinder raw_tokens;         ///< found in the text as it is
  AddedTokenFinder normalized_tokens;  ///< found after normalisation
  std::size_t added_bytes = 0;         ///< of both
  std::vector<TokenText> tokens;       ///< by id
  StringIds added_ids;                 ///< added tokens by content
  std::vector<std::int32_t> prefix;    ///< what the post-processor puts before a sequence
  std::vector<std::int32_t> suffix;    ///< and after it

  std::vector<std::string> warnings;  ///< whole sentences

  /// Null where there is no such token.
  const TokenText* find_token(std::int32_t id) const;

  static Result<std::unique_ptr<Impl>> parse(const JsonFields& root, const DeclaredTokens& declared,
                                             const std::stop_token& stop);
  /// The same for parts of another format; `file` stands before the fields in errors.
  static Result<std::unique_ptr<Impl>> build(TokenizerParts parts, const std::string& file,
                                             const DeclaredTokens& declared, const std::stop_token& stop);

 private:
  Status parse_rest(const JsonFields& root, const DeclaredTokens& declared, const std::stop_token& stop);
  static Result<NumberedTokens> parse_added_tokens(const JsonFields& root, const std::stop_token& stop);
  Status add_tokens(const JsonFields& root, const DeclaredTokens& declared, const std::stop_token& stop);
  Status number_tokens(const JsonFields& root, const DeclaredTokens& declared, AddedVocabulary& added,
                       const std::stop_token& stop);
  Result<std::string> search_for(const AddedToken& token, const JsonFields& root, RegexScratch& scratch);
  void warn(std::string sentence);
  Status fill_tokens(const std::string& file, const std::stop_token& stop);
  Status parse_post_processor(const JsonFields& fields);
  Status parse_template(const JsonFields& fields);
  Status parse_template_step(const JsonFields& fields, const Json& step, bool& after_sequence);
  TokenText token_text(std::string_view content, bool special) const;
};

}  // namespace expertscope
