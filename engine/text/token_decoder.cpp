// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/text/token_decoder.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "engine/text/metaspace.h"

namespace expertscope {
namespace {

/// Every one goes over every token; models have one.
constexpr std::size_t kMaxReplacements = 16;
constexpr std::int64_t kMaxStrip = 1 << 20;

struct Stage {
  std::string_view name;
  std::int32_t order;
};
constexpr std::array kStages = {Stage{"Replace", 0}, Stage{"Metaspace", 0}, Stage{"ByteFallback", 1},
                                Stage{"Fuse", 2}, Stage{"Strip", 3}};

/// The byte that <0xNN> stands for.
std::optional<std::uint8_t> byte_of(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || !token.ends_with('>')) return std::nullopt;
  const bool sign = token[3] == '+';  // Rust reads that too
  std::uint8_t byte = 0;
  const auto* const end = token.data() + 5;
  const auto read = std::from_chars(token.data() + (sign ? 4 : 3), end, byte, 16);
  if (read.ec != std::errc() || read.ptr != end) return std::nullopt;
  return byte;
}

std::string replace_all(std::string_view text, std::string_view pattern, std::string_view content) {
  std::string out;
  for (;;) {
    const auto at = text.find(pattern);
    out += text.substr(0, at);
    if (at == std::string_view::npos) return out;
    out += content;
    text.remove_prefix(at + pattern.size());
  }
}

}  // namespace

Status TokenDecoder::parse_replace(const JsonFields& fields) {
  const auto pattern = fields.object("pattern");
  if (!pattern) return forward_error(pattern);
  if (pattern->has("Regex"))
    return fields.error(ErrorCode::unsupported, "pattern", "a Regex is not supported in a decoder");
  const auto text = pattern->string("String");
  if (!text) return forward_error(text);
  const auto content = fields.string("content");
  if (!content) return forward_error(content);
  if (text->empty()) return fields.error(ErrorCode::unsupported, "pattern", "an empty pattern");
  if (content->size() > text->size())
    return fields.error(ErrorCode::unsupported, "content", "longer than what it replaces");
  replacements_.push_back({*text, *content, *content});
  return {};
}

Status TokenDecoder::parse_metaspace(const JsonFields& fields) {
  const auto metaspace = Metaspace::parse(fields);
  if (!metaspace) return forward_error(metaspace);
  const bool kept = metaspace->prepend == Metaspace::Prepend::never;
  replacements_.push_back({metaspace->replacement, " ", kept ? " " : ""});
  return {};
}

Status TokenDecoder::parse_strip(const JsonFields& fields) {
  const auto content = one_character(fields, "content");
  if (!content) return forward_error(content);
  const auto start = fields.integer("start", 0, kMaxStrip);
  if (!start) return forward_error(start);
  const auto stop = fields.integer("stop", 0, kMaxStrip);
  if (!stop) return forward_error(stop);
  if (*stop != 0)
    return fields.error(ErrorCode::unsupported, "stop", "stripping the end of a text is not supported");
  strip_ = *content;
  strip_count_ = static_cast<int>(*start);
  return {};
}

Status TokenDecoder::parse_sequence(const JsonFields& fields) {
  const auto list = fields.array("decoders");
  if (!list) return forward_error(list);
  if ((*list)->empty()) return fields.error(ErrorCode::unsupported, "decoders", "an empty sequence");
  for (const Json& item : **list) {
    const auto entry = JsonFields::of(item, fields.file(), fields.path_of("decoders"));
    if (!entry) return forward_error(entry);
    if (auto ok = parse_step(*entry); !ok) return ok;
  }
  return {};
}

Status TokenDecoder::parse_step(const JsonFields& fields) {
  const auto type = fields.string("type");
  if (!type) return forward_error(type);
  if (*type == "Sequence") return parse_sequence(fields);
  if (!characters_ && *type == "ByteLevel") return {};
  if (*type == "ByteLevel")
    return fields.error(ErrorCode::unsupported, "type", "\"ByteLevel\" without a ByteLevel pre-tokenizer");
  const auto* stage =
      std::find_if(kStages.begin(), kStages.end(), [&](const Stage& one) { return one.name == *type; });
  if (!characters_ || stage == kStages.end())
    return fields.error(ErrorCode::unsupported, "type",
                        fmt::format("the decoder \"{}\" is not supported", *type));
  if (stage->order < next_stage_)
    return fields.error(ErrorCode::unsupported, "type",
                        fmt::format("the decoder \"{}\" after \"{}\" is not supported", *type, last_step_));
  if (*type == "Strip" && last_step_ != "Fuse")
    return fields.error(ErrorCode::unsupported, "type",
                        "the decoder \"Strip\" is only supported after \"Fuse\"");
  if (stage->order == 0 && replacements_.size() == kMaxReplacements)
    return fields.error(ErrorCode::unsupported, "type",
                        fmt::format("more than {} decoders that replace", kMaxReplacements));
  next_stage_ = stage->order == 0 ? 0 : stage->order + 1;
  last_step_ = *type;
  if (*type == "Replace") return parse_replace(fields);
  if (*type == "Metaspace") return parse_metaspace(fields);
  if (*type == "Strip") return parse_strip(fields);
  if (*type == "ByteFallback") byte_fallback_ = true;
  return {};  // Fuse: the texts of tokens are joined anyway
}

Result<TokenDecoder> TokenDecoder::parse(const JsonFields& root, std::string_view key, bool characters) {
  const auto fields = root.object(key);
  if (!fields) return forward_error(fields);
  TokenDecoder decoder;
  decoder.characters_ = characters;
  if (auto ok = decoder.parse_step(*fields); !ok) return forward_error(ok);
  return decoder;
}

std::string TokenDecoder::replaced(std::string_view content, bool begins_text) const {
  std::string text(content);
  for (const auto& one : replacements_)
    text = replace_all(text, one.pattern, begins_text ? one.content_at_begin : one.content);
  return text;
}

std::string TokenDecoder::bytes_of(std::string_view content, bool begins_text) const {
  if (!characters_) return alphabet_.to_bytes(content).value_or(std::string(content));
  auto text = replaced(content, begins_text);
  if (const auto byte = byte_fallback_ ? byte_of(text) : std::nullopt) return {static_cast<char>(*byte)};
  return text;
}

bool TokenDecoder::is_other_at_begin() const {
  return std::any_of(replacements_.begin(), replacements_.end(),
                     [](const Replacement& one) { return one.content != one.content_at_begin; });
}

bool TokenDecoder::is_byte(std::string_view content) const {
  return byte_fallback_ && byte_of(replaced(content, false));
}

void TokenDecoder::strip(std::string& text, int& left) const {
  std::size_t begin = 0;
  for (; left > 0 && std::string_view(text).substr(begin).starts_with(strip_); --left)
    begin += strip_.size();
  text.erase(0, begin);
  if (!text.empty()) left = 0;
}

}  // namespace expertscope
