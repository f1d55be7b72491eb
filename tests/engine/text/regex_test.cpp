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
  EXPECT_THAT(matches(R"(\u12)", "a"), ElementsAre(HasSubstr("\\u without four digits")));
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

TEST(Regex, CategoriesAndOtherPropertiesStay) {
  EXPECT_THAT(matches(R"(\p{Lu}+|\p{Nd}+)", "aBC12"), ElementsAre("BC", "12"));
  EXPECT_THAT(matches(R"(\p{Alphabetic}+)", "a、b"), ElementsAre("a", "b"));
  EXPECT_THAT(matches(R"(\p{White_Space}+)", "a b"), ElementsAre(" "));
  EXPECT_THAT(matches(R"(\p{Hann})", "a"),
              ElementsAre(HasSubstr("the pattern cannot be used: unknown property")));
  EXPECT_THAT(matches(R"(\p{Han)", "a"), ElementsAre(HasSubstr("the pattern cannot be used")));
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

TEST(Regex, WhatTheTwoSyntaxesReadDifferentlyIsRefusedByName) {
  EXPECT_THAT(matches(R"([\p{Lu}&&[^\p{Han}]])", "a"),
              ElementsAre(HasSubstr("the intersection && inside [...]")));
  EXPECT_THAT(matches("[a[bc]]", "a"), ElementsAre(HasSubstr("a class inside [...]")));
  EXPECT_THAT(matches("(?m:.)", "a"), ElementsAre(HasSubstr("an option other than (?i)")));
  EXPECT_THAT(matches(R"([^\W_])", "a"), ElementsAre(HasSubstr("a negated class inside [...]")));
  EXPECT_THAT(matches("(", "a"), ElementsAre(HasSubstr("test: the pattern cannot be used")));
  EXPECT_THAT(matches(std::string(70'000, 'a'), "a"), ElementsAre(HasSubstr("70000 bytes, longer than")));
  EXPECT_THAT(matches("(?<name>a)(?i:B)(?=c)(?!d)(?>e)?", "abc"), ElementsAre("ab"));
}

TEST(RegexSyntax, OnlyWhatDiffersIsRewritten) {
  EXPECT_EQ(oniguruma_to_pcre(R"( ?[^\p{L}\p{N}\r\n]+|\\s|[]a])", "x"), R"( ?[^\p{L}\p{N}\r\n]+|\\s|[]a])");
  EXPECT_THAT(*oniguruma_to_pcre(R"(\S\s)", "x"), HasSubstr(R"([^\x09-\x0d)"));
  EXPECT_EQ(oniguruma_to_pcre("[[:alpha:]]", "x"), "[[:alpha:]]");
  EXPECT_EQ(oniguruma_to_pcre(R"(\p{Lu}\P{N}\p{L&}\p{Xan}\\p{Han}\p{}\p)", "x"),
            R"(\p{Lu}\P{N}\p{L&}\p{Xan}\\p{Han}\p{}\p)");
  EXPECT_EQ(oniguruma_to_pcre(R"(\p{Old_Italic}\P{^Greek}[\p{hira}])", "x"),
            R"(\p{sc:Old_Italic}\P{^sc:Greek}[\p{sc:hira}])");
}

}  // namespace
}  // namespace expertscope
