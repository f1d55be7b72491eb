// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "engine/error.h"

namespace expertscope {

struct DeclaredTokens;
struct TokenizerConfig;

/// BPE, byte-level or of characters, or Unigram, as described by a Hugging Face tokenizer.json. Immutable;
/// safe to share between threads.
class Tokenizer {
 public:
  /// Reads the file and, as transformers does, the tokens that the files beside it declare: tokenizer.json, a
  /// model of SentencePiece or ranks of tiktoken (any name that does not end in .json). Errors name the file
  /// and the field that is missing, of the wrong type or not supported; ErrorCode::cancelled when told to
  /// stop.
  static Result<std::unique_ptr<Tokenizer>> open(const std::filesystem::path& tokenizer_json,
                                                 const std::stop_token& stop = {});
  /// The same where the tokenizer_config.json beside it has been read already.
  static Result<std::unique_ptr<Tokenizer>> open(const std::filesystem::path& tokenizer_json,
                                                 const TokenizerConfig& config, const std::stop_token& stop);
  /// The same from a document alone; `name` stands for the file in errors.
  static Result<std::unique_ptr<Tokenizer>> parse(const nlohmann::json& tokenizer_json,
                                                  const std::string& name, const std::stop_token& stop);
  /// The same from JSON text alone; `name` stands for the file in errors.
  static Result<std::unique_ptr<Tokenizer>> parse(std::string_view json, const std::string& name);
  ~Tokenizer();

  /// Token ids of UTF-8 text. Invalid UTF-8 is an error that gives the byte offset. `add_special_tokens`
  /// applies the post-processor (BOS, EOS) as transformers does by default; special tokens written in the
  /// text are recognised.
  Result<std::vector<std::int32_t>> encode(std::string_view text, bool add_special_tokens = true) const;

  /// What encode() puts before every text when it adds special tokens: BOS, for many models nothing.
  std::span<const std::int32_t> leading_ids() const;

  /// Text of a whole sequence; bytes that are not UTF-8 become U+FFFD, and with byte fallback all bytes that
  /// stand together with them, as in tokenizers.
  std::string decode(std::span<const std::int32_t> ids, bool skip_special_tokens = false) const;

  /// The bytes one token stands for (may be part of a UTF-8 character); empty for ids outside the vocabulary.
  std::string token_bytes(std::int32_t id) const;
  bool is_special(std::int32_t id) const;
  /// Id of a token by its literal content (added tokens included), or -1.
  std::int32_t find(std::string_view content) const;
  /// One more than the largest id.
  std::int32_t vocab_size() const;
  /// What in the files is not as it should be, and what was done about it; whole sentences.
  const std::vector<std::string>& warnings() const;

 private:
  friend class StreamDecoder;
  struct Impl;
  static Result<std::unique_ptr<Tokenizer>> parse(std::string_view json, const std::string& name,
                                                  const DeclaredTokens& declared,
                                                  const std::stop_token& stop);
  static Result<std::unique_ptr<Tokenizer>> build(const nlohmann::json& document, const std::string& name,
                                                  const DeclaredTokens& declared,
                                                  const std::stop_token& stop);
  static Result<std::unique_ptr<Tokenizer>> finish(Result<std::unique_ptr<Impl>> impl,
                                                   const std::string& name, const std::stop_token& stop);
  explicit Tokenizer(std::unique_ptr<const Impl> impl);
  std::unique_ptr<const Impl> impl_;
};

/// Turns a stream of tokens into text that is valid UTF-8 at every point: an unfinished character is held
/// back. Together it is what Tokenizer::decode gives, but for one thing: bytes of byte fallback that are
/// whole characters are shown at once, and stay when bytes follow that are none.
class StreamDecoder {
 public:
  explicit StreamDecoder(const Tokenizer& tokenizer, bool skip_special_tokens = true);
  /// Text that became complete with this token; may be empty.
  std::string push(std::int32_t id);
  /// What is left, unfinished bytes as U+FFFD.
  std::string finish();

 private:
  std::string take(std::size_t count);

  const Tokenizer* tokenizer_;
  bool skip_special_tokens_;
  bool begins_text_;
  int strip_left_;
  std::string pending_;
};

}  // namespace expertscope
