// SPDX-License-Identifier: GPL-3.0-or-later
#include <algorithm>

#include "engine/text/added_vocabulary.h"
#include "engine/text/stopping.h"
#include "engine/text/tokenizer_impl.h"

namespace expertscope {
namespace {

/// What the post-processor may put around every text; models have one or two.
constexpr std::size_t kMaxTemplateTokens = 1024;
/// What is searched for added tokens takes tens of bytes of memory a byte; models have a few hundred KiB at
/// most.
constexpr std::size_t kMaxAddedBytes = 2u << 20;
/// Models that speak or paint have tens of thousands.
constexpr std::size_t kMaxAddedTokens = 1u << 17;

/// The entry of a list with the id that the file gives it.
Result<std::pair<std::int64_t, AddedToken>> parse_numbered_token(const JsonFields& fields) {
  const auto id = fields.integer("id", 0, kMaxTokenId);
  if (!id) return forward_error(id);
  auto token = parse_added_token(fields);
  if (!token) return forward_error(token);
  return std::pair{*id, std::move(*token)};
}

tl::unexpected<Error> too_many_template_tokens(const JsonFields& fields) {
  return fields.error(ErrorCode::unsupported, "single",
                      fmt::format("the template adds more than {} tokens", kMaxTemplateTokens));
}

}  // namespace

/// What the token is searched as.
Result<std::string> Tokenizer::Impl::search_for(const AddedToken& token, const JsonFields& root,
                                                RegexScratch& scratch) {
  const bool rewritten = token.normalized && normalizer;
  auto content = rewritten ? normalizer->apply(token.content, scratch) : Result<std::string>(token.content);
  if (!content) return forward_error(content);
  added_bytes += content->size();
  if (added_bytes > kMaxAddedBytes)
    return root.error(ErrorCode::unsupported, "added_tokens",
                      fmt::format("the added tokens take more than {} bytes", kMaxAddedBytes));
  (token.normalized ? normalized_tokens : raw_tokens).add(token, *content);
  return content;
}

Result<NumberedTokens> Tokenizer::Impl::parse_added_tokens(const JsonFields& root,
                                                           const std::stop_token& stop) {
  NumberedTokens added;
  if (!root.has("added_tokens")) return added;
  const auto list = root.array("added_tokens");
  if (!list) return forward_error(list);
  for (const Json& item : **list) {
    if (auto ok = go_on(stop, root.file()); !ok) return forward_error(ok);
    const auto fields = JsonFields::of(item, root.file(), fmt::format("added_tokens[{}]", added.size()));
    if (!fields) return forward_error(fields);
    auto token = parse_numbered_token(*fields);
    if (!token) return forward_error(token);
    added.push_back(std::move(*token));
  }
  return added;
}

void Tokenizer::Impl::warn(std::string sentence) {
  if (!sentence.empty()) warnings.push_back(std::move(sentence));
}

/// Gives the added tokens of all files their ids.
Status Tokenizer::Impl::number_tokens(const JsonFields& root, const DeclaredTokens& declared,
                                      AddedVocabulary& added, const std::stop_token& stop) {
  const auto listed = parse_added_tokens(root, stop);
  if (!listed) return forward_error(listed);
  if (listed->size() + declared.numbered.size() > kMaxAddedTokens)
    return root.error(ErrorCode::unsupported, "added_tokens",
                      fmt::format("more than {} added tokens, with those of {}", kMaxAddedTokens,
                                  declared.file.empty() ? "other files" : declared.file));
  std::string twice;
  for (const auto& [id, token] : *listed) {
    if (auto ok = go_on(stop, root.file()); !ok) return ok;
    if (twice.empty() && added.find(token.content) != nullptr)
      twice = fmt::format("{}: added_tokens: {} is there twice; the last one counts.", root.file(),
                          json_excerpt(token.content));
    added.add(token);
  }
  added.add(declared, {listed->rbegin(), listed->rend()}, stop);  // the last of an id counts
  warn(std::move(twice));
  warn(renumbered_warning(root.file(), *listed, added));
  warn(renumbered_warning(declared.file, {declared.numbered.begin(), declared.numbered.end()}, added));
  for (const auto& sentence : declared.warnings)
    warn(sentence);
  return go_on(stop, root.file());
}

Status Tokenizer::Impl::add_tokens(const JsonFields& root, const DeclaredTokens& declared,
                                   const std::stop_token& stop) {
  AddedVocabulary added(*model);
  if (auto ok = number_tokens(root, declared, added, stop); !ok) return ok;
  if (auto ok = fill_tokens(root.file(), stop); !ok) return ok;
  RegexScratch scratch;
  std::string shared;
  std::size_t shared_ids = 0;
  for (const auto& token : added.tokens()) {
    if (auto ok = go_on(stop, root.file()); !ok) return ok;
    const auto searched = search_for(token, root, scratch);
    if (!searched) return forward_error(searched);
    const auto& content = added_ids.emplace(token.content, token.id).first->first;
    const auto index = static_cast<std::size_t>(token.id);
    if (index >= tokens.size()) tokens.resize(index + 1);
    auto& text = tokens[index];
    if (text.present && text.content != token.content && shared_ids++ == 0)
      shared = fmt::format("{}: id {} is both {} and {}", root.file(), token.id,
                           json_excerpt(std::string(text.content)), json_excerpt(token.content));
    // As in tokenizers, a token is decoded to what it is searched as; that is special only where it is the
    // same.
    text = token_text(*searched, token.special && *searched == token.content);
    text.content = content;
  }
  if (shared_ids > 1) shared += fmt::format(" and {} more are such", shared_ids - 1);
  if (shared_ids > 0) warn(shared + ", as in transformers.");
  return {};
}

TokenText Tokenizer::Impl::token_text(std::string_view content, bool special) const {
  return {content, decoder.bytes_of(content), special, decoder.is_byte(content), true};
}

Status Tokenizer::Impl::fill_tokens(const std::string& file, const std::stop_token& stop) {
  std::int32_t largest = -1;
  for (const auto& [content, id] : model->vocabulary())
    largest = std::max(largest, id);
  tokens.resize(static_cast<std::size_t>(largest + 1));
  for (const auto& [content, id] : model->vocabulary()) {
    if (auto ok = go_on(stop, file); !ok) return ok;
    auto& text = tokens[id];
    if (text.present)
      return fail(ErrorCode::format, "{}: two vocabulary entries have id {}: {} and {}", file, id,
                  json_excerpt(std::string(text.content)), json_excerpt(content));
    text = token_text(content, false);
  }
  return {};
}

Status Tokenizer::Impl::parse_template_step(const JsonFields& fields, const Json& step,
                                            bool& after_sequence) {
  const auto entry = JsonFields::of(step, fields.file(), fields.path_of("single"));
  if (!entry) return forward_error(entry);
  if (entry->has("Sequence")) {
    if (after_sequence)
      return fields.error(ErrorCode::unsupported, "single", "two sequences in one template");
    after_sequence = true;
    return {};
  }
  const auto token = entry->object("SpecialToken");
  if (!token) return forward_error(token);
  const auto name = token->string("id");
  if (!name) return forward_error(name);
  const auto specials = fields.object("special_tokens");
  if (!specials) return forward_error(specials);
  const auto special = specials->object(*name);
  if (!special) return forward_error(special);
  const auto ids = special->integers("ids", 0, kMaxTokenId);
  if (!ids) return forward_error(ids);
  if (prefix.size() + suffix.size() + ids->size() > kMaxTemplateTokens)
    return too_many_template_tokens(fields);
  auto& side = after_sequence ? suffix : prefix;
  for (const auto id : *ids) {
    if (const auto at = static_cast<std::size_t>(id); at >= tokens.size() || !tokens[at].present)
      return special->error(ErrorCode::format, "ids", fmt::format("{} is not in the vocabulary", id));
    side.push_back(static_cast<std::int32_t>(id));
  }
  return {};
}

Status Tokenizer::Impl::parse_template(const JsonFields& fields) {
  const auto single = fields.array("single");
  if (!single) return forward_error(single);
  bool after_sequence = false;
  std::vector<std::int32_t> outer_suffix = std::move(suffix);
  std::vector<std::int32_t> outer_prefix = std::move(prefix);
  suffix.clear();
  prefix.clear();
  for (const Json& step : **single)
    if (auto ok = parse_template_step(fields, step, after_sequence); !ok) return ok;
  if (!after_sequence) return fields.error(ErrorCode::unsupported, "single", "the template drops the text");
  if (prefix.size() + suffix.size() + outer_prefix.size() + outer_suffix.size() > kMaxTemplateTokens)
    return too_many_template_tokens(fields);
  prefix.insert(prefix.end(), outer_prefix.begin(), outer_prefix.end());
  suffix.insert(suffix.begin(), outer_suffix.begin(), outer_suffix.end());
  return {};
}

Status Tokenizer::Impl::parse_post_processor(const JsonFields& fields) {
  const auto type = fields.string("type");
  if (!type) return forward_error(type);
  if (*type == "ByteLevel") return {};  // trims offsets, which ids do not have
  if (*type == "TemplateProcessing") return parse_template(fields);
  if (*type != "Sequence")
    return fields.error(ErrorCode::unsupported, "type",
                        fmt::format("the post-processor \"{}\" is not supported", *type));
  const auto list = fields.array("processors");
  if (!list) return forward_error(list);
  for (const Json& item : **list) {
    const auto entry = JsonFields::of(item, fields.file(), fields.path_of("processors"));
    if (!entry) return forward_error(entry);
    if (auto ok = parse_post_processor(*entry); !ok) return ok;
  }
  return {};
}

Result<std::unique_ptr<Tokenizer::Impl>> Tokenizer::Impl::parse(const JsonFields& root,
                                                                const DeclaredTokens& declared,
                                                                const std::stop_token& stop) {
  auto impl = std::make_unique<Impl>();
  const bool characters = !PreTokenizer::is_byte_level(root, "pre_tokenizer");
  auto model = TokenModel::parse(root, "model", characters, stop);
  if (!model) return forward_error(model);
  impl->model = std::move(*model);
  auto normalizer = Normalizer::parse(root, "normalizer");
  if (!normalizer) return forward_error(normalizer);
  impl->normalizer = std::move(*normalizer);
  if (auto ok = impl->parse_rest(root, declared, stop); !ok) return forward_error(ok);
  return impl;
}

Result<std::unique_ptr<Tokenizer::Impl>> Tokenizer::Impl::build(TokenizerParts parts, const std::string& file,
                                                                const DeclaredTokens& declared,
                                                                const std::stop_token& stop) {
  const auto root = JsonFields::of(parts.other, file);
  if (!root) return forward_error(root);
  auto impl = std::make_unique<Impl>();
  impl->model = std::move(parts.model);
  impl->normalizer = std::move(parts.normalizer);
  for (const auto& piece : parts.pieces)
    impl->normalized_tokens.add(piece, piece.content);
  if (auto ok = impl->parse_rest(*root, declared, stop); !ok) return forward_error(ok);
  return impl;
}

/// All but model and normaliser.
Status Tokenizer::Impl::parse_rest(const JsonFields& root, const DeclaredTokens& declared,
                                   const std::stop_token& stop) {
  auto parsed = PreTokenizer::parse(root, "pre_tokenizer");
  if (!parsed) return forward_error(parsed);
  pre_tokenizer = std::move(*parsed);
  const bool characters = !PreTokenizer::is_byte_level(root, "pre_tokenizer");
  auto parsed_decoder = TokenDecoder::parse(root, "decoder", characters);
  if (!parsed_decoder) return forward_error(parsed_decoder);
  decoder = std::move(*parsed_decoder);
  if (auto ok = add_tokens(root, declared, stop); !ok) return ok;
  if (!root.has("post_processor")) return {};
  const auto post_processor = root.object("post_processor");
  if (!post_processor) return forward_error(post_processor);
  return parse_post_processor(*post_processor);
}

}  // namespace expertscope
