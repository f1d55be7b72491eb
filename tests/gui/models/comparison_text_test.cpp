// SPDX-License-Identifier: GPL-3.0-or-later
// A comparison in words: where the texts part, what it did to the perplexity.
#include "views/models/comparison_text.h"

#include <gtest/gtest.h>

#include "tests/gui/support.h"

namespace expertscope::testing {
namespace {

ComparisonSide side(const std::vector<std::string>& tokens, FinishReason reason = FinishReason::length) {
  ComparisonSide side;
  side.token_bytes = tokens;
  for (const std::string& token : tokens) {
    side.generated.ids.push_back(static_cast<std::int32_t>(std::hash<std::string>{}(token) % 100000));
    side.generated.text += token;
  }
  side.generated.reason = reason;
  return side;
}

ComparisonResult compare(ComparisonSide before, ComparisonSide after) {
  ComparisonResult result;
  result.request.prompt = "In the";
  result.before = std::move(before);
  result.after = std::move(after);
  result.first_difference = first_difference(result.before.generated.ids, result.after.generated.ids);
  return result;
}

TextPerplexity scored(double perplexity) {
  TextPerplexity scored;
  scored.result.perplexity = perplexity;
  scored.result.scored_tokens = 812;
  scored.options.context = 1024;
  scored.options.stride = 512;
  scored.dataset = "english.txt";
  return scored;
}

TEST(FirstDifference, IsWhereTwoSequencesPart) {
  EXPECT_EQ(first_difference({1, 2, 3}, {1, 2, 3}), -1);
  EXPECT_EQ(first_difference({1, 2, 3}, {1, 9, 3}), 1);
  EXPECT_EQ(first_difference({1, 2, 3}, {1, 2}), 2);
  EXPECT_EQ(first_difference({}, {4}), 0);
  EXPECT_EQ(first_difference({}, {}), -1);
}

TEST(ComparisonColumn, CutsTheTextAtTheFirstDifference) {
  const ComparisonColumn column = comparison_column(side({"God", " created", " the", " sky"}), 2);
  EXPECT_EQ(column.shared, "God created");
  EXPECT_EQ(column.first, " the");
  EXPECT_EQ(column.rest, " sky");
  EXPECT_FALSE(column.ended);
}

TEST(ComparisonColumn, WithoutADifferenceEverythingIsShared) {
  const ComparisonColumn column = comparison_column(side({"a", "b"}), -1);
  EXPECT_EQ(column.shared, "ab");
  EXPECT_TRUE(column.first.isEmpty());
  EXPECT_TRUE(column.rest.isEmpty());
}

TEST(ComparisonColumn, LeavesTheEndOfTextTokenOut) {
  const ComparisonColumn column = comparison_column(side({"a", "<|end|>"}, FinishReason::eos), 1);
  EXPECT_EQ(column.shared, "a");
  EXPECT_TRUE(column.first.isEmpty());
  EXPECT_TRUE(column.ended);
}

TEST(ComparisonColumn, NeverCutsACharacter) {
  // U+00FC is c3 bc: the texts part between its bytes.
  const ComparisonColumn column = comparison_column(side({"f\xc3", "\xbcr", " x"}), 1);
  EXPECT_EQ(column.shared, "f");
  EXPECT_EQ(column.first, QStringLiteral("ür"));
  EXPECT_EQ(column.rest, " x");
}

TEST(ComparisonColumn, ShowsBytesThatNeverBecomeACharacter) {
  const ComparisonColumn column = comparison_column(side({"a\xff", "\xe4\xb8"}), -1);
  EXPECT_TRUE(column.shared.startsWith(QStringLiteral("a\ufffd\ufffd")));
}

TEST(DivergenceSummary, SaysHowLongTheTextsAgreeAndWhatChanged) {
  EXPECT_EQ(divergence_summary(compare(side({"a", " b", " c"}), side({"a", " b", " d"}))),
            QStringLiteral("Identical for 2 tokens, then “·c” became “·d”."));
  EXPECT_EQ(divergence_summary(compare(side({"a", "b"}), side({"a", "c"}))),
            QStringLiteral("Identical for 1 token, then “b” became “c”."));
  EXPECT_EQ(divergence_summary(compare(side({"a"}), side({"b"}))),
            QStringLiteral("Different from the first token on: “a” became “b”."));
  EXPECT_EQ(divergence_summary(compare(side({"a", "b"}), side({"a", "b"}))),
            "Identical: all 2 tokens are the same.");
}

TEST(DivergenceSummary, NamesAnEarlyEnd) {
  EXPECT_EQ(divergence_summary(compare(side({"a", "b"}), side({"a", "</s>"}, FinishReason::eos))),
            QStringLiteral("Identical for 1 token, then “b” became the end of the text."));
}

TEST(PerplexitySummary, GivesBothNumbersTheirDifferenceAndTheProtocol) {
  ComparisonResult result = compare(side({"a"}), side({"b"}));
  EXPECT_TRUE(perplexity_summary(result).isEmpty());
  result.before.perplexity = scored(12.314);
  result.after.perplexity = scored(13.027);
  EXPECT_EQ(perplexity_summary(result), QStringLiteral("Perplexity 12.31 → 13.03 (+0.71, +5.8 %)"));
  EXPECT_EQ(perplexity_protocol(result),
            "812 scored tokens of english.txt, protocol hf, window 1024, stride 512");
  result.after.perplexity = scored(12.0);
  EXPECT_EQ(perplexity_summary(result), QStringLiteral("Perplexity 12.31 → 12.00 (−0.31, −2.5 %)"));
  result.before.perplexity->options.protocol = PerplexityProtocol::llamacpp;
  EXPECT_EQ(perplexity_protocol(result), "812 scored tokens of english.txt, protocol llamacpp, window 1024");
}

TEST(ComparisonAsText, HasEverythingOnTheScreen) {
  ComparisonResult result = compare(side({"a", "b"}), side({"a", "c"}));
  result.kl_mean = 0.0123;
  result.kl_tokens = 75;
  const QString text = comparison_as_text(result);
  for (const char* part : {"Identical for 1 token", "In the", "Without the edits:\nab", "With the edits:\nac",
                           "0.0123 nats", "75 tokens"}) {
    EXPECT_TRUE(text.contains(QString::fromUtf8(part))) << part;
  }
}

}  // namespace
}  // namespace expertscope::testing
