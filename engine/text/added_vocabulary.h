// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/text/added_tokens.h"
#include "engine/text/token_model.h"
#include "engine/text/tokenizer_config.h"

namespace expertscope {

/// The added tokens of a tokenizer with the ids that the tokenizers library gives them: a token of the
/// model's vocabulary keeps its id, every other gets the next free one in the order of coming, whatever a
/// file says.
class AddedVocabulary {
 public:
  explicit AddedVocabulary(const TokenModel& model);

  /// A token that is there already takes over the flags of the new one; it stays special if it was.
  void add(AddedToken token);
  /// What transformers adds to the tokens of tokenizer.json (by the ids it writes) when it opens a folder;
  /// unfinished when told to stop.
  void add(const DeclaredTokens& declared, const std::map<std::int64_t, AddedToken>& of_tokenizer_json,
           const std::stop_token& stop);

  /// In the order in which they came; `id` is the one that counts.
  const std::vector<AddedToken>& tokens() const { return tokens_; }
  /// Null where there is no such token.
  const AddedToken* find(std::string_view content) const;

 private:
  const TokenModel* model_;
  std::vector<AddedToken> tokens_;
  StringIds indices_;  ///< in `tokens_`, by content
  std::int32_t largest_ = -1;
};

/// Tokens with the ids that a file gives them, in its order.
using NumberedTokens = std::vector<std::pair<std::int64_t, AddedToken>>;

/// One sentence about ids of a file that are not those in force; empty where all are.
std::string renumbered_warning(const std::string& file, const NumberedTokens& declared,
                               const AddedVocabulary& tokens);

}  // namespace expertscope
