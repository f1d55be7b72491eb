// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include "engine/error.h"
#include "engine/formats/json_fields.h"
#include "engine/text/added_tokens.h"

namespace expertscope {

/// Content and flags of a token as an object; its id is elsewhere.
Result<AddedToken> parse_added_token(const JsonFields& fields);

/// tokenizer_config.json, read once for all that stands in it: an empty object where there is no such file.
struct TokenizerConfig {
  std::string file;
  Result<Json> document;

  static TokenizerConfig read(const std::filesystem::path& folder, const std::stop_token& stop = {});
};

/// The tokens that the files beside a tokenizer.json declare: tokenizer_config.json and, where that lists no
/// added tokens, special_tokens_map.json and added_tokens.json. As transformers 5.24 reads them.
struct DeclaredTokens {
  std::string file;                             ///< where `numbered` stands
  std::map<std::int64_t, AddedToken> numbered;  ///< added_tokens_decoder, or added_tokens.json
  bool lists_tokens = false;                    ///< there is an added_tokens_decoder
  std::vector<AddedToken> named;                ///< bos_token, eos_token, ..., then other keys *_token
  std::vector<AddedToken> extra;                ///< extra_special_tokens or additional_special_tokens
  std::vector<std::string> warnings;            ///< whole sentences: what is not as it should be

  /// The contents of the named tokens.
  std::set<std::string> names() const;

  /// Files that are not there declare nothing, nor do those that are not as they should be: a warning names
  /// the file and the field. Unfinished when told to stop.
  static DeclaredTokens read(const std::filesystem::path& folder, TokenizerConfig config,
                             const std::stop_token& stop);

 private:
  /// All but added_tokens.json.
  static Result<DeclaredTokens> read_config(const std::filesystem::path& folder, TokenizerConfig config,
                                            const std::stop_token& stop);
  void warn_unused(const char* name, const Error& why);
};

}  // namespace expertscope
