// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/text/gguf_tokenizer.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "engine/text/stopping.h"

namespace expertscope {
namespace {

constexpr const char* kModel = "tokenizer.ggml.model";
constexpr const char* kPre = "tokenizer.ggml.pre";
constexpr const char* kTokens = "tokenizer.ggml.tokens";
constexpr const char* kTypes = "tokenizer.ggml.token_type";
constexpr const char* kMerges = "tokenizer.ggml.merges";
constexpr std::int64_t kMaxTokenId = (1 << 22) - 1;

/// What llama.cpp calls the kinds of tokens (llama_token_type).
enum TokenType : std::int64_t { kNormal = 1, kControl = 3, kUser = 4, kUnused = 5 };

/// How texts are normalised and cut, by the name that the converter gives it; as in the tokenizer.json that
/// it stands for.
struct Rules {
  std::string_view name;
  const char* normalizer;
  const char* pattern;
};
constexpr std::array kRules = {
    Rules{"qwen2", "NFC",
          "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"
          "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"}};

Result<const Rules*> find_rules(const JsonFields& fields) {
  const auto model = fields.string(kModel);
  if (!model) return forward_error(model);
  if (*model != "gpt2")
    return fields.error(
        ErrorCode::unsupported, kModel,
        fmt::format("{} is not supported, only \"gpt2\" (byte-level BPE) is", json_excerpt(*model)));
  const auto pre = fields.string(kPre);
  if (!pre) return forward_error(pre);
  const auto* it =
      std::find_if(kRules.begin(), kRules.end(), [&](const Rules& rules) { return rules.name == *pre; });
  if (it == kRules.end())
    return fields.error(ErrorCode::unsupported, kPre,
                        fmt::format("{} is not supported, only \"qwen2\" is", json_excerpt(*pre)));
  return it;
}

Json added_token(std::size_t id, const std::string& content, bool special) {
  return {{"id", id},        {"content", content},  {"single_word", false}, {"lstrip", false},
          {"rstrip", false}, {"normalized", false}, {"special", special}};
}

/// Fills the vocabulary and the added tokens of `tokenizer`.
Status add_tokens(const JsonFields& fields, const std::stop_token& stop, Json& tokenizer) {
  const auto tokens = fields.array(kTokens);
  if (!tokens) return forward_error(tokens);
  const auto types = fields.integers(kTypes, 0, 255);
  if (!types) return forward_error(types);
  if (types->size() != (*tokens)->size())
    return fields.error(ErrorCode::mismatch, kTypes,
                        fmt::format("{} types, but {} tokens", types->size(), (*tokens)->size()));
  Json::object_t vocabulary;
  Json::array_t added;
  for (std::size_t id = 0; id < types->size(); ++id) {
    if (auto ok = go_on(stop, fields.file()); !ok) return ok;
    const Json& token = (**tokens)[id];
    if (!token.is_string())
      return fields.error(ErrorCode::format, kTokens, fmt::format("element {} is no string", id));
    const auto type = (*types)[id];
    if (type == kUnused) continue;  // fills the vocabulary up; the tokenizer has no such token
    const auto& content = token.get_ref<const std::string&>();
    if (!vocabulary.emplace(content, id).second)
      return fields.error(ErrorCode::format, kTokens, fmt::format("{} is there twice", json_excerpt(token)));
    if (type == kControl || type == kUser) added.push_back(added_token(id, content, type == kControl));
  }
  tokenizer["model"]["vocab"] = std::move(vocabulary);
  tokenizer["added_tokens"] = std::move(added);
  return {};
}

/// BOS and EOS around every text, where the file asks for them.
Status add_ends(const JsonFields& fields, Json& tokenizer) {
  struct End {
    const char* wanted;
    const char* id;
    bool first;
  };
  constexpr End kEnds[] = {{"tokenizer.ggml.add_bos_token", "tokenizer.ggml.bos_token_id", true},
                           {"tokenizer.ggml.add_eos_token", "tokenizer.ggml.eos_token_id", false}};
  Json::array_t single = {Json{{"Sequence", {{"id", "A"}}}}};
  Json special = Json::object();
  for (const End& end : kEnds) {
    const auto wanted = fields.boolean_or(end.wanted, false);
    if (!wanted) return forward_error(wanted);
    if (!*wanted) continue;
    const auto id = fields.integer(end.id, 0, kMaxTokenId);
    if (!id) return forward_error(id);
    special[end.id] = {{"ids", {*id}}};
    single.insert(end.first ? single.begin() : single.end(), Json{{"SpecialToken", {{"id", end.id}}}});
  }
  if (!special.empty())
    tokenizer["post_processor"] = {{"type", "TemplateProcessing"},
                                   {"single", std::move(single)},
                                   {"special_tokens", std::move(special)}};
  return {};
}

}  // namespace

Result<Json> gguf_tokenizer(const Json& metadata, const std::string& file, const std::stop_token& stop) {
  const auto fields = JsonFields::of(metadata, file);
  if (!fields) return forward_error(fields);
  const auto rules = find_rules(*fields);
  if (!rules) return forward_error(rules);
  const auto merges = fields->array(kMerges);
  if (!merges) return forward_error(merges);
  Json tokenizer;
  tokenizer["normalizer"] = {{"type", (*rules)->normalizer}};
  const Json split = {{"type", "Split"},
                      {"pattern", {{"Regex", (*rules)->pattern}}},
                      {"behavior", "Isolated"},
                      {"invert", false}};
  const Json bytes = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}};
  tokenizer["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", Json::array({split, bytes})}};
  tokenizer["decoder"] = {{"type", "ByteLevel"}};
  tokenizer["model"] = {{"type", "BPE"}, {"merges", **merges}};
  Status ok = add_tokens(*fields, stop, tokenizer);
  if (ok) ok = add_ends(*fields, tokenizer);
  if (!ok) return forward_error(ok);
  return tokenizer;
}

std::string gguf_token(const Json& metadata, const char* key) {
  const auto id = metadata.find(key);
  const auto tokens = metadata.find(kTokens);
  if (id == metadata.end() || !id->is_number_unsigned() || tokens == metadata.end() || !tokens->is_array())
    return {};
  const auto index = id->get<std::uint64_t>();
  if (index >= tokens->size() || !(*tokens)[index].is_string()) return {};
  return (*tokens)[index].get<std::string>();
}

}  // namespace expertscope
