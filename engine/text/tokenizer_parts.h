// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "engine/error.h"
#include "engine/formats/json_fields.h"
#include "engine/text/added_tokens.h"
#include "engine/text/normalizer.h"
#include "engine/text/token_model.h"
#include "engine/text/tokenizer_config.h"

namespace expertscope {

/// What a tokenizer of another format than tokenizer.json is made of.
struct TokenizerParts {
  std::unique_ptr<const TokenModel> model;
  std::unique_ptr<const Normalizer> normalizer;  ///< null: texts stay as they are
  std::vector<AddedToken> pieces;  ///< found in the normalised text as they are, before the model splits it
  Json other;  ///< as in tokenizer.json: pre_tokenizer, decoder, added_tokens, post_processor
};

/// A model of SentencePiece (tokenizer.model, a protobuf ModelProto), of type BPE or UNIGRAM. Errors name the
/// file and the field.
Result<TokenizerParts> read_sentencepiece(std::string_view bytes, const std::string& file,
                                          const TokenizerConfig& config, const std::stop_token& stop);

/// Ranks of tiktoken: lines of a token in base64 and its rank. How texts are cut is not in the file: it is
/// that of the class in tokenizer_config.json, or its "pat_str"; an unknown class is refused by its name.
Result<TokenizerParts> read_tiktoken(std::string_view text, const std::string& file,
                                     const TokenizerConfig& config, const std::stop_token& stop);
/// Whether a file of the name tokenizer.model is one of tiktoken.
bool looks_like_tiktoken(std::string_view text);

/// "post_processor" that puts the token of this id before or after every text; null for none.
Json around_texts(std::int64_t first, std::int64_t last);

}  // namespace expertscope
