// SPDX-License-Identifier: GPL-3.0-or-later
#define PCRE2_CODE_UNIT_WIDTH 8
#include "engine/text/regex_sets.h"

#include <fmt/format.h>
#include <pcre2.h>

#include <array>
#include <memory>
#include <utility>

#include "engine/text/unicode_additions.h"

namespace expertscope {
namespace {

/// Whether PCRE2 knows \p{sc:name}.
bool is_script(std::string_view name) {
  const std::string probe = fmt::format("\\p{{sc:{}}}", name);
  int error = 0;
  PCRE2_SIZE offset = 0;
  const std::unique_ptr<pcre2_code, decltype(&pcre2_code_free)> code(
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(probe.data()), probe.size(), PCRE2_UTF, &error, &offset,
                    nullptr),
      &pcre2_code_free);
  return code != nullptr;
}

struct Name {
  std::string_view longer;
  std::string_view category;
};
constexpr std::array kCategories = {Name{"letter", "L"},
                                    Name{"uppercaseletter", "Lu"},
                                    Name{"lowercaseletter", "Ll"},
                                    Name{"titlecaseletter", "Lt"},
                                    Name{"modifierletter", "Lm"},
                                    Name{"otherletter", "Lo"},
                                    Name{"mark", "M"},
                                    Name{"nonspacingmark", "Mn"},
                                    Name{"spacingmark", "Mc"},
                                    Name{"enclosingmark", "Me"},
                                    Name{"number", "N"},
                                    Name{"decimalnumber", "Nd"},
                                    Name{"letternumber", "Nl"},
                                    Name{"othernumber", "No"},
                                    Name{"punctuation", "P"},
                                    Name{"connectorpunctuation", "Pc"},
                                    Name{"dashpunctuation", "Pd"},
                                    Name{"openpunctuation", "Ps"},
                                    Name{"closepunctuation", "Pe"},
                                    Name{"initialpunctuation", "Pi"},
                                    Name{"finalpunctuation", "Pf"},
                                    Name{"otherpunctuation", "Po"},
                                    Name{"symbol", "S"},
                                    Name{"mathsymbol", "Sm"},
                                    Name{"currencysymbol", "Sc"},
                                    Name{"modifiersymbol", "Sk"},
                                    Name{"othersymbol", "So"},
                                    Name{"separator", "Z"},
                                    Name{"spaceseparator", "Zs"},
                                    Name{"lineseparator", "Zl"},
                                    Name{"paragraphseparator", "Zp"},
                                    Name{"other", "C"},
                                    Name{"control", "Cc"},
                                    Name{"format", "Cf"},
                                    Name{"privateuse", "Co"},
                                    Name{"unassigned", "Cn"}};

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c | 0x20);
  return result;
}

/// Whether the ranges of `set` are among those of `name`: of every category that begins with the letter, but
/// the categories of what is not a character lose as many as they get.
bool has_part(std::string_view name, std::string_view set) {
  const bool letter = name.size() == 1 && name != "C";
  return name == set || (letter && set.size() == 2 && set[0] == name[0]);
}

/// PCRE2's own `members` with what is new of the set `name`, without what is no longer in it.
CharacterSet current(std::string members, const std::string& name) {
  CharacterSet set(std::move(members));
  CharacterSet gone;
  for (const auto& addition : unicode_additions()) {
    if (has_part(name, addition.set)) set.add_range(addition.first, addition.last);
    if (addition.set.starts_with('-') && addition.set.substr(1) == name)
      gone.add_range(addition.first, addition.last);
  }
  if (gone.empty()) return set;
  gone.negate();
  set.intersect(gone);
  return set;
}

CharacterSet category(std::string_view name) {
  return current(fmt::format("\\p{{{}}}", name), std::string(name));
}

}  // namespace

void CharacterSet::add_range(char32_t first, char32_t last) {
  CharacterSet range(fmt::format("\\x{{{:x}}}", static_cast<std::uint32_t>(first)));
  if (first != last) range.members_ += fmt::format("-\\x{{{:x}}}", static_cast<std::uint32_t>(last));
  add(range);
}

void CharacterSet::add(const CharacterSet& other) {
  if (negated_) {
    std::string so_far = pattern();
    *this = {};
    others_.push_back(std::move(so_far));
  }
  if (other.negated_) {
    others_.push_back(other.pattern());
    return;
  }
  members_ += other.members_;
  others_.insert(others_.end(), other.others_.begin(), other.others_.end());
}

void CharacterSet::intersect(const CharacterSet& other) {
  std::string both = fmt::format("(?:(?={}){})", other.pattern(), pattern());
  *this = {};
  others_.push_back(std::move(both));
}

void CharacterSet::negate() {
  negated_ = !negated_;
}

std::string CharacterSet::pattern() const {
  std::string list = members_.empty() ? "" : fmt::format("[{}{}]", negated_ ? "^" : "", members_);
  if (others_.empty()) return list;
  const std::string others = fmt::format("{}", fmt::join(others_, "|"));
  if (!negated_) return fmt::format("(?:{}{}{})", list, list.empty() ? "" : "|", others);
  return fmt::format("(?:(?!{}){})", others, list.empty() ? "\\p{Any}" : list);
}

CharacterSet white_space_set() {
  // PCRE2's own \s has U+180E too.
  return CharacterSet(R"(\x09-\x0d\x20\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f})"
                      R"(\x{3000})");
}

CharacterSet word_set_in_class() {
  // The ranges are the symbols that are alphabetic (circled and squared letters).
  CharacterSet set(R"(\x{24b6}-\x{24e9}\x{1f130}-\x{1f149}\x{1f150}-\x{1f169}\x{1f170}-\x{1f189})");
  for (const char* name : {"L", "M", "Nl", "Nd", "Pc"})
    set.add(category(name));
  return set;
}

CharacterSet word_set() {
  CharacterSet set = word_set_in_class();
  set.add(CharacterSet(R"(\x{b2}\x{b3}\x{b9}\x{bc}-\x{be})"));
  return set;
}

std::optional<Property> find_property(std::string_view name) {
  for (const auto& known : kCategories)
    if (name == known.longer || name == lower(known.category)) {
      const bool has_case = known.category[0] == 'L' && known.category.size() > 1;
      return Property{category(known.category), has_case ? '\0' : known.category[0]};
    }
  if (name == "whitespace") return Property{white_space_set(), 'Z'};
  for (const char* binary : {"Alphabetic", "Uppercase", "Lowercase"})
    if (name == lower(binary)) return Property{category(binary), 0};
  const bool plain =
      !name.empty() && name.find_first_not_of("abcdefghijklmnopqrstuvwxyz") == std::string_view::npos;
  if (!plain || !is_script(name)) return std::nullopt;
  return Property{current(fmt::format("\\p{{sc:{}}}", name), std::string(name)), 0};
}

std::optional<CharacterSet> find_posix_class(std::string_view name) {
  const auto all = [](auto... names) {
    CharacterSet set;
    (set.add(category(names)), ...);
    return set;
  };
  if (name == "alpha") return all("Alphabetic");
  if (name == "alnum") return all("Alphabetic", "Nd");
  if (name == "upper") return all("Uppercase");
  if (name == "lower") return all("Lowercase");
  if (name == "digit") return all("Nd");
  if (name == "punct") return all("P", "S");
  if (name == "cntrl") return all("Cc");
  if (name == "word") return word_set_in_class();
  if (name == "space") return white_space_set();
  if (name == "xdigit") return CharacterSet("0-9A-Fa-f");
  if (name == "ascii") return CharacterSet("\\x{0}-\\x{7f}");
  if (name == "blank") {
    auto set = all("Zs");
    set.add_range('\t', '\t');
    return set;
  }
  return std::nullopt;
}

}  // namespace expertscope
