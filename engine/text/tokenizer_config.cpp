// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/text/tokenizer_config.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "engine/formats/mapped_file.h"
#include "engine/text/stopping.h"

namespace expertscope {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxConfigBytes = 16u << 20;
constexpr std::array kNamed = {"bos_token", "eos_token", "unk_token", "sep_token",
                               "pad_token", "cls_token", "mask_token"};

/// The document of a file, an empty object where there is no such file.
Result<Json> read_object(const fs::path& file, const std::stop_token& stop) {
  // Where it cannot be known, reading says why.
  if (const auto there = is_there(file); there && !*there) return Json::object();
  auto document = read_json_file(file, kMaxConfigBytes, {.dialect = JsonDialect::python, .stop = stop});
  if (!document) return forward_error(document);
  if (const auto object = JsonFields::of(*document, file.string()); !object) return forward_error(object);
  return document;
}

Result<std::int64_t> parse_id(const JsonFields& fields, const std::string& text) {
  std::int64_t id = 0;
  const char* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, id);
  if (parsed.ec != std::errc{} || parsed.ptr != end)
    return fields.error(ErrorCode::format, text, "expected a token id as the key");
  return id;
}

/// A special token as a string or as an object; `value` is not null.
Result<AddedToken> parse_special(const JsonFields& fields, const std::string& key, const Json& value) {
  AddedToken token;
  token.special = true;
  if (value.is_string()) {
    token.content = value.get<std::string>();
    return token;
  }
  const auto object = JsonFields::of(value, fields.file(), fields.path_of(key));
  if (!object)
    return fields.error(ErrorCode::format, key,
                        fmt::format("expected a string or an object, found {}", json_excerpt(value)));
  auto parsed = parse_added_token(*object);
  if (parsed) parsed->special = true;
  return parsed;
}

Status add_special(const JsonFields& fields, const std::string& key, std::vector<AddedToken>& tokens) {
  if (!fields.has(key)) return {};
  auto token = parse_special(fields, key, fields.json()[key]);
  if (!token) return forward_error(token);
  if (!token->content.empty()) tokens.push_back(std::move(*token));
  return {};
}

/// Keys of a model's own: "image_token".
Status add_own_names(const JsonFields& fields, std::vector<AddedToken>& tokens, const std::stop_token& stop) {
  for (const auto& item : fields.json().items()) {
    if (auto ok = go_on(stop, fields.file()); !ok) return ok;
    const std::string& key = item.key();
    const bool usual = std::find(kNamed.begin(), kNamed.end(), key) != kNamed.end();
    const bool object = item.value().is_object() && item.value().contains("__type");
    if (usual || !key.ends_with("_token") || !(item.value().is_string() || object)) continue;
    if (auto ok = add_special(fields, key, tokens); !ok) return ok;
  }
  return {};
}

Status add_extra(const JsonFields& fields, const char* key, DeclaredTokens& declared,
                 const std::stop_token& stop) {
  if (!fields.has(key)) return {};
  const Json& value = fields.json()[key];
  if (value.is_object()) {  // names of its own with their tokens
    for (const auto& item : value.items()) {
      if (auto ok = go_on(stop, fields.file()); !ok) return ok;
      auto token = parse_special(fields, key, item.value());
      if (!token) return forward_error(token);
      declared.named.push_back(std::move(*token));
    }
    return {};
  }
  const auto list = fields.array(key);
  if (!list) return forward_error(list);
  for (const Json& item : **list) {
    if (auto ok = go_on(stop, fields.file()); !ok) return ok;
    auto token = parse_special(fields, key, item);
    if (!token) return forward_error(token);
    declared.extra.push_back(std::move(*token));
  }
  return {};
}

Status read_special(const JsonFields& fields, DeclaredTokens& declared, const std::stop_token& stop) {
  for (const char* key : kNamed)
    if (auto ok = add_special(fields, key, declared.named); !ok) return ok;
  if (auto ok = add_own_names(fields, declared.named, stop); !ok) return ok;
  const char* key = "extra_special_tokens";
  if (!fields.has(key) || fields.json()[key].empty()) key = "additional_special_tokens";
  return add_extra(fields, key, declared, stop);
}

Status read_decoder(const JsonFields& fields, DeclaredTokens& declared, const std::stop_token& stop) {
  const auto decoder = fields.object("added_tokens_decoder");
  if (!decoder) return forward_error(decoder);
  for (const auto& item : decoder->json().items()) {
    if (auto ok = go_on(stop, fields.file()); !ok) return ok;
    const auto id = parse_id(*decoder, item.key());
    if (!id) return forward_error(id);
    const auto object = JsonFields::of(item.value(), fields.file(), decoder->path_of(item.key()));
    if (!object) return forward_error(object);
    auto token = parse_added_token(*object);
    if (!token) return forward_error(token);
    declared.numbered.insert_or_assign(*id, std::move(*token));
  }
  return {};
}

/// special_tokens_map.json, whole or not at all.
Result<Json> read_special_map(const fs::path& file, const std::stop_token& stop) {
  auto map = read_object(file, stop);
  if (!map) return map;
  const auto fields = JsonFields::of(*map, file.string());
  if (!fields) return forward_error(fields);
  DeclaredTokens trial;
  if (const auto ok = read_special(*fields, trial, stop); !ok) return forward_error(ok);
  return map;
}

/// added_tokens.json: {"content": id}.
Status read_added_tokens(const JsonFields& fields, DeclaredTokens& declared, const std::stop_token& stop) {
  auto special = declared.names();
  for (const auto& token : declared.extra)
    special.insert(token.content);
  for (const std::string& content : fields.keys()) {
    if (auto ok = go_on(stop, fields.file()); !ok) return ok;
    const auto id = fields.integer(content, 0, INT32_MAX);
    if (!id) return forward_error(id);
    AddedToken token;
    token.content = content;
    token.special = special.contains(content);
    token.normalized = !token.special;
    declared.numbered.insert_or_assign(*id, std::move(token));
  }
  return {};
}

}  // namespace

Result<AddedToken> parse_added_token(const JsonFields& fields) {
  AddedToken token;
  auto content = fields.string("content");
  if (!content) return forward_error(content);
  token.content = std::move(*content);
  const auto special = fields.boolean_or("special", false);
  if (!special) return forward_error(special);
  token.special = *special;
  const std::array<std::pair<const char*, bool*>, 4> flags = {{{"single_word", &token.single_word},
                                                               {"lstrip", &token.lstrip},
                                                               {"rstrip", &token.rstrip},
                                                               {"normalized", &token.normalized}}};
  for (const auto& [key, value] : flags) {
    const auto flag = fields.boolean_or(key, value == &token.normalized && !token.special);
    if (!flag) return forward_error(flag);
    *value = *flag;
  }
  return token;
}

std::set<std::string> DeclaredTokens::names() const {
  std::set<std::string> contents;
  for (const auto& token : named)
    contents.insert(token.content);
  return contents;
}

TokenizerConfig TokenizerConfig::read(const fs::path& folder, const std::stop_token& stop) {
  const auto file = folder / "tokenizer_config.json";
  return {file.string(), read_object(file, stop)};
}

Result<DeclaredTokens> DeclaredTokens::read_config(const fs::path& folder, TokenizerConfig read,
                                                   const std::stop_token& stop) {
  DeclaredTokens declared;
  declared.file = read.file;
  auto& config = read.document;
  if (!config) return forward_error(config);
  declared.lists_tokens =
      config->contains("added_tokens_decoder") && !(*config)["added_tokens_decoder"].is_null();
  if (!declared.lists_tokens) {
    const auto map = read_special_map(folder / "special_tokens_map.json", stop);
    if (!map) declared.warn_unused("special_tokens_map.json", map.error());
    if (map) config->update(*map);
  }
  const auto fields = JsonFields::of(*config, declared.file);
  if (!fields) return forward_error(fields);
  if (const auto ok = read_special(*fields, declared, stop); !ok) return forward_error(ok);
  if (fields->json().value("split_special_tokens", Json()) == true)
    declared.warnings.push_back(fmt::format(
        "{}: split_special_tokens is not followed: special tokens are found in every text.", declared.file));
  if (!declared.lists_tokens) return declared;
  if (const auto ok = read_decoder(*fields, declared, stop); !ok) return forward_error(ok);
  return declared;
}

void DeclaredTokens::warn_unused(const char* name, const Error& why) {
  warnings.push_back(fmt::format("The tokens of {} are not used: {}", name, why.message));
}

DeclaredTokens DeclaredTokens::read(const fs::path& folder, TokenizerConfig read,
                                    const std::stop_token& stop) {
  auto config = read_config(folder, std::move(read), stop);
  if (!config) {
    DeclaredTokens none;
    none.warn_unused("tokenizer_config.json", config.error());
    return none;
  }
  if (config->lists_tokens) return std::move(*config);
  const auto file = folder / "added_tokens.json";
  const auto added = read_object(file, stop);
  Status ok = added ? Status() : forward_error(added);
  if (ok) ok = read_added_tokens(*JsonFields::of(*added, file.string()), *config, stop);
  if (!ok) config->numbered.clear();
  if (!ok) config->warn_unused("added_tokens.json", ok.error());
  config->file = file.string();
  return std::move(*config);
}

}  // namespace expertscope
