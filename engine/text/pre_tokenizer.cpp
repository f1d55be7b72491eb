// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/text/pre_tokenizer.h"

#include <algorithm>
#include <array>

#include "engine/text/pattern.h"
#include "engine/text/utf8.h"

namespace expertscope {
namespace {

/// The pattern of GPT-2 (Radford et al. 2019, encoder.py), which ByteLevel uses with use_regex.
constexpr std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

/// Every step goes over the text once; models have up to six.
constexpr std::size_t kMaxSteps = 64;

/// What happens to the matches of a Split; the names are those of tokenizer.json.
enum class Behavior : std::uint8_t { isolated, removed, merged_with_previous, merged_with_next, contiguous };

/// A stretch of text that matched, or one between two matches.
struct Piece {
  Span span;
  bool matched = false;
};

using Pieces = std::vector<Piece>;

/// Merges each match into what stands before it, unless that is a match too.
Pieces merge_with_previous(const Pieces& pieces) {
  Pieces merged;
  bool previous_matched = false;
  for (const auto& piece : pieces) {
    if (piece.matched && !previous_matched && !merged.empty()) {
      merged.back().span.end = piece.span.end;
    } else {
      merged.push_back(piece);
    }
    previous_matched = piece.matched;
  }
  return merged;
}

Pieces merge_with_next(const Pieces& pieces) {
  Pieces merged;
  bool next_matched = false;
  for (auto it = pieces.rbegin(); it != pieces.rend(); ++it) {
    if (it->matched && !next_matched && !merged.empty()) {
      merged.back().span.begin = it->span.begin;
    } else {
      merged.push_back(*it);
    }
    next_matched = it->matched;
  }
  return {merged.rbegin(), merged.rend()};
}

/// Joins neighbours of the same kind.
Pieces join_contiguous(const Pieces& pieces) {
  Pieces merged;
  for (const auto& piece : pieces) {
    if (!merged.empty() && piece.matched == merged.back().matched) {
      merged.back().span.end = piece.span.end;
    } else {
      merged.push_back(piece);
    }
  }
  return merged;
}

void emit(Pieces pieces, Behavior behavior, std::vector<Span>& parts) {
  if (behavior == Behavior::merged_with_previous) pieces = merge_with_previous(pieces);
  if (behavior == Behavior::merged_with_next) pieces = merge_with_next(pieces);
  if (behavior == Behavior::contiguous) pieces = join_contiguous(pieces);
  for (const auto& piece : pieces)
    if (behavior != Behavior::removed || !piece.matched) parts.push_back(piece.span);
}

class PatternSplitter : public Splitter {
 public:
  PatternSplitter(Regex regex, Behavior behavior, bool invert)
      : regex_(std::move(regex)), behavior_(behavior), invert_(invert) {}

  Status split(std::string_view text, RegexScratch& scratch, std::vector<Span>& parts) const override {
    Pieces pieces;
    std::size_t done = 0;
    auto ok = regex_.for_each_match(text, scratch, [&](std::size_t begin, std::size_t end) {
      if (done != begin) pieces.push_back({{done, begin}, invert_});
      pieces.push_back({{begin, end}, !invert_});
      done = end;
    });
    if (!ok) return ok;
    if (done != text.size()) pieces.push_back({{done, text.size()}, invert_});
    emit(std::move(pieces), behavior_, parts);
    return {};
  }

 private:
  Regex regex_;
  Behavior behavior_;
  bool invert_;
};

class DigitSplitter : public Splitter {
 public:
  explicit DigitSplitter(bool individual) : individual_(individual) {}

  Status split(std::string_view text, RegexScratch&, std::vector<Span>& parts) const override {
    Pieces pieces;
    for (std::size_t at = 0; at < text.size();) {
      const auto step = utf8_step(text.substr(at));
      const bool digit = is_numeric(step.code_point);
      const bool extend = !pieces.empty() && !digit && !pieces.back().matched;
      if (extend) pieces.back().span.end += step.length;
      if (!extend) pieces.push_back({{at, at + step.length}, digit});
      at += step.length;
    }
    emit(std::move(pieces), individual_ ? Behavior::isolated : Behavior::contiguous, parts);
    return {};
  }

 private:
  bool individual_;
};

Result<std::unique_ptr<const Splitter>> parse_split(const JsonFields& fields) {
  constexpr std::array<const char*, 5> kNames = {"Isolated", "Removed", "MergedWithPrevious",
                                                 "MergedWithNext", "Contiguous"};
  auto pattern = parse_pattern(fields, "pattern");
  if (!pattern) return forward_error(pattern);
  const auto behavior = fields.string("behavior");
  if (!behavior) return forward_error(behavior);
  const auto invert = fields.boolean_or("invert", false);
  if (!invert) return forward_error(invert);
  for (std::size_t i = 0; i < kNames.size(); ++i)
    if (*behavior == kNames[i])
      return std::make_unique<PatternSplitter>(std::move(*pattern), static_cast<Behavior>(i), *invert);
  return fields.error(ErrorCode::unsupported, "behavior", fmt::format("\"{}\" is not supported", *behavior));
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
  words_ = std::make_unique<PatternSplitter>(std::move(*regex), Behavior::isolated, false);
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
  words_ = std::make_unique<PatternSplitter>(std::move(*regex), Behavior::merged_with_next, false);
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
  if (*type == "Digits") {
    const auto individual = fields.boolean_or("individual_digits", false);
    if (!individual) return forward_error(individual);
    steps_.push_back(std::make_unique<DigitSplitter>(*individual));
    return {};
  }
  if (*type == "Split") {
    auto step = parse_split(fields);
    if (!step) return forward_error(step);
    steps_.push_back(std::move(*step));
    return {};
  }
  return fields.error(ErrorCode::unsupported, "type",
                      fmt::format("the pre-tokenizer \"{}\" is not supported", *type));
}

Result<PreTokenizer> PreTokenizer::parse(const JsonFields& root, std::string_view key, bool characters) {
  PreTokenizer result;
  if (root.has(key)) {
    const auto fields = root.object(key);
    if (!fields) return forward_error(fields);
    if (auto ok = result.parse_step(*fields); !ok) return forward_error(ok);
  }
  const bool byte_level = result.last_step_ == "ByteLevel";
  if (characters && byte_level)
    return root.error(ErrorCode::unsupported, "model.byte_fallback",
                      "not supported with a ByteLevel pre-tokenizer");
  if (!characters && !byte_level)
    return root.error(ErrorCode::unsupported, key,
                      "no ByteLevel step; only byte-level BPE and BPE with byte_fallback are supported");
  return result;
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
