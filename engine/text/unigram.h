// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <stop_token>
#include <string_view>
#include <vector>

#include "engine/text/token_model.h"
#include "engine/text/token_trie.h"

namespace expertscope {

/// The "model" of tokenizer.json of type Unigram (Kudo 2018, "Subword regularization", section 3.2): the
/// tokens whose scores (log-probabilities) add up to the largest sum. Characters without a token cost ten
/// more than the worst token; neighbours among them are one unk_token, or the tokens of their bytes with
/// byte_fallback.
class UnigramModel : public TokenModel {
 public:
  static Result<UnigramModel> parse(const JsonFields& fields, const std::stop_token& stop = {});

  /// A model without tokens, for add() and, once after the last, finish(). `unk_id` will be added. Sums are
  /// rounded to floats, as SentencePiece does: among ways of equal tokens the rounding decides.
  UnigramModel(std::int32_t unk_id, bool byte_fallback)
      : unk_id_(unk_id), byte_fallback_(byte_fallback), single_precision_(true) {}
  /// The token of the next id; one that is not `found` is in no text. False where it is there already.
  bool add(const std::string& token, double score, bool found);
  void finish();

  void encode(std::string_view word, std::vector<std::int32_t>& ids,
              std::uint64_t* steps = nullptr) const override;

 private:
  UnigramModel() = default;
  struct Node;
  Status parse_vocabulary(const JsonFields& fields, const std::stop_token& stop);
  Status parse_token(const JsonFields& fields, const Json& item, std::size_t id);
  Status parse_unknown(const JsonFields& fields);
  std::vector<Node> best_path(std::string_view word, std::uint64_t& steps) const;
  void append_unknown(std::string_view text, std::vector<std::int32_t>& ids) const;

  TokenTrie trie_;
  std::vector<double> scores_;  ///< by id
  std::vector<bool> hidden_;    ///< by id: tokens that are in no text
  double lowest_score_ = 0;     ///< of the others
  std::int32_t unk_id_ = -1;
  bool byte_fallback_ = false;
  bool single_precision_ = false;
  std::array<std::int32_t, 256> byte_ids_{};  ///< -1: no such token
};

}  // namespace expertscope
