// SPDX-License-Identifier: GPL-3.0-or-later
#define PCRE2_CODE_UNIT_WIDTH 8
#include "engine/text/regex_syntax.h"

#include <pcre2.h>

#include <algorithm>
#include <memory>

namespace expertscope {
namespace {

/// The property White_Space, which is what \s means in Oniguruma; PCRE2 adds U+180E.
constexpr std::string_view kSpace =
    R"(\x09-\x0d\x20\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";
/// Alphabetic, M, Nd and Pc; the ranges are the symbols that are alphabetic (circled and squared letters).
constexpr std::string_view kWord =
    R"(\p{L}\p{M}\p{Nl}\p{Nd}\p{Pc}\x{24b6}-\x{24e9}\x{1f130}-\x{1f149}\x{1f150}-\x{1f169}\x{1f170}-\x{1f189})";
constexpr std::string_view kHex = "0-9A-Fa-f";

/// Whether PCRE2 knows \p{sc:name}. Before 10.40 it does not; there the bare name has the meaning wanted.
bool is_script(std::string_view name) {
  constexpr std::string_view kNameCharacters =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_- ";
  if (name.find_first_not_of(kNameCharacters) != std::string_view::npos) return false;
  const std::string probe = fmt::format("\\p{{sc:{}}}", name);
  int error = 0;
  PCRE2_SIZE offset = 0;
  const std::unique_ptr<pcre2_code, decltype(&pcre2_code_free)> code(
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(probe.data()), probe.size(), PCRE2_UTF, &error, &offset,
                    nullptr),
      &pcre2_code_free);
  return code != nullptr;
}

class Translator {
 public:
  Translator(std::string_view pattern, const std::string& where) : pattern_(pattern), where_(where) {}

  Result<std::string> run() {
    while (at_ < pattern_.size()) {
      const Status ok = pattern_[at_] == '\\' ? escape() : in_class_ ? class_character() : character();
      if (!ok) return forward_error(ok);
    }
    return std::move(out_);
  }

 private:
  char peek(std::size_t ahead) const { return at_ + ahead < pattern_.size() ? pattern_[at_ + ahead] : '\0'; }
  void copy(std::size_t count) {
    out_ += pattern_.substr(at_, count);
    at_ += count;
  }
  tl::unexpected<Error> refuse(std::string_view what) const {
    return fail(ErrorCode::unsupported, "{}: {} is not supported in a pattern (at byte {})", where_, what,
                at_);
  }

  Status set(std::string_view members, bool negated) {
    if (negated && in_class_) return refuse("a negated class inside [...]");
    if (in_class_) out_ += members;
    if (!in_class_) out_ += fmt::format("[{}{}]", negated ? "^" : "", members);
    at_ += 2;
    return {};
  }

  /// \\uHHHH
  Status code_point() {
    constexpr std::size_t kDigits = 4;
    const auto digits = pattern_.substr(std::min(at_ + 2, pattern_.size()), kDigits);
    if (digits.size() != kDigits ||
        digits.find_first_not_of("0123456789abcdefABCDEF") != std::string_view::npos)
      return refuse("\\u without four digits");
    out_ += fmt::format("\\x{{{}}}", digits);
    at_ += 2 + kDigits;
    return {};
  }

  /// \p{...} or \P{...}. The name of a script alone stands for Script in Oniguruma, for Script_Extensions
  /// in PCRE2 since 10.40: there \p{Han} has U+3001 and other punctuation that several scripts share.
  Status property() {
    const std::size_t brace = at_ + 2;
    const auto end = pattern_.find('}', brace);
    std::size_t name = brace + 1;
    if (peek(2) == '{' && peek(3) == '^') ++name;
    const bool braced = peek(2) == '{' && end != std::string_view::npos && name < end;
    if (!braced || !is_script(pattern_.substr(name, end - name))) {
      copy(2);
      return {};
    }
    copy(name - at_);
    out_ += "sc:";
    copy(end + 1 - at_);
    return {};
  }

  Status escape() {
    switch (peek(1)) {
      case 's':
        return set(kSpace, false);
      case 'w':
        return set(kWord, false);
      case 'h':
        return set(kHex, false);
      case 'S':
        if (in_class_) break;  // PCRE2's own differs from it in one character of no importance
        return set(kSpace, true);
      case 'u':
        return code_point();
      case 'p':
      case 'P':
        return property();
      case 'W':
        return set(kWord, true);
      case 'H':
        return set(kHex, true);
      default:
        break;
    }
    copy(2);
    return {};
  }

  Status character() {
    if (pattern_.substr(at_).starts_with("(?") && options_differ())
      return refuse("an option other than (?i) or (?x)");
    if (pattern_[at_] == '[') {
      in_class_ = true;
      copy(1);
      if (peek(0) == '^') copy(1);
      if (peek(0) == ']') copy(1);
      return {};
    }
    copy(1);
    return {};
  }

  /// (?m) is dot-all in Ruby and multi-line in Perl.
  bool options_differ() const {
    for (std::size_t i = 2; at_ + i < pattern_.size(); ++i) {
      const char c = peek(i);
      if (c == ':' || c == ')') return false;
      if (c == 'm' || c == 's' || c == 'a' || c == 'u') return true;
      if (c != 'i' && c != 'x' && c != '-') return false;  // not options: a group of another kind
    }
    return false;
  }

  Status class_character() {
    if (pattern_.substr(at_).starts_with("&&")) return refuse("the intersection && inside [...]");
    if (pattern_[at_] == '[' && peek(1) == ':') {
      const auto end = pattern_.find(":]", at_);
      if (end == std::string_view::npos) return refuse("an unfinished [:class:]");
      copy(end + 2 - at_);
      return {};
    }
    if (pattern_[at_] == '[') return refuse("a class inside [...]");
    if (pattern_[at_] == ']') in_class_ = false;
    copy(1);
    return {};
  }

  std::string_view pattern_;
  const std::string& where_;
  std::string out_;
  std::size_t at_ = 0;
  bool in_class_ = false;
};

}  // namespace

Result<std::string> oniguruma_to_pcre(std::string_view pattern, const std::string& where) {
  return Translator(pattern, where).run();
}

}  // namespace expertscope
