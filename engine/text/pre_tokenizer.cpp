// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/text/pre_tokenizer.h"

#include <algorithm>

#include "engine/text/pattern.h"
#include "engine/text/utf8.h"

namespace expertscope {
namespace {

/// The pattern of GPT-2 (Radford et al. 2019, encoder.py), which ByteLevel uses with use_regex.
constexpr std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

/// Every step goes over the text once; models have up to six.
constexpr std::size_t kMaxSteps = 64;

/// Recurses as deeply as JSON nests.
bool has_byte_level(const Json& step) {
  if (!step.is_object()) return false;
  const auto type = step.find("type");
  if (type != step.end() && *type == "ByteLevel") return true;
  const auto steps = step.find("pretokenizers");
  return steps != step.end() && steps->is_array() &&
         std::any_of(steps->begin(), steps->end(), has_byte_level);
}

}  // namespace

Status PreTokenizer::parse_byte_level(const JsonFields& fields) {
  const auto prefix = fields.boolean_or("add_prefix_space", true);
  if (!prefix) return forward_error(prefix);
  const auto use_regex = fields.boolean_or("use_regex", true);
  if (!use_regex) return forward_error(use_regex);
  last_step_ = "ByteLevel";
  add_prefix_space_ = *prefix;
  if (!*use_regex) return {};
  auto regex =
      Regex::compile(kGpt2Pattern, fmt::format("{}: {}", fields.file(), fields.path_of("use_regex")));
  if (!regex) return forward_error(regex);
  words_ = split_at(std::move(*regex), SplitBehavior::isolated);
  return {};
}

Status PreTokenizer::parse_metaspace(const JsonFields& fields) {
  auto metaspace = Metaspace::parse(fields);
  if (!metaspace) return forward_error(metaspace);
  const auto split = fields.boolean_or("split", true);
  if (!split) return forward_error(split);
  last_step_ = "Metaspace";
  metaspace_ = std::move(*metaspace);
  if (!*split) return {};
  auto regex = Regex::literal(metaspace_.replacement,
                              fmt::format("{}: {}", fields.file(), fields.path_of("replacement")));
  if (!regex) return forward_error(regex);
  words_ = split_at(std::move(*regex), SplitBehavior::merged_with_next);
  return {};
}

Status PreTokenizer::parse_sequence(const JsonFields& fields) {
  const auto list = fields.array("pretokenizers");
  if (!list) return forward_error(list);
  for (const Json& item : **list) {
    const auto entry = JsonFields::of(item, fields.file(), fields.path_of("pretokenizers"));
    if (!entry) return forward_error(entry);
    if (auto ok = parse_step(*entry); !ok) return ok;
  }
  return {};
}

Status PreTokenizer::parse_step(const JsonFields& fields) {
  const auto type = fields.string("type");
  if (!type) return forward_error(type);
  if (!last_step_.empty())
    return fields.error(ErrorCode::unsupported, "type", fmt::format("\"{}\" after {}", *type, last_step_));
  if (*type == "Sequence") return parse_sequence(fields);
  if (steps_.size() == kMaxSteps)
    return fields.error(ErrorCode::unsupported, "type",
                        fmt::format("more than {} pre-tokenizers", kMaxSteps));
  if (*type == "ByteLevel") return parse_byte_level(fields);
  if (*type == "Metaspace") return parse_metaspace(fields);
  auto step = parse_splitter(fields, *type);
  if (!step) return forward_error(step);
  if (*step) {
    steps_.push_back(std::move(*step));
    return {};
  }
  return fields.error(ErrorCode::unsupported, "type",
                      fmt::format("the pre-tokenizer \"{}\" is not supported", *type));
}

Result<PreTokenizer> PreTokenizer::parse(const JsonFields& root, std::string_view key) {
  PreTokenizer result;
  if (!root.has(key)) return result;
  const auto fields = root.object(key);
  if (!fields) return forward_error(fields);
  if (auto ok = result.parse_step(*fields); !ok) return forward_error(ok);
  return result;
}

bool PreTokenizer::is_byte_level(const JsonFields& root, std::string_view key) {
  const auto fields = root.object(key);
  return fields && has_byte_level(fields->json());
}

Status PreTokenizer::split(std::string_view text, bool begins_text, RegexScratch& scratch,
                           const WordSink& sink) const {
  std::vector<Span> pieces = {{0, text.size()}};
  std::vector<Span> next;
  std::vector<Span> parts;
  for (const auto& step : steps_) {
    next.clear();
    for (const auto& piece : pieces) {
      parts.clear();
      auto ok = step->split(text.substr(piece.begin, piece.end - piece.begin), scratch, parts);
      if (!ok) return ok;
      for (const auto& part : parts)
        if (part.begin != part.end) next.push_back({piece.begin + part.begin, piece.begin + part.end});
    }
    pieces.swap(next);
  }
  for (const auto& piece : pieces) {
    const auto part = text.substr(piece.begin, piece.end - piece.begin);
    auto ok = last_step_ == "ByteLevel"
                  ? split_byte_level(part, scratch, sink)
                  : split_metaspace(part, begins_text && piece.begin == 0, scratch, sink);
    if (!ok) return ok;
  }
  return {};
}

Status PreTokenizer::split_byte_level(std::string_view text, RegexScratch& scratch,
                                      const WordSink& sink) const {
  std::string prefixed;
  if (add_prefix_space_ && !text.starts_with(' ')) {
    prefixed.reserve(text.size() + 1);
    prefixed += ' ';
    prefixed += text;
    text = prefixed;
  }
  return split_words(text, scratch, sink);
}

Status PreTokenizer::split_metaspace(std::string_view text, bool begins_text, RegexScratch& scratch,
                                     const WordSink& sink) const {
  if (last_step_.empty() || text.empty()) return split_words(text, scratch, sink);
  std::string spaced;
  spaced.reserve(text.size());
  for (const char c : text) {
    if (c == ' ')
      spaced += metaspace_.replacement;
    else
      spaced += c;
  }
  const bool wanted = metaspace_.prepend == Metaspace::Prepend::always ||
                      (metaspace_.prepend == Metaspace::Prepend::first && begins_text);
  if (wanted && !spaced.starts_with(metaspace_.replacement)) spaced.insert(0, metaspace_.replacement);
  return split_words(spaced, scratch, sink);
}

Status PreTokenizer::split_words(std::string_view text, RegexScratch& scratch, const WordSink& sink) const {
  if (!words_) {
    if (!text.empty()) sink(text);
    return {};
  }
  std::vector<Span> parts;
  if (auto ok = words_->split(text, scratch, parts); !ok) return ok;
  for (const auto& part : parts)
    if (part.begin != part.end) sink(text.substr(part.begin, part.end - part.begin));
  return {};
}

}  // namespace expertscope
