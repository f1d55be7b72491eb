// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/text/tokenizer.h"

#include "engine/formats/mapped_file.h"
#include "engine/text/stopping.h"
#include "engine/text/tokenizer_impl.h"
#include "engine/text/utf8.h"

namespace expertscope {
namespace {

constexpr std::size_t kMaxTokenizerBytes = 128u << 20;

/// Ids of the words seen in one call of encode: texts repeat their words.
class WordCache {
 public:
  explicit WordCache(const TokenModel& model) : model_(model) {}

  /// False where the word, or a part that it may be cut into, is too long for the model; see longest_part().
  bool encode(std::string_view word, std::vector<std::int32_t>& ids) {
    while (model_.breaks_before_spaces() && word.size() > kSpace.size()) {
      const auto end = next_break(word);
      if (end == std::string_view::npos) break;
      if (!encode_part(word.substr(0, end), ids)) return false;
      word.remove_prefix(end);
    }
    return encode_part(word, ids);
  }
  /// Bytes of the part that was too long.
  std::size_t longest_part() const { return longest_part_; }

 private:
  static constexpr std::string_view kSpace = "\u2581";

  /// The first U+2581 behind something else.
  static std::size_t next_break(std::string_view word) {
    std::size_t at = 0;
    while (word.substr(at).starts_with(kSpace))
      at += kSpace.size();
    return at == word.size() ? std::string_view::npos : word.find(kSpace, at);
  }

  bool encode_part(std::string_view word, std::vector<std::int32_t>& ids) {
    if (word.size() > TokenModel::kLongestWord) {
      longest_part_ = word.size();
      return false;
    }
    if (word.size() > kLongestWord) {
      model_.encode(word, ids);
      return true;
    }
    auto it = words_.find(word);
    if (it == words_.end()) {
      const std::size_t begin = ids_.size();
      model_.encode(word, ids_);
      it = words_.emplace(std::string(word), Range{begin, ids_.size()}).first;
    }
    const auto first = ids_.begin();
    ids.insert(ids.end(), first + static_cast<std::ptrdiff_t>(it->second.begin),
               first + static_cast<std::ptrdiff_t>(it->second.end));
    return true;
  }

  static constexpr std::size_t kLongestWord = 128;
  struct Range {
    std::size_t begin;
    std::size_t end;
  };
  const TokenModel& model_;
  std::unordered_map<std::string, Range, StringHash, std::equal_to<>> words_;
  std::vector<std::int32_t> ids_;
  std::size_t longest_part_ = 0;
};

}  // namespace

Tokenizer::Tokenizer(std::unique_ptr<const Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::~Tokenizer() = default;

const TokenText* Tokenizer::Impl::find_token(std::int32_t id) const {
  if (id < 0 || static_cast<std::size_t>(id) >= tokens.size()) return nullptr;
  const TokenText& token = tokens[id];
  return token.present ? &token : nullptr;
}

Result<std::unique_ptr<Tokenizer>> Tokenizer::open(const std::filesystem::path& tokenizer_json,
                                                   const std::stop_token& stop) {
  return open(tokenizer_json, TokenizerConfig::read(tokenizer_json.parent_path(), stop), stop);
}

Result<std::unique_ptr<Tokenizer>> Tokenizer::open(const std::filesystem::path& tokenizer_json,
                                                   const TokenizerConfig& config,
                                                   const std::stop_token& stop) {
  const auto file = tokenizer_json.string();
  const bool is_json = tokenizer_json.extension() == ".json";
  const auto declared = DeclaredTokens::read(tokenizer_json.parent_path(), config, stop);
  if (auto ok = go_on(stop, file); !ok) return forward_error(ok);
  const auto text = read_file(tokenizer_json, kMaxTokenizerBytes);
  if (!text) return forward_error(text);
  if (is_json) return parse(*text, file, declared, stop);
  auto parts = looks_like_tiktoken(*text) ? read_tiktoken(*text, file, config, stop)
                                          : read_sentencepiece(*text, file, config, stop);
  if (!parts) return forward_error(parts);
  return finish(Impl::build(std::move(*parts), file, declared, stop), file, stop);
}

Result<std::unique_ptr<Tokenizer>> Tokenizer::parse(std::string_view json, const std::string& name) {
  return parse(json, name, {}, {});
}

Result<std::unique_ptr<Tokenizer>> Tokenizer::parse(std::string_view json, const std::string& name,
                                                    const DeclaredTokens& declared,
                                                    const std::stop_token& stop) {
  const auto document = parse_json(json, name, {.stop = stop});
  if (!document) return forward_error(document);
  return build(*document, name, declared, stop);
}

Result<std::unique_ptr<Tokenizer>> Tokenizer::parse(const Json& tokenizer_json, const std::string& name,
                                                    const std::stop_token& stop) {
  return build(tokenizer_json, name, {}, stop);
}

Result<std::unique_ptr<Tokenizer>> Tokenizer::build(const Json& document, const std::string& name,
                                                    const DeclaredTokens& declared,
                                                    const std::stop_token& stop) {
  const auto root = JsonFields::of(document, name);
  if (!root) return forward_error(root);
  return finish(Impl::parse(*root, declared, stop), name, stop);
}

Result<std::unique_ptr<Tokenizer>> Tokenizer::finish(Result<std::unique_ptr<Impl>> impl,
                                                     const std::string& name, const std::stop_token& stop) {
  if (!impl) return forward_error(impl);
  (*impl)->raw_tokens.link(stop);
  (*impl)->normalized_tokens.link(stop);
  if (auto ok = go_on(stop, name); !ok) return forward_error(ok);
  return std::unique_ptr<Tokenizer>(new Tokenizer(std::move(*impl)));
}

Result<std::vector<std::int32_t>> Tokenizer::encode(std::string_view text, bool add_special_tokens) const {
  const auto invalid = find_invalid_utf8(text);
  if (invalid != std::string_view::npos)
    return fail(ErrorCode::format, "the text is not valid UTF-8 at byte {}", invalid);
  std::vector<std::int32_t> ids;
  if (add_special_tokens) ids = impl_->prefix;
  WordCache cache(*impl_->model);
  RegexScratch scratch;
  bool fits = true;
  const PreTokenizer::WordSink sink = [&](std::string_view word) { fits = fits && cache.encode(word, ids); };

  // First the added tokens of the text as it is, then, in what lies between, those of the normalised text.
  for (const auto& piece : impl_->raw_tokens.find(text)) {
    if (piece.id >= 0) {
      ids.push_back(piece.id);
      continue;
    }
    Result<std::string> plain = std::string(text.substr(piece.begin, piece.end - piece.begin));
    if (impl_->normalizer) plain = impl_->normalizer->apply(std::move(*plain), scratch);
    if (!plain) return forward_error(plain);
    for (const auto& inner : impl_->normalized_tokens.find(*plain)) {
      const auto words = std::string_view(*plain).substr(inner.begin, inner.end - inner.begin);
      if (inner.id >= 0) ids.push_back(inner.id);
      if (inner.id >= 0) continue;
      const bool begins_text = piece.begin == 0 && inner.begin == 0;
      if (const auto ok = impl_->pre_tokenizer.split(words, begins_text, scratch, sink); !ok)
        return forward_error(ok);
      if (!fits)
        return fail(ErrorCode::unsupported,
                    "the tokenizer sees one word in {} bytes of the text, and a word has at most {}; break "
                    "the text up with spaces or line ends",
                    cache.longest_part(), TokenModel::kLongestWord);
    }
  }
  if (add_special_tokens) ids.insert(ids.end(), impl_->suffix.begin(), impl_->suffix.end());
  return ids;
}

std::span<const std::int32_t> Tokenizer::leading_ids() const {
  return impl_->prefix;
}

std::string Tokenizer::decode(std::span<const std::int32_t> ids, bool skip_special_tokens) const {
  std::string bytes;
  std::string run;  // of byte tokens
  const auto end_run = [&] {
    const bool valid = find_invalid_utf8(run) == std::string_view::npos;
    for (std::size_t i = 0; i < run.size(); ++i)
      bytes += valid ? run.substr(i, 1) : "\uFFFD";
    run.clear();
  };
  bool begins_text = impl_->decoder.is_other_at_begin();
  for (const auto id : ids) {
    const auto* token = impl_->find_token(id);
    if (token == nullptr || (skip_special_tokens && token->special)) continue;
    if (!token->byte) end_run();
    auto& text = token->byte ? run : bytes;
    text += begins_text ? impl_->decoder.bytes_of(token->content, true) : token->bytes;
    begins_text = false;
  }
  end_run();
  int left = impl_->decoder.strip_count();
  impl_->decoder.strip(bytes, left);
  return utf8_lossy(bytes);
}

std::string Tokenizer::token_bytes(std::int32_t id) const {
  const auto* token = impl_->find_token(id);
  return token == nullptr ? std::string() : token->bytes;
}

bool Tokenizer::is_special(std::int32_t id) const {
  const auto* token = impl_->find_token(id);
  return token != nullptr && token->special;
}

std::int32_t Tokenizer::find(std::string_view content) const {
  const auto it = impl_->added_ids.find(content);
  return it != impl_->added_ids.end() ? it->second : impl_->model->find(content);
}

std::int32_t Tokenizer::vocab_size() const {
  return static_cast<std::int32_t>(impl_->tokens.size());
}

const std::vector<std::string>& Tokenizer::warnings() const {
  return impl_->warnings;
}

StreamDecoder::StreamDecoder(const Tokenizer& tokenizer, bool skip_special_tokens)
    : tokenizer_(&tokenizer),
      skip_special_tokens_(skip_special_tokens),
      begins_text_(tokenizer.impl_->decoder.is_other_at_begin()),
      strip_left_(tokenizer.impl_->decoder.strip_count()) {}

std::string StreamDecoder::push(std::int32_t id) {
  const auto* token = tokenizer_->impl_->find_token(id);
  if (token == nullptr || (skip_special_tokens_ && token->special)) return {};
  pending_ += begins_text_ ? tokenizer_->impl_->decoder.bytes_of(token->content, true) : token->bytes;
  begins_text_ = false;
  std::size_t complete = 0;
  while (complete < pending_.size()) {
    const auto step = utf8_step(std::string_view(pending_).substr(complete));
    if (step.truncated) break;
    complete += step.length;
  }
  return take(complete);
}

std::string StreamDecoder::finish() {
  return take(pending_.size());
}

/// The text of the first `count` bytes held back.
std::string StreamDecoder::take(std::size_t count) {
  std::string text = utf8_lossy(std::string_view(pending_).substr(0, count));
  pending_.erase(0, count);
  tokenizer_->impl_->decoder.strip(text, strip_left_);
  return text;
}

}  // namespace expertscope
