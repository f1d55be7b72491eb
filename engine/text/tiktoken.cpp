// SPDX-License-Identifier: GPL-3.0-or-later
#include <algorithm>
#include <array>
#include <charconv>

#include "engine/text/byte_alphabet.h"
#include "engine/text/charsmap.h"
#include "engine/text/ranked_bpe.h"
#include "engine/text/stopping.h"
#include "engine/text/tokenizer_parts.h"
#include "engine/text/utf8.h"

namespace expertscope {
namespace {

/// Longest token; real ones have 128 bytes.
constexpr std::size_t kMaxTokenBytes = 512;
/// The longest line: the token in base64, a space, a rank.
constexpr std::size_t kMaxLine = kMaxTokenBytes * 4 / 3 + 16;
/// Kimi's class names so many ids after the ranks, declared or not.
constexpr std::int64_t kReserved = 256;

constexpr const char* kKimi =
    R"([\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kThreeDigits =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kOneDigit =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

/// How texts are cut, by the class that tokenizer_config.json names, as its code has it.
struct KnownClass {
  std::string_view name;
  const char* pattern;
  std::int64_t reserved;
};
constexpr std::array kClasses = {
    KnownClass{"TikTokenTokenizer", kKimi, kReserved},  // Kimi, Moonlight
    KnownClass{"TikTokenV3", kKimi, kReserved},        KnownClass{"ChatGLM4Tokenizer", kThreeDigits, 0},
    KnownClass{"QWenTokenizer", kOneDigit, 0},         KnownClass{"HYTokenizer", kOneDigit, 0},
};

struct Cut {
  std::string pattern;
  std::int64_t reserved = 0;
};

Result<Cut> find_cut(const std::string& file, const TokenizerConfig& config) {
  if (!config.document) return forward_error(config.document);
  const auto fields = JsonFields::of(*config.document, config.file);
  if (!fields) return forward_error(fields);
  const auto pattern = fields->string_or("pat_str", "");
  if (!pattern) return forward_error(pattern);
  if (!pattern->empty()) return Cut{*pattern};
  const auto name = fields->string_or("tokenizer_class", "");
  if (!name) return forward_error(name);
  const auto* known = std::find_if(kClasses.begin(), kClasses.end(),
                                   [&](const KnownClass& one) { return one.name == *name; });
  if (known != kClasses.end()) return Cut{known->pattern, known->reserved};
  if (name->empty())
    return fail(ErrorCode::unsupported,
                "{}: how texts are cut is not known: {} has no tokenizer_class and no pat_str", file,
                config.file);
  return fields->error(ErrorCode::unsupported, "tokenizer_class",
                       fmt::format("how {} cuts texts for {} is not known", json_excerpt(*name), file));
}

Status add_line(std::string_view line, std::size_t number, const std::string& file,
                const ByteAlphabet& alphabet, RankedBpe& model) {
  const auto space = line.find(' ');
  const auto bytes = line.size() <= kMaxLine ? decode_base64(line.substr(0, space)) : std::nullopt;
  const auto rank_text = space == std::string_view::npos ? "" : line.substr(space + 1);
  std::int32_t rank = -1;
  const auto read = std::from_chars(rank_text.data(), rank_text.data() + rank_text.size(), rank);
  const bool good = read.ec == std::errc() && read.ptr == rank_text.data() + rank_text.size();
  if (!bytes || bytes->empty() || !good || rank < 0 || rank > kMaxTokenId)
    return fail(ErrorCode::format, "{}: line {}: not a token in base64 and its rank", file, number);
  std::string letters;
  for (const char c : *bytes)
    append_utf8(letters, alphabet.letter(static_cast<std::uint8_t>(c)));
  if (bytes->size() == 1) model.set_byte(static_cast<std::uint8_t>(bytes->front()), rank);
  if (!model.add(std::move(letters), *bytes, rank, rank))
    return fail(ErrorCode::format, "{}: line {}: this token is there already", file, number);
  return {};
}

Result<RankedBpe> read_ranks(std::string_view text, const std::string& file, const std::stop_token& stop) {
  auto model = RankedBpe::of_bytes();
  const ByteAlphabet alphabet;
  for (std::size_t number = 1; !text.empty(); ++number) {
    if (auto ok = go_on(stop, file); !ok) return forward_error(ok);
    if (number > kMaxTokens) return fail(ErrorCode::unsupported, "{}: more than {} tokens", file, kMaxTokens);
    const auto end = text.find('\n');
    auto line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) continue;
    if (auto ok = add_line(line, number, file, alphabet, model); !ok) return forward_error(ok);
  }
  if (model.vocabulary().empty()) return fail(ErrorCode::format, "{}: no tokens", file);
  return model;
}

/// The ids after the ranks that a class names by itself, but for those that tokenizer_config.json declares.
Json reserved_tokens(std::int64_t first, std::int64_t count, const TokenizerConfig& config) {
  Json tokens = Json::array();
  const auto fields = JsonFields::of(*config.document, config.file);
  const auto declared = fields->object("added_tokens_decoder");
  for (std::int64_t id = first; id < first + count; ++id) {
    Json token = {{"content", fmt::format("<|reserved_token_{}|>", id)}, {"special", true}};
    const auto there = declared ? declared->object(std::to_string(id)) : declared;
    const auto content = there ? there->string_or("content", "") : Result<std::string>("");
    if (there && content && !content->empty()) token = there->json();
    token["id"] = id;
    tokens.push_back(std::move(token));
  }
  return tokens;
}

}  // namespace

bool looks_like_tiktoken(std::string_view text) {
  const auto line = text.substr(0, text.find('\n'));
  const auto space = line.find(' ');
  return line.size() <= kMaxLine && space != std::string_view::npos && decode_base64(line.substr(0, space));
}

Result<TokenizerParts> read_tiktoken(std::string_view text, const std::string& file,
                                     const TokenizerConfig& config, const std::stop_token& stop) {
  const auto cut = find_cut(file, config);
  if (!cut) return forward_error(cut);
  auto model = read_ranks(text, file, stop);
  if (!model) return forward_error(model);
  const Json split = {
      {"type", "Split"}, {"pattern", {{"Regex", cut->pattern}}}, {"behavior", "Isolated"}, {"invert", false}};
  const Json bytes = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}};
  TokenizerParts parts;
  parts.other["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", Json::array({split, bytes})}};
  parts.other["decoder"] = {{"type", "ByteLevel"}};
  parts.other["added_tokens"] =
      reserved_tokens(static_cast<std::int64_t>(model->vocabulary().size()), cut->reserved, config);
  parts.model = std::make_unique<const RankedBpe>(std::move(*model));
  return parts;
}

}  // namespace expertscope
