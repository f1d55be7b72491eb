// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/text/splitter.h"

#include <array>
#include <functional>

#include "engine/text/metaspace.h"
#include "engine/text/pattern.h"
#include "engine/text/utf8.h"

namespace expertscope {
namespace {

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

void emit(Pieces pieces, SplitBehavior behavior, std::vector<Span>& parts) {
  if (behavior == SplitBehavior::merged_with_previous) pieces = merge_with_previous(pieces);
  if (behavior == SplitBehavior::merged_with_next) pieces = merge_with_next(pieces);
  if (behavior == SplitBehavior::contiguous) pieces = join_contiguous(pieces);
  for (const auto& piece : pieces)
    if (behavior != SplitBehavior::removed || !piece.matched) parts.push_back(piece.span);
}

class PatternSplitter : public Splitter {
 public:
  PatternSplitter(Regex regex, SplitBehavior behavior, bool invert)
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
  SplitBehavior behavior_;
  bool invert_;
};

/// Cuts at single characters.
class CharacterSplitter : public Splitter {
 public:
  using Matches = std::function<bool(char32_t)>;
  CharacterSplitter(Matches matches, SplitBehavior behavior)
      : matches_(std::move(matches)), behavior_(behavior) {}

  Status split(std::string_view text, RegexScratch&, std::vector<Span>& parts) const override {
    Pieces pieces;
    for (std::size_t at = 0; at < text.size();) {
      const auto step = utf8_step(text.substr(at));
      const bool match = matches_(step.code_point);
      const bool extend = !pieces.empty() && !match && !pieces.back().matched;
      if (extend) pieces.back().span.end += step.length;
      if (!extend) pieces.push_back({{at, at + step.length}, match});
      at += step.length;
    }
    emit(std::move(pieces), behavior_, parts);
    return {};
  }

 private:
  Matches matches_;
  SplitBehavior behavior_;
};

/// Runs of \w and runs of other characters, as the regex crate of Rust has them; white space goes away.
class WordSplitter : public Splitter {
 public:
  Status split(std::string_view text, RegexScratch&, std::vector<Span>& parts) const override {
    enum class Kind : std::uint8_t { space, word, other } before = Kind::space;
    for (std::size_t at = 0; at < text.size();) {
      const auto step = utf8_step(text.substr(at));
      const Kind kind = is_white_space(step.code_point)      ? Kind::space
                        : is_word_character(step.code_point) ? Kind::word
                                                             : Kind::other;
      if (kind != Kind::space && kind == before) parts.back().end += step.length;
      if (kind != Kind::space && kind != before) parts.push_back({at, at + step.length});
      before = kind;
      at += step.length;
    }
    return {};
  }
};

Result<SplitBehavior> parse_behavior(const JsonFields& fields, std::string fallback) {
  constexpr std::array<const char*, 5> kNames = {"Isolated", "Removed", "MergedWithPrevious",
                                                 "MergedWithNext", "Contiguous"};
  const auto behavior =
      fallback.empty() ? fields.string("behavior") : fields.string_or("behavior", std::move(fallback));
  if (!behavior) return forward_error(behavior);
  for (std::size_t i = 0; i < kNames.size(); ++i)
    if (*behavior == kNames[i]) return static_cast<SplitBehavior>(i);
  return fields.error(ErrorCode::unsupported, "behavior", fmt::format("\"{}\" is not supported", *behavior));
}

Result<std::unique_ptr<const Splitter>> parse_split(const JsonFields& fields) {
  auto pattern = parse_pattern(fields, "pattern");
  if (!pattern) return forward_error(pattern);
  const auto behavior = parse_behavior(fields, {});
  if (!behavior) return forward_error(behavior);
  const auto invert = fields.boolean_or("invert", false);
  if (!invert) return forward_error(invert);
  return split_at(std::move(*pattern), *behavior, *invert);
}

Result<std::unique_ptr<const Splitter>> parse_digits(const JsonFields& fields) {
  const auto individual = fields.boolean_or("individual_digits", false);
  if (!individual) return forward_error(individual);
  return std::make_unique<CharacterSplitter>(
      is_numeric, *individual ? SplitBehavior::isolated : SplitBehavior::contiguous);
}

Result<std::unique_ptr<const Splitter>> parse_punctuation(const JsonFields& fields) {
  const auto behavior = parse_behavior(fields, "Isolated");
  if (!behavior) return forward_error(behavior);
  return std::make_unique<CharacterSplitter>(is_punctuation, *behavior);
}

Result<std::unique_ptr<const Splitter>> parse_delimiter(const JsonFields& fields) {
  const auto delimiter = one_character(fields, "delimiter");
  if (!delimiter) return forward_error(delimiter);
  const char32_t wanted = utf8_step(*delimiter).code_point;
  return std::make_unique<CharacterSplitter>([wanted](char32_t c) { return c == wanted; },
                                             SplitBehavior::removed);
}

}  // namespace

std::unique_ptr<const Splitter> split_at(Regex regex, SplitBehavior behavior, bool invert) {
  return std::make_unique<PatternSplitter>(std::move(regex), behavior, invert);
}

Result<std::unique_ptr<const Splitter>> parse_splitter(const JsonFields& fields, std::string_view type) {
  if (type == "Split") return parse_split(fields);
  if (type == "Digits") return parse_digits(fields);
  if (type == "Punctuation") return parse_punctuation(fields);
  if (type == "CharDelimiterSplit") return parse_delimiter(fields);
  if (type == "Whitespace") return std::make_unique<WordSplitter>();
  if (type == "WhitespaceSplit")
    return std::make_unique<CharacterSplitter>(is_white_space, SplitBehavior::removed);
  return nullptr;
}

}  // namespace expertscope
