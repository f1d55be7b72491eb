// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "engine/error.h"
#include "engine/formats/json_fields.h"
#include "engine/text/added_tokens.h"

namespace expertscope {

/// Content and flags of a token as an object; its id is elsewhere.
Result<AddedToken> parse_added_token(const JsonFields& fields);

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
  /// the file and the field.
  static DeclaredTokens read(const std::filesystem::path& folder);

 private:
  /// All but added_tokens.json.
  static Result<DeclaredTokens> read_config(const std::filesystem::path& folder);
  void warn_unused(const char* name, const Error& why);
};

}  // namespace expertscope
