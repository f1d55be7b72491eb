// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <array>
#include <cstdint>
#include <stop_token>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/error.h"
#include "engine/formats/json_fields.h"
#include "engine/text/byte_alphabet.h"
#include "engine/text/token_model.h"

namespace expertscope {

/// The "model" of tokenizer.json: byte-pair encoding (Sennrich et al. 2016) of bytes (byte-level; Radford et
/// al. 2019), or of characters, where with byte_fallback bytes stand in for those without a token (Kudo and
/// Richardson 2018).
class BpeModel : public TokenModel {
 public:
  /// `characters`: words are made of characters, also without byte_fallback. ErrorCode::cancelled when told
  /// to stop.
  static Result<BpeModel> parse(const JsonFields& root, std::string_view key,
                                const std::stop_token& stop = {}, bool characters = false);

  /// Bytes (characters) without a token become unk_token, or nothing where there is none, as in tokenizers.
  /// The steps are the pairs looked at: at most three a byte.
  void encode(std::string_view word, std::vector<std::int32_t>& ids,
              std::uint64_t* steps = nullptr) const override;

 private:
  struct Merge {
    std::int32_t rank = 0;
    std::int32_t id = 0;
  };
  struct Symbol;
  struct Candidate;

  Status parse_vocabulary(const JsonFields& fields, const std::stop_token& stop);
  Status parse_merges(const JsonFields& fields, const std::stop_token& stop);
  Status parse_merge(const JsonFields& fields, const Json& item, std::int32_t rank);
  Status refuse_unsupported(const JsonFields& fields) const;
  std::int32_t whole_word(std::string_view word) const;
  void append_symbols(std::string_view word, std::vector<Symbol>& symbols) const;
  void append_bytes(std::string_view word, std::vector<Symbol>& symbols) const;
  void append_characters(std::string_view word, std::vector<Symbol>& symbols) const;
  bool append_byte_tokens(std::string_view character, std::vector<Symbol>& symbols) const;
  const Merge* merge_of(std::int32_t left, std::int32_t right) const;

  std::unordered_map<std::uint64_t, Merge> merges_;
  ByteAlphabet alphabet_;
  std::array<std::int32_t, 256> byte_ids_{};  ///< -1: no such token
  std::int32_t unk_id_ = -1;
  bool fuse_unk_ = false;
  bool ignore_merges_ = false;
  bool byte_fallback_ = false;
  bool characters_ = false;
};

}  // namespace expertscope
