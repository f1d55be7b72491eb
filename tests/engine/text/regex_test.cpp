// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/text/regex.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/text/regex_syntax.h"

namespace expertscope {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::string> matches(std::string_view pattern, std::string_view text) {
  const auto regex = Regex::compile(pattern, "test");
  if (!regex) return {regex.error().message};
  std::vector<std::string> found;
  RegexScratch scratch;
  const auto ok = regex->for_each_match(text, scratch, [&](std::size_t begin, std::size_t end) {
    found.emplace_back(text.substr(begin, end - begin));
  });
  if (!ok) found.push_back(ok.error().message);
  return found;
}

TEST(Regex, ClassesAreThoseOfUnicode) {
  EXPECT_THAT(matches(R"(\p{L}+)", "naïve Ω 路由 x1"), ElementsAre("naïve", "Ω", "路由", "x"));
  EXPECT_THAT(matches(R"(\s+)", "a\u3000b\u00a0\u0085c"), ElementsAre("\u3000", "\u00a0\u0085"));
  EXPECT_THAT(matches(R"(\s)", "\u180e\u200b"), ElementsAre());  // white space in PCRE2, not in Oniguruma
  EXPECT_THAT(matches(R"([\s,]+)", "a, b"), ElementsAre(", "));
  EXPECT_THAT(matches(R"([\u4e00-\u9fa5]+|\u0061)", "a路由b"), ElementsAre("a", "路由"));
  EXPECT_THAT(matches(R"(\h+)", "xdeadBEEFx"), ElementsAre("deadBEEF"));
}

TEST(Regex, AScriptIsTheScriptOfACharacterAndNotThoseThatUseIt) {
  // U+3001, U+30FC and U+0951 have several scripts in Script_Extensions and are Common or Inherited by
  // Script.
  EXPECT_THAT(matches(R"(\p{Han}+)", "路、由"), ElementsAre("路", "由"));
  EXPECT_THAT(matches(R"(\P{Han}+)", "路、由"), ElementsAre("、"));
  EXPECT_THAT(matches(R"(\p{^Han}+)", "路、由"), ElementsAre("、"));
  EXPECT_THAT(matches(R"([\p{Han}x]+)", "x路、由"), ElementsAre("x路", "由"));
  EXPECT_THAT(matches(R"([^\p{han}]+)", "路、由"), ElementsAre("、"));
  EXPECT_THAT(matches(R"([\p{Hiragana}\p{Katakana}]+)", "カー、の"), ElementsAre("カ", "の"));
  EXPECT_THAT(matches(R"(\p{Devanagari}+)", "क\u0951"), ElementsAre("क"));
  EXPECT_THAT(matches(R"(\p{Common}+)", "路、由"), ElementsAre("、"));
}

TEST(Regex, PropertiesHaveTheNamesOfOniguruma) {
  EXPECT_THAT(matches(R"(\p{Lu}+|\p{Decimal Number}+)", "aBC12"), ElementsAre("BC", "12"));
  EXPECT_THAT(matches(R"(\p{Alphabetic}+)", "a、b"), ElementsAre("a", "b"));
  EXPECT_THAT(matches(R"(\p{White_Space}+)", "a b"), ElementsAre(" "));
  EXPECT_THAT(matches(R"(\p{Hann})", "a"), ElementsAre(HasSubstr("the property \\p{Hann} is not supported")));
  EXPECT_THAT(matches(R"(\p{L&})", "a"), ElementsAre(HasSubstr("the property \\p{L&} is not supported")));
  EXPECT_THAT(matches(R"(\p{Han)", "a"), ElementsAre(HasSubstr("the property \\p{Han} is not supported")));
}

TEST(Regex, CharactersNewerThanTheLibraryAreKnown) {
  // U+31350 (Lo, Han, Unicode 15), U+1C89 (Lu, Cyrillic, 16), U+11F50 (Nd, 15), U+1FAE8 (So, 15).
  EXPECT_THAT(matches(R"(\p{Han}+)", "\U00031350、"), ElementsAre("\U00031350"));
  EXPECT_THAT(matches(R"(\p{Lu}|\p{Cyrillic})", "\u1c89"), ElementsAre("\u1c89"));
  EXPECT_THAT(matches(R"([^\s\p{L}\p{N}]+)", "\u1c89\U00011f50\U0001fae8"), ElementsAre("\U0001fae8"));
  EXPECT_THAT(matches(R"(\d|\p{Cn})", "\U00011f50\u0378"), ElementsAre("\U00011f50", "\u0378"));
  EXPECT_THAT(matches(R"(\b\w)", "\U00031350\u1c89"), ElementsAre("\U00031350"));
}

TEST(Regex, CaretAndDollarStandAtEveryLine) {
  EXPECT_THAT(matches("^b$", "a\nb\nc"), ElementsAre("b"));
}

TEST(Regex, EmptyMatchesAdvanceByCharactersAndNeverTouchTheMatchBefore) {
  EXPECT_THAT(matches("x*", "axé"), ElementsAre("", "x", ""));
  EXPECT_THAT(matches("(?=b)", "abb"), ElementsAre("", ""));
}

TEST(Regex, ALiteralMatchesItself) {
  for (const std::string text : {"a.b", "\\d", "[x]", "(?:", "^$", "{1}", "#-&~ |", "é*"}) {
    const auto regex = Regex::literal(text, "test");
    ASSERT_TRUE(regex) << regex.error().message;
    int count = 0;
    RegexScratch scratch;
    EXPECT_TRUE(
        regex->for_each_match("x" + text + text + "y", scratch, [&](std::size_t, std::size_t) { ++count; }));
    EXPECT_EQ(count, 2) << text;
  }
}

TEST(Regex, RepeatsAreThoseOfOniguruma) {
  EXPECT_THAT(matches(R"(\p{N}{1,3}+)", "1234567"), ElementsAre("1234567"));
  EXPECT_THAT(matches(R"(\p{N}{1,3})", "1234567"), ElementsAre("123", "456", "7"));
  EXPECT_THAT(matches("a{2}+", "aaaaa"), ElementsAre("aaaa"));
  EXPECT_THAT(matches("a{,2}b", "aaab"), ElementsAre("aab"));
  EXPECT_THAT(matches("a{2}?b", "aab b"), ElementsAre("aab", "b"));
  EXPECT_THAT(matches("a{1,2}?", "aa"), ElementsAre("a", "a"));
  EXPECT_THAT(matches("a{,}|a{x", "a{,}a{x"), ElementsAre("a{,}", "a{x"));
  EXPECT_THAT(matches("a++a|b", "aab"), ElementsAre("b"));
}

TEST(Regex, ClassesAreSetsWithIntersectionAndClassesInside) {
  EXPECT_THAT(matches(R"([\p{L}&&[^\p{Han}]]+)", "ab路c"), ElementsAre("ab", "c"));
  EXPECT_THAT(matches("[a[bc]]+", "abcd"), ElementsAre("abc"));
  EXPECT_THAT(matches(R"([^\W_]+)", "a_b"), ElementsAre("a", "b"));
  EXPECT_THAT(matches("[[:^alpha:]]+", "ab12"), ElementsAre("12"));
  EXPECT_THAT(matches("[[:punct:]]+", "a+,b"), ElementsAre("+,"));
  EXPECT_THAT(matches(R"(\w+)", "a²"), ElementsAre("a²"));   // so it is in Oniguruma,
  EXPECT_THAT(matches(R"([\w]+)", "a²"), ElementsAre("a"));  // and so
}

TEST(Regex, IgnoringCaseKnowsTheLettersThatFoldToAscii) {
  EXPECT_THAT(matches("(?i:'s|'t)", "'S'ſ'T"), ElementsAre("'S", "'ſ", "'T"));
  EXPECT_THAT(matches("(?i)[a-k]+", "aK\u212a"), ElementsAre("aK\u212a"));
  EXPECT_THAT(matches("a(?i)b|c", "aBaCC"), ElementsAre("aB", "aC"));
  EXPECT_THAT(matches("(?m:a.)", "a\n"), ElementsAre("a\n"));
}

TEST(Regex, WhatHasNoEquivalentIsRefusedByName) {
  const std::pair<const char*, const char*> refused[] = {
      {R"(\pL)", "\\p without {...} is not supported in a pattern (at byte 2)"},
      {R"((a)\1)", "the escape \\1"},
      {R"(\Ka)", "the escape \\K"},
      {R"(\X)", "the escape \\X"},
      {R"(\G)", "the escape \\G"},
      {R"(\Qa\E)", "the escape \\Q"},
      {R"(\xe9)", "\\x of 80 or more without braces"},
      {R"(\u12)", "a code point without its digits"},
      {R"(\x{d800})", "the code point d800"},
      {"a\\", "a backslash at the end"},
      {"a**", "a repeat of a repeat"},
      {"a{3,1}", "an interval {n,m} with n above m"},
      {"a{1001}", "a repeat of more than 1000 times"},
      {"(?=a)*", "a repeat of what has no length"},
      {"^*", "a repeat of what has no length"},
      {"*a", "a repeat without anything before it"},
      {"a|{2}", "a repeat without anything before it"},
      {"(?x) a", "a group that begins with (?x"},
      {"(?#a)", "a group that begins with (?#"},
      {"(?~a)", "a group that begins with (?~"},
      {"(?P<n>a)", "a group that begins with (?P"},
      {"(*FAIL)", "a callout (*...)"},
      {"(?<1>a)", "a group whose name is not letters, digits and _"},
      {"(?<=(?=a))b", "a look-around inside a look-behind"},
      {"(?<!(a))b", "a capturing group inside a look-behind"},
      {"(a", "a group without its closing parenthesis"},
      {"a)", "a closing parenthesis without an opening one"},
      {"[a", "a class without its closing bracket"},
      {"[]", "an empty class"},
      {"[a&&]", "an empty class"},
      {"[z-a]", "a range inside [...] that ends before it begins"},
      {R"([a-\d])", "the escape \\d"},
      {"[a-c-e]", "a - inside [...] that belongs to no range"},
      {"[[:graph:]]", "the class [:graph:]"},
      {"(?i)ss", "\"ss\" with case ignored"},
      {"(?i)f(?:i)", "\"fi\" with case ignored"},
      {"(?i)ß", "a letter beyond ASCII with case ignored"},
      {R"((?i)[\p{L}])", "a class of letters inside [...] with case ignored"},
      {R"((?i)[^\p{Lu}])", "a class of letters inside [...] with case ignored"},
      {R"((?i)[\S])", "a class of letters inside [...] with case ignored"},
      {"(?i)[[:alpha:]]", "[:class:] with case ignored"},
      {"(?<=a*)b", "the pattern cannot be used: lookbehind assertion is not fixed length"},
      {"(?<=a{300})b", "a look-behind of 300 characters, more than 255"},
  };
  for (const auto& [pattern, message] : refused)
    EXPECT_THAT(matches(pattern, "a"), ElementsAre(HasSubstr(std::string("test: ") + message))) << pattern;
  EXPECT_THAT(matches(std::string(70'000, 'a'), "a"), ElementsAre(HasSubstr("70000 bytes, longer than")));
  EXPECT_THAT(matches(std::string(200, '('), "a"), ElementsAre(HasSubstr("nesting of more than 100 groups")));
  EXPECT_THAT(matches(std::string(200, '['), "a"), ElementsAre(HasSubstr("nesting of more than 20 classes")));
}

std::string repeated(std::string_view unit, std::size_t count) {
  std::string text;
  for (std::size_t i = 0; i < count; ++i)
    text += unit;
  return text;
}

/// What matching costs; whether it came to its end does not matter.
std::uint64_t steps(std::string_view pattern, std::string_view text) {
  const auto regex = Regex::compile(pattern, "test");
  EXPECT_TRUE(regex) << regex.error().message;
  RegexScratch scratch;
  (void)regex->for_each_match(text, scratch, [](std::size_t, std::size_t) {});
  return scratch.steps();
}

TEST(RegexSteps, TwiceTheTextIsAtMostTwiceTheStepsForThePatternsOfModels) {
  constexpr const char* kPatterns[] = {
      R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)",
      R"((?i:'s|'t)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
      R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}]*[\p{Ll}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}]+|\s+|\p{N}{1,3}+)"};
  for (const auto* pattern : kPatterns)
    for (const auto* unit : {"word ", "A", "7", " ", "\n", "  x", "don't!?", "路由", "😀"}) {
      const auto once = steps(pattern, repeated(unit, 20'000));
      EXPECT_LE(steps(pattern, repeated(unit, 40'000)), 2 * once + 10) << pattern << " on " << unit;
      EXPECT_LE(once, 20 * 20'000 * std::string_view(unit).size()) << pattern << " on " << unit;
    }
}

TEST(RegexSteps, APatternThatBacktracksTooMuchIsAnErrorAfterStepsInProportionToTheText) {
  constexpr const char* kPatterns[] = {
      "a*[bc]",
      "a*+[bc]|a[bc]",
      "(?:(?!a*[bc])a)*[bc]",
      "(?:a*+[bc]|a)*[xy]",
      "(?>a*[bc]|a)*[xy]",
      "a*?[bc]",
      "(?:aa*)*[bc]",
      "(a|a)*[bc]",
      "(?:a|aa){1,40}[bc]",
      "a{1,3}+[bc]",
      "(?:a?){30}[bc]",
      "a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?[bc]",
      "(?:a|a)(?:a|a)(?:a|a)(?:a|a)(?:a|a)(?:a|a)(?:a|a)(?:a|a)(?:a|a)(?:a|a)"
      "(?:a|a)(?:a|a)(?:a|a)(?:a|a)(?:a|a)(?:a|a)(?:a|a)(?:a|a)(?:a|a)(?:a|a)[bc]",
      R"(\w*\b[bc])",
      R"((?=[^x]*x)a)",
      "(?:a{1000}){10}[bc]"};
  for (const auto* pattern : kPatterns) {
    const auto text = repeated("a", 20'000);
    const auto found = matches(pattern, text);
    EXPECT_THAT(found, ElementsAre(HasSubstr("test: the pattern backtracks too much: "))) << pattern;
    EXPECT_LE(steps(pattern, text), 1'000'000 + 101 * text.size()) << pattern;
  }
}

TEST(RegexSteps, ALongRunOfSpacesIsNoHostileText) {
  const std::string spaces(6'000'000, ' ');
  EXPECT_THAT(matches(R"(\s*[\r\n]+|\s+(?!\S)|\s+)", spaces), ElementsAre(spaces));
}

TEST(RegexSteps, MemoryIsBoundedToo) {
  EXPECT_THAT(matches("(?:a|a)*[bc]", repeated("a", 1'000'000)),
              ElementsAre(HasSubstr("test: the pattern backtracks too much: it takes more memory")));
}

TEST(RegexSteps, TheTextsOfOneScratchShareTheirSteps) {
  const auto regex = Regex::compile("(?:a|a)*[bc]", "test");
  ASSERT_TRUE(regex);
  RegexScratch scratch;
  const std::string text(14, 'a');
  int good = 0;
  while (good < 1000 && regex->for_each_match(text, scratch, [](std::size_t, std::size_t) {}))
    ++good;
  EXPECT_GT(good, 1);
  EXPECT_LT(good, 1000);
  EXPECT_LE(scratch.steps(), 1'000'000 + 100 * 14 * 1000);
}

TEST(RegexSyntax, ATranslationIsAtMostAMebibyteHoweverShortThePattern) {
  const auto refused = [](const std::string& piece, int count, const std::string& end = "") {
    std::string pattern = end.empty() ? "" : "[";
    for (int i = 0; i < count; ++i)
      pattern += piece;
    const auto regex = Regex::compile(pattern + end, "test");
    return regex ? std::string("not refused") : regex.error().message;
  };
  EXPECT_THAT(refused("\\b", 32768), HasSubstr("a pattern that takes more than a mebibyte"));
  EXPECT_THAT(refused("\\w", 32000, "]"), HasSubstr("a class that takes more than a mebibyte"));
  EXPECT_THAT(refused("[\\w]", 16000, "]"), HasSubstr("a class that takes more than a mebibyte"));
  EXPECT_THAT(refused("[:word:]", 8000, "]"), HasSubstr("a class that takes more than a mebibyte"));
  EXPECT_EQ(refused("a&&", 64, "a]"), "not refused");
  EXPECT_THAT(refused("a&&", 65, "a]"), HasSubstr("a class with more than 64 &&"));
}

TEST(RegexSyntax, NothingIsCopiedUnread) {
  EXPECT_EQ(oniguruma_to_pcre("a.", "x"), R"(\x{61}[^\n])");
  EXPECT_EQ(oniguruma_to_pcre("(a)[b-c]+", "x"), R"((?:\x{61})(?C)[\x{62}-\x{63}]{1,}(?C))");
}

}  // namespace
}  // namespace expertscope
