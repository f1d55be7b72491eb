// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/text/regex_class.h"

#include <utf8proc.h>

#include <algorithm>

#include "engine/text/utf8.h"

namespace expertscope {
namespace {

constexpr int kMaxClassDepth = 20;
/// Every && copies what stands before it.
constexpr int kMaxIntersections = 64;
constexpr char32_t kLongS = 0x17F;
constexpr char32_t kKelvin = 0x212A;
constexpr char32_t kIotaBelow = 0x345;  ///< a mark that is the same as a letter when case is ignored
/// More characters than between U+4E00 and U+9FFF are not looked at one by one.
constexpr char32_t kMaxRangeWithoutCase = 0x8000;

constexpr std::string_view kHexDigits = "0123456789abcdefABCDEF";

bool is_letter_or_digit(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/// Whether ignoring case surely changes nothing: letters without case, digits, punctuation, most symbols.
bool has_no_case(char32_t c) {
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NO:
    case UTF8PROC_CATEGORY_PC:
    case UTF8PROC_CATEGORY_PD:
    case UTF8PROC_CATEGORY_PS:
    case UTF8PROC_CATEGORY_PE:
    case UTF8PROC_CATEGORY_PI:
    case UTF8PROC_CATEGORY_PF:
    case UTF8PROC_CATEGORY_PO:
    case UTF8PROC_CATEGORY_SM:
    case UTF8PROC_CATEGORY_SC:
    case UTF8PROC_CATEGORY_ZS:
      return true;
    default:
      return false;
  }
}

/// It has characters of every other category.
Property complement(Property property) {
  property.set.negate();
  property.category = 0;
  return property;
}

/// \p{...} or \P{...}, with \p or \P taken already.
Result<std::optional<Property>> read_property(PatternReader& in, bool negated) {
  if (!in.take("{")) return in.refuse("\\p without {...}");
  if (in.take("^")) negated = !negated;
  std::string name;
  std::string key;
  while (!in.at_end() && in.peek() != '}') {
    const char c = in.byte();
    name += c;
    if (c != ' ' && c != '-' && c != '_') key += c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
  }
  auto property = find_property(key);
  if (!in.take("}") || !property) return in.refuse(fmt::format("the property \\p{{{}}}", name));
  if (negated) *property = complement(std::move(*property));
  return property;
}

Result<char32_t> read_hex(PatternReader& in, std::size_t least, std::size_t most) {
  const auto digits = in.hex_digits(most);
  if (digits.size() < least) return in.refuse("a code point without its digits");
  const auto value = static_cast<char32_t>(std::stoul(std::string(digits), nullptr, 16));
  if (value > 0x10FFFF || (value >= 0xD800 && value < 0xE000))
    return in.refuse(fmt::format("the code point {}", digits));
  return value;
}

/// Reads one class, [ taken already.
class ClassReader {
 public:
  ClassReader(PatternReader& in, bool ignore_case) : in_(in), ignore_case_(ignore_case) {}

  Result<CharacterSet> read(int depth) {
    if (depth > kMaxClassDepth) return in_.refuse("nesting of more than 20 classes");
    negated_ = in_.take("^");
    if (in_.peek() == ']') {
      if (!in_.has_later(']')) return in_.refuse("an empty class");
      if (auto ok = member(true); !ok) return forward_error(ok);
    }
    while (!in_.take("]")) {
      if (auto ok = item(depth); !ok) return forward_error(ok);
      if (added_ > kMaxTranslation) return in_.refuse("a class that takes more than a mebibyte");
    }
    if (auto ok = finish_operand(); !ok) return forward_error(ok);
    if (negated_) whole_->negate();
    return std::move(*whole_);
  }

 private:
  /// What has been read since the last && is one side of it.
  Status finish_operand() {
    if (current_.empty()) return in_.refuse("an empty class");
    if (!whole_) {
      whole_ = std::move(current_);
    } else {
      whole_->intersect(current_);
    }
    current_ = {};
    return {};
  }

  Status item(int depth) {
    if (in_.at_end()) return in_.refuse("a class without its closing bracket");
    if (in_.starts_with("&&")) {
      if (ignore_case_) return in_.refuse("&& with case ignored");
      if (++intersections_ > kMaxIntersections) return in_.refuse("a class with more than 64 &&");
      in_.take("&&");
      return finish_operand();
    }
    if (in_.starts_with("[:")) return posix_bracket();
    if (in_.peek() == '[') return nested(depth);
    if (in_.peek() == '-' && !current_.empty() && in_.peek(1) != ']')
      return in_.refuse("a - inside [...] that belongs to no range");
    const auto set = read_set_escape(in_, true);
    if (!set) return forward_error(set);
    if (*set) return add_property(**set);
    return member(false);
  }

  Status nested(int depth) {
    if (ignore_case_) return in_.refuse("a class inside [...] with case ignored");
    in_.take("[");
    const auto inner = ClassReader(in_, false).read(depth + 1);
    if (!inner) return forward_error(inner);
    add(*inner);
    return {};
  }

  /// When case is ignored, Oniguruma adds what the members of a class fold to, also two characters for one.
  Status add_property(const Property& property) {
    constexpr std::string_view kClosed = "NPSZ";
    const bool letters = property.category == 'L' && negated_;
    if (ignore_case_ && !letters && kClosed.find(property.category) == std::string_view::npos)
      return in_.refuse("a class of letters inside [...] with case ignored");
    if (ignore_case_ && letters) current_.add_range(kIotaBelow, kIotaBelow);
    add(property.set);
    return {};
  }

  Status posix_bracket() {
    in_.take("[:");
    const bool negated = in_.take("^");
    std::string name;
    while (in_.peek() >= 'a' && in_.peek() <= 'z')
      name += in_.byte();
    auto set = find_posix_class(name);
    if (!in_.take(":]") || !set) return in_.refuse(fmt::format("the class [:{}:]", name));
    if (ignore_case_) return in_.refuse("[:class:] with case ignored");
    if (negated) set->negate();
    add(*set);
    return {};
  }

  Result<char32_t> single() {
    if (in_.at_end()) return in_.refuse("a class without its closing bracket");
    if (in_.peek() == '\\') return read_character_escape(in_);
    return in_.character();
  }

  /// A character or a range.
  Status member(bool closing_bracket) {
    const auto first = closing_bracket ? Result<char32_t>(in_.character()) : single();
    if (!first) return forward_error(first);
    char32_t last = *first;
    const bool range = in_.peek() == '-' && in_.peek(1) != ']' && in_.peek(1) != '\0';
    if (range) {
      in_.take("-");
      if (in_.peek() == '[' || in_.starts_with("&&"))
        return in_.refuse("a range inside [...] without an end");
      const auto end = single();
      if (!end) return forward_error(end);
      last = *end;
    }
    if (last < *first) return in_.refuse("a range inside [...] that ends before it begins");
    if (!ignore_case_) {
      current_.add_range(*first, last);
      return {};
    }
    const auto set = with_other_case(in_, *first, last);
    if (!set) return forward_error(set);
    current_.add(*set);
    return {};
  }

  void add(const CharacterSet& set) {
    added_ += set.pattern().size();
    current_.add(set);
  }

  PatternReader& in_;
  std::size_t added_ = 0;  ///< bytes of all sets
  int intersections_ = 0;
  bool ignore_case_;
  bool negated_ = false;
  CharacterSet current_;
  std::optional<CharacterSet> whole_;
};

}  // namespace

bool PatternReader::take(std::string_view text) {
  if (!starts_with(text)) return false;
  at_ += text.size();
  return true;
}

char32_t PatternReader::character() {
  const auto step = utf8_step(pattern_.substr(at_));
  at_ += step.length;
  return step.code_point;
}

std::optional<std::size_t> PatternReader::number() {
  constexpr std::size_t kTooLarge = 1'000'000;
  std::optional<std::size_t> value;
  while (peek() >= '0' && peek() <= '9')
    value = std::min(value.value_or(0) * 10 + static_cast<std::size_t>(byte() - '0'), kTooLarge);
  return value;
}

std::string_view PatternReader::hex_digits(std::size_t limit) {
  const std::size_t begin = at_;
  while (at_ - begin < limit && peek() != '\0' && kHexDigits.find(peek()) != std::string_view::npos)
    ++at_;
  return pattern_.substr(begin, at_ - begin);
}

tl::unexpected<Error> PatternReader::refuse(std::string_view what) const {
  return fail(ErrorCode::unsupported, "{}: {} is not supported in a pattern (at byte {})", *where_, what,
              at_);
}

Result<std::optional<Property>> read_set_escape(PatternReader& in, bool in_class) {
  if (in.take("\\p")) return read_property(in, false);
  if (in.take("\\P")) return read_property(in, true);
  Property property;
  const char name = in.peek() == '\\' ? in.peek(1) : '\0';
  switch (name) {
    case 's':
    case 'S':
      property = {white_space_set(), 'Z'};
      break;
    case 'd':
    case 'D':
      property = {find_property("nd")->set, 'N'};
      break;
    case 'h':
    case 'H':
      property = {CharacterSet("0-9A-Fa-f"), 'N'};
      break;
    case 'w':
    case 'W':
      property = {in_class ? word_set_in_class() : word_set(), 0};
      break;
    default:
      return std::optional<Property>{};
  }
  if (name < 'a') property = complement(std::move(property));
  in.byte();
  in.byte();
  return property;
}

Result<char32_t> read_character_escape(PatternReader& in) {
  struct Letter {
    char name;
    char value;
  };
  constexpr Letter kLetters[] = {{'t', '\t'}, {'n', '\n'}, {'r', '\r'},  {'f', '\f'},
                                 {'v', '\v'}, {'a', '\a'}, {'e', '\x1b'}};
  if (in.take("\\x{")) {
    auto value = read_hex(in, 1, 8);
    if (value && !in.take("}")) return in.refuse("\\x{...} that is not one code point");
    return value;
  }
  if (in.take("\\x")) {
    auto value = read_hex(in, 1, 2);
    // Oniguruma takes it for a byte of UTF-8.
    if (value && *value >= 0x80) return in.refuse("\\x of 80 or more without braces");
    return value;
  }
  if (in.take("\\u")) return read_hex(in, 4, 4);
  const char name = in.peek(1);
  for (const auto& letter : kLetters)
    if (name == letter.name) {
      in.byte();
      in.byte();
      return static_cast<char32_t>(letter.value);
    }
  if (is_letter_or_digit(name)) return in.refuse(fmt::format("the escape \\{}", name));
  in.byte();
  if (in.at_end()) return in.refuse("a backslash at the end");
  return in.character();
}

Result<CharacterSet> with_other_case(const PatternReader& in, char32_t first, char32_t last) {
  CharacterSet set;
  set.add_range(first, last);
  const auto has = [&](char32_t c) { return first <= c && c <= last; };
  for (char32_t upper = 'A'; upper <= 'Z'; ++upper) {
    const char32_t lower = upper | 0x20;
    if (has(upper)) set.add_range(lower, lower);
    if (has(lower)) set.add_range(upper, upper);
    if (!has(upper) && !has(lower)) continue;
    if (upper == 'S') set.add_range(kLongS, kLongS);
    if (upper == 'K') set.add_range(kKelvin, kKelvin);
  }
  if (last < 0x80) return set;
  bool plain = last - std::max<char32_t>(first, 0x80) < kMaxRangeWithoutCase;
  for (char32_t c = std::max<char32_t>(first, 0x80); plain && c <= last; ++c)
    plain = has_no_case(c);
  if (!plain) return in.refuse("a letter beyond ASCII with case ignored");
  return set;
}

Result<CharacterSet> read_class(PatternReader& in, bool ignore_case) {
  in.take("[");
  return ClassReader(in, ignore_case).read(1);
}

}  // namespace expertscope
