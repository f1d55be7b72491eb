// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/text/regex_syntax.h"

#include "engine/text/regex_class.h"

namespace expertscope {
namespace {

constexpr int kMaxDepth = 100;
constexpr std::size_t kMaxRepeat = 1000;
/// A repeat of more is worth counting.
constexpr std::size_t kShortRepeat = 8;
/// So many characters in a row are worth counting, too.
constexpr int kLongRun = 64;
constexpr std::string_view kCount = "(?C)";

struct Options {
  bool ignore_case = false;
  bool dot_all = false;
};

/// {low,high}, or what *, + and ? stand for.
struct Repeat {
  std::size_t low = 0;
  std::size_t high = std::string_view::npos;
  bool exact = false;     ///< {n}
  bool interval = false;  ///< written with braces
};

/// Something that can be repeated.
struct Atom {
  std::string pattern;
  bool repeatable = true;
};

/// Two letters that Oniguruma also finds as one character, such as "ss" in U+00DF, when case is ignored.
bool folds_together(char first, char second) {
  const std::string pair = {first, second};
  for (const char* known : {"ss", "st", "ff", "fi", "fl"})
    if (pair == known) return true;
  return false;
}

class Translator {
 public:
  Translator(std::string_view pattern, const std::string& where) : in_(pattern, where) {}

  Result<std::string> run() {
    if (auto ok = alternatives({}); !ok) return forward_error(ok);
    if (!in_.at_end()) return in_.refuse("a closing parenthesis without an opening one");
    return std::move(out_);
  }

 private:
  /// What stands between parentheses, or the whole pattern.
  Status alternatives(Options options);
  Status branch(Options options);
  Result<Atom> atom(Options options);
  Result<Atom> escape(Options options);
  Result<Atom> group(Options options);
  Result<Atom> look(std::string_view opening, Options options);
  Result<Atom> name_and_group(char closing, Options options);
  Result<Atom> options_and_group(Options options);
  /// The rest of the group after `opening`, with its closing parenthesis.
  Result<Atom> finish_group(std::string_view opening, Options options);
  Result<Atom> letter(char32_t c, Options options);
  Status repeat(Atom atom);
  Result<std::string> repeated(const std::string& atom, const Repeat& repeat);
  std::optional<Repeat> read_repeat();
  std::optional<Repeat> read_interval();

  void count() {
    if (!out_.ends_with(kCount)) out_ += kCount;
    run_ = 0;
  }

  PatternReader in_;
  std::string out_;
  int depth_ = 0;
  int run_ = 0;  ///< characters since the last callout
  char folded_ = 0;
  bool in_look_behind_ = false;
  bool bare_anchor_ = false;  ///< the alternatives read last have one that is a single anchor
};

Status Translator::alternatives(Options options) {
  if (++depth_ > kMaxDepth) return in_.refuse("nesting of more than 100 groups");
  const char before = folded_;
  bool bare_anchor = false;
  for (;;) {
    folded_ = before;
    if (auto ok = branch(options); !ok) return ok;
    bare_anchor = bare_anchor || bare_anchor_;
    if (!in_.take("|")) break;
    out_ += '|';
    run_ = 0;
  }
  --depth_;
  bare_anchor_ = bare_anchor;
  return {};
}

Status Translator::branch(Options options) {
  int atoms = 0;
  bool anchor = false;
  while (!in_.at_end() && in_.peek() != '|' && in_.peek() != ')') {
    auto next = atom(options);
    if (!next) return forward_error(next);
    ++atoms;
    anchor = !next->repeatable;
    if (auto ok = repeat(std::move(*next)); !ok) return ok;
    if (out_.size() > kMaxTranslation) return in_.refuse("a pattern that takes more than a mebibyte");
  }
  bare_anchor_ = atoms == 1 && anchor;
  return {};
}

Result<Atom> Translator::atom(Options options) {
  const char c = in_.peek();
  if (c != '(') {
    const bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (!is_letter) folded_ = 0;
  }
  if (c == '*' || c == '+' || c == '?') return in_.refuse("a repeat without anything before it");
  if (c == '{') {
    const auto start = in_;
    if (read_interval()) return in_.refuse("a repeat without anything before it");
    in_ = start;
  }
  if (c == '(') return group(options);
  if (c == '\\') return escape(options);
  if (c == '[') {
    const auto set = read_class(in_, options.ignore_case);
    if (!set) return forward_error(set);
    return Atom{set->pattern()};
  }
  if (in_.take("^")) return Atom{"^", false};
  if (in_.take("$")) return Atom{"$", false};
  if (in_.take(".")) return Atom{options.dot_all ? "\\p{Any}" : "[^\\n]"};
  return letter(in_.character(), options);
}

Result<Atom> Translator::letter(char32_t c, Options options) {
  if (!options.ignore_case) {
    CharacterSet one;
    one.add_range(c, c);
    return Atom{one.members()};
  }
  const auto set = with_other_case(in_, c, c);
  if (!set) return forward_error(set);
  const char lower = c < 0x80 ? static_cast<char>(c | 0x20) : '\0';
  if (folds_together(folded_, lower))
    return in_.refuse(
        fmt::format("\"{}{}\" with case ignored, which also stands for one character,", folded_, lower));
  folded_ = lower;
  return Atom{set->pattern()};
}

Result<Atom> Translator::escape(Options options) {
  struct Anchor {
    const char* name;
    const char* pattern;
  };
  constexpr Anchor kAnchors[] = {{"\\A", "\\A"}, {"\\z", "\\z"}, {"\\Z", "\\Z"}};
  for (const auto& anchor : kAnchors)
    if (in_.take(anchor.name)) return Atom{anchor.pattern, false};
  if (in_.take("\\R")) return Atom{R"((?>\r\n|[\n-\r\x{85}\x{2028}\x{2029}]))"};
  if (in_.take("\\N")) return Atom{"[^\\n]"};
  if (in_.take("\\O")) return Atom{"\\p{Any}"};
  const bool boundary = in_.take("\\b");
  if (boundary || in_.take("\\B")) {
    const std::string word = word_set().pattern();
    const char* same =
        boundary ? "(?:(?<={0})(?!{0})|(?<!{0})(?={0}))" : "(?:(?<={0})(?={0})|(?<!{0})(?!{0}))";
    return Atom{fmt::format(fmt::runtime(same), word), false};
  }
  const auto set = read_set_escape(in_, false);
  if (!set) return forward_error(set);
  if (*set) return Atom{(*set)->set.pattern()};
  const auto c = read_character_escape(in_);
  if (!c) return forward_error(c);
  return letter(*c, options);
}

Result<Atom> Translator::finish_group(std::string_view opening, Options options) {
  // The text of the group is written at the end of out_ and taken from there.
  const std::size_t begin = out_.size();
  out_ += opening;
  run_ = 0;
  if (auto ok = alternatives(options); !ok) return forward_error(ok);
  if (!in_.take(")")) return in_.refuse("a group without its closing parenthesis");
  Atom result{out_.substr(begin) + ")"};
  out_.resize(begin);
  return result;
}

Result<Atom> Translator::look(std::string_view opening, Options options) {
  const bool outer = in_look_behind_;
  if (outer) return in_.refuse("a look-around inside a look-behind");
  in_look_behind_ = opening.find('<') != std::string_view::npos;
  auto result = finish_group(fmt::format("{}{}", opening, kCount), options);
  in_look_behind_ = outer;
  if (result) result->repeatable = false;
  return result;
}

Result<Atom> Translator::group(Options options) {
  for (const char* opening : {"(?=", "(?!", "(?<=", "(?<!"})
    if (in_.take(opening)) return look(opening, options);
  if (in_.take("(?:")) {
    // Oniguruma takes such a group for what is in it, and repeats no anchor.
    auto result = finish_group("(?:", options);
    if (result && bare_anchor_) result->repeatable = false;
    return result;
  }
  if (in_.take("(?>")) return finish_group("(?>", options);
  if (in_.take("(?<")) return name_and_group('>', options);
  if (in_.take("(?'")) return name_and_group('\'', options);
  if (in_.take("(?")) return options_and_group(options);
  if (in_.starts_with("(*")) return in_.refuse("a callout (*...)");
  in_.take("(");
  if (in_look_behind_) return in_.refuse("a capturing group inside a look-behind");
  return finish_group("(?:", options);
}

Result<Atom> Translator::name_and_group(char closing, Options options) {
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";
  if (in_look_behind_) return in_.refuse("a capturing group inside a look-behind");
  std::string name;
  while (!in_.at_end() && in_.peek() != closing)
    name += in_.byte();
  const bool plain = !name.empty() && kLetters.find(name[0]) != std::string_view::npos &&
                     name.find_first_not_of(std::string(kLetters) + "0123456789") == std::string::npos;
  if (!plain || in_.at_end()) return in_.refuse("a group whose name is not letters, digits and _");
  in_.byte();
  return finish_group("(?:", options);
}

Result<Atom> Translator::options_and_group(Options options) {
  bool value = true;
  while (!in_.at_end() && in_.peek() != ':' && in_.peek() != ')') {
    const char c = in_.byte();
    if (c == 'i') options.ignore_case = value;
    if (c == 'm') options.dot_all = value;
    if (c == '-' && !value) return in_.refuse("a second - among the options of a group");
    if (c == '-') value = false;
    if (c != 'i' && c != 'm' && c != '-') return in_.refuse(fmt::format("a group that begins with (?{}", c));
  }
  if (in_.take(":")) return finish_group("(?:", options);
  if (!in_.take(")")) return in_.refuse("a group without its closing parenthesis");
  // (?i) alone: the rest of the group around it, with all its alternatives, is one group.
  const std::size_t begin = out_.size();
  out_ += "(?:";
  if (auto ok = alternatives(options); !ok) return forward_error(ok);
  Atom rest{out_.substr(begin) + ")"};
  out_.resize(begin);
  return rest;
}

std::optional<Repeat> Translator::read_interval() {
  if (!in_.take("{")) return std::nullopt;
  Repeat repeat{0, std::string_view::npos, false, true};
  const auto low = in_.number();
  repeat.low = low.value_or(0);
  if (in_.take("}")) {
    repeat.exact = true;
    repeat.high = repeat.low;
    return low ? std::optional(repeat) : std::nullopt;
  }
  if (!in_.take(",")) return std::nullopt;
  const auto high = in_.number();
  if (high) repeat.high = *high;
  return in_.take("}") && (low || high) ? std::optional(repeat) : std::nullopt;
}

std::optional<Repeat> Translator::read_repeat() {
  if (in_.take("*")) return Repeat{0, std::string_view::npos, false, false};
  if (in_.take("+")) return Repeat{1, std::string_view::npos, false, false};
  if (in_.take("?")) return Repeat{0, 1, false, false};
  const auto start = in_;
  auto interval = read_interval();
  if (!interval) in_ = start;
  return interval;
}

/// `atom` with its repeat. The sign after an interval is no suffix of it but a repeat of its own in two
/// cases: X{n,m}+ is (?:X{n,m})+, and X{n}? is (?:X{n})?.
Result<std::string> Translator::repeated(const std::string& atom, const Repeat& repeat) {
  constexpr auto kOpen = std::string_view::npos;
  if (repeat.high != kOpen && repeat.high < repeat.low) return in_.refuse("an interval {n,m} with n above m");
  if (repeat.low > kMaxRepeat || (repeat.high != kOpen && repeat.high > kMaxRepeat))
    return in_.refuse(fmt::format("a repeat of more than {} times", kMaxRepeat));
  std::string result = atom + fmt::format("{{{},", repeat.low);
  if (repeat.high != kOpen) result += fmt::format("{}", repeat.high);
  result += '}';
  if (repeat.interval && in_.take("+")) return fmt::format("(?:{}{})+", result, kCount);
  if (repeat.exact && in_.take("?")) return fmt::format("(?:{})?", result);
  if (in_.take("?")) return result + '?';
  if (in_.take("+")) return result + '+';
  return result;
}

Status Translator::repeat(Atom atom) {
  const bool choice = atom.pattern.size() > 2 && atom.pattern[0] == '(' && atom.repeatable;
  const auto repeat = read_repeat();
  if (!repeat) {
    out_ += atom.pattern;
    if (choice || ++run_ >= kLongRun) count();
    return {};
  }
  if (!atom.repeatable) return in_.refuse("a repeat of what has no length");
  const auto pattern = repeated(atom.pattern, *repeat);
  if (!pattern) return forward_error(pattern);
  if (read_repeat()) return in_.refuse("a repeat of a repeat");
  folded_ = 0;
  if (repeat->high > kShortRepeat) count();
  out_ += *pattern;
  count();
  return {};
}

}  // namespace

Result<std::string> oniguruma_to_pcre(std::string_view pattern, const std::string& where) {
  return Translator(pattern, where).run();
}

}  // namespace expertscope
