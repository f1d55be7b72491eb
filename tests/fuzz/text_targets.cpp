// SPDX-License-Identifier: GPL-3.0-or-later
// Tokenizers, chat templates and data sets.
#include <algorithm>
#include <array>

#include "engine/text/chat_template.h"
#include "engine/text/dataset.h"
#include "engine/text/regex.h"
#include "engine/text/tokenizer.h"
#include "engine/text/utf8.h"
#include "tests/fuzz/targets.h"

namespace expertscope::testing {
namespace {

bool is_utf8(std::string_view text) {
  return find_invalid_utf8(text) == std::string_view::npos;
}

/// Ids of a text, and the text again, at once and as a stream.
bool encode_and_decode(const Tokenizer& tokenizer, std::string_view text) {
  const auto ids = tokenizer.encode(text);
  ensure(!ids || is_utf8(text), "ids of what is no text");
  if (!opened(ids)) return false;
  StreamDecoder stream(tokenizer, false);
  std::string streamed;
  for (const std::int32_t id : *ids) {
    ensure(id >= 0 && id < tokenizer.vocab_size(), "an id outside the vocabulary");
    (void)tokenizer.is_special(id);
    streamed += stream.push(id);
    ensure(is_utf8(streamed), "a stream that is no text");
  }
  ensure(is_utf8(streamed + stream.finish()), "the end of a stream that is no text");
  ensure(is_utf8(tokenizer.decode(*ids)), "decoded to what is no text");
  ensure(is_utf8(tokenizer.decode(*ids, true)), "decoded to what is no text, without special tokens");
  return true;
}

/// Ids that the bytes of the input stand for, inside and outside the vocabulary.
void decode_anything(const Tokenizer& tokenizer, std::string_view input) {
  std::vector<std::int32_t> ids;
  StreamDecoder stream(tokenizer);
  std::string streamed;
  for (std::size_t i = 0; i + 1 < input.size(); i += 2) {
    ids.push_back(static_cast<std::int8_t>(input[i]) * 7 + static_cast<std::int8_t>(input[i + 1]));
    streamed += stream.push(ids.back());
  }
  ensure(is_utf8(streamed + stream.finish()) && is_utf8(tokenizer.decode(ids)), "decoded to what is no text");
}

}  // namespace

bool fuzz_tokenizer(std::string_view input) {
  const auto [json, text] = two_texts(input);
  const auto tokenizer = Tokenizer::parse(json, "tokenizer.json");
  if (!opened(tokenizer)) return false;
  for (const std::int32_t id : (*tokenizer)->leading_ids())
    (void)(*tokenizer)->token_bytes(id);
  decode_anything(**tokenizer, text);
  return encode_and_decode(**tokenizer, text);
}

bool fuzz_tokenizer_model(std::string_view input) {
  put_file("tokenizer_config.json", R"({"tokenizer_class": "TikTokenTokenizer"})");
  const auto tokenizer = Tokenizer::open(put_file("tokenizer.model", input));
  if (!opened(tokenizer)) return false;
  decode_anything(**tokenizer, input.substr(0, 1000));
  return encode_and_decode(**tokenizer, "The router  picks\t12 \u8def\u7531 e\u0301<|x|> \U0001f600");
}

bool fuzz_text(std::string_view input) {
  static const auto tokenizers = [] {
    std::vector<std::unique_ptr<Tokenizer>> all;
    for (const char* name : {"qwen2_like", "gpt2_like", "llama3_like", "bytes"}) {
      auto tokenizer = Tokenizer::open(std::string(EXPERTSCOPE_SOURCE_DIR "/tests/data/tokenizers/") + name +
                                       "/tokenizer.json");
      ensure(tokenizer.has_value(), "the test data are not there");
      all.push_back(std::move(*tokenizer));
    }
    return all;
  }();
  bool good = true;
  for (const auto& tokenizer : tokenizers) {
    good = encode_and_decode(*tokenizer, input) && good;
    decode_anything(*tokenizer, input);
  }
  return good;
}

bool fuzz_chat_template(std::string_view input) {
  const auto [source, message] = two_texts(input);
  const auto chat = ChatTemplate::open(source, "<s>", "</s>");
  if (!opened(chat)) return false;
  (void)opened((*chat)->render_json(message, "request"));
  (void)opened((*chat)->render({{"system", message}, {"user", "x"}, {"assistant", "<think>y</think>z"}}));
  return opened((*chat)->render({{"user", "x"}, {"assistant", message}, {"user", ""}}));
}

bool fuzz_dataset(std::string_view input) {
  bool good = true;
  for (const char* name : {"data.jsonl", "data.txt"}) {
    const auto data = Dataset::open(put_file(name, input));
    good = opened(data) && good;
    if (!data) continue;
    for (const auto& document : data->documents)
      ensure(is_utf8(document.text) && is_utf8(document.domain), "a document that is no text");
  }
  return good;
}

bool fuzz_pattern(std::string_view input) {
  const auto [pattern, text] = two_texts(input);
  const auto regex = Regex::compile(pattern, "tokenizer.json: pattern");
  if (!opened(regex)) return false;
  if (!is_utf8(text)) return true;
  RegexScratch scratch;
  const std::size_t size = text.size();
  std::size_t last = 0;
  return opened(regex->for_each_match(text, scratch, [&](std::size_t begin, std::size_t end) {
    ensure(begin >= last && end >= begin && end <= size, "matches that are not in order");
    last = end;
  }));
}

}  // namespace expertscope::testing
