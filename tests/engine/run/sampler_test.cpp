// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/run/sampler.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <vector>

namespace expertscope {
namespace {

using testing::ElementsAre;

/// Logits whose softmax is {0.05, 0.5, 0.15, 0.3}.
const std::vector<float> kLogits = {std::log(0.05f), std::log(0.5f), std::log(0.15f), std::log(0.3f)};

SamplingOptions hot() {
  SamplingOptions options;
  options.temperature = 1.0f;
  options.seed = 7;
  return options;
}

std::map<std::int32_t, int> draw(const SamplingOptions& options, int count,
                                 const std::vector<float>& logits = kLogits,
                                 const std::vector<std::int32_t>& history = {}) {
  Sampler sampler(options);
  std::map<std::int32_t, int> counts;
  for (int i = 0; i < count; ++i)
    ++counts[sampler.sample(logits, history)];
  return counts;
}

std::set<std::int32_t> tokens_of(const SamplingOptions& options, const std::vector<float>& logits = kLogits) {
  std::set<std::int32_t> tokens;
  for (const auto& [token, count] : draw(options, 2000, logits))
    tokens.insert(token);
  return tokens;
}

TEST(Sampler, TemperatureZeroIsGreedy) {
  EXPECT_THAT(draw({}, 10), ElementsAre(std::pair(1, 10)));
}

TEST(Sampler, GreedyTakesTheLowestIdOfEqualLogits) {
  Sampler sampler({});
  EXPECT_EQ(sampler.sample(std::vector<float>{1, 5, 5, 2}, {}), 1);
}

TEST(Sampler, DrawsInProportionToTheSoftmax) {
  const auto counts = draw(hot(), 20000);
  EXPECT_NEAR(counts.at(0), 1000, 150);
  EXPECT_NEAR(counts.at(1), 10000, 400);
  EXPECT_NEAR(counts.at(2), 3000, 250);
  EXPECT_NEAR(counts.at(3), 6000, 350);
}

TEST(Sampler, TemperatureSharpensTheDistribution) {
  SamplingOptions options = hot();
  options.temperature = 0.5f;  // p^2: 0.0025, 0.25, 0.0225, 0.09 of 0.365
  EXPECT_NEAR(draw(options, 20000).at(1), 20000 * 0.25 / 0.365, 400);
}

TEST(Sampler, ATinyTemperatureIsGreedyAndNotInfinite) {
  SamplingOptions options = hot();
  options.temperature = 1e-30f;
  EXPECT_THAT(draw(options, 10), ElementsAre(std::pair(1, 10)));
}

TEST(Sampler, TopKKeepsTheKMostProbable) {
  SamplingOptions options = hot();
  options.top_k = 2;
  EXPECT_THAT(tokens_of(options), ElementsAre(1, 3));
}

TEST(Sampler, TopKKeepsScoresThatTieWithTheKth) {
  SamplingOptions options = hot();
  options.top_k = 1;
  EXPECT_THAT(tokens_of(options, {2, 1, 2, 0}), ElementsAre(0, 2));
}

TEST(Sampler, TopPKeepsTokensUntilTheirSumReachesIt) {
  SamplingOptions options = hot();
  options.top_p = 0.6f;  // 0.5, then 0.8
  EXPECT_THAT(tokens_of(options), ElementsAre(1, 3));
  options.top_p = 0.85f;
  EXPECT_THAT(tokens_of(options), ElementsAre(1, 2, 3));
}

TEST(Sampler, TheMostProbableTokenAlwaysStays) {
  SamplingOptions options = hot();
  options.top_p = 0.0f;
  EXPECT_THAT(tokens_of(options), ElementsAre(1));
}

TEST(Sampler, MinPRemovesTokensBelowAShareOfTheMostProbable) {
  SamplingOptions options = hot();
  options.min_p = 0.4f;  // threshold 0.2
  EXPECT_THAT(tokens_of(options), ElementsAre(1, 3));
  options.min_p = 1.0f;
  EXPECT_THAT(tokens_of(options), ElementsAre(1));
}

TEST(Sampler, RepetitionPenaltyDividesPositiveAndMultipliesNegativeLogits) {
  SamplingOptions options;
  options.repetition_penalty = 2.0f;
  Sampler sampler(options);
  const std::vector<std::int32_t> history = {0, 0, 0};  // once, whatever the count
  EXPECT_EQ(sampler.sample(std::vector<float>{4.0f, 1.9f, 0.0f}, history), 0);
  EXPECT_EQ(sampler.sample(std::vector<float>{4.0f, 2.1f, 0.0f}, history), 1);
  EXPECT_EQ(sampler.sample(std::vector<float>{-1.0f, -1.9f, -9.0f}, history), 1);
  EXPECT_EQ(sampler.sample(std::vector<float>{-1.0f, -2.1f, -9.0f}, history), 0);
}

TEST(Sampler, ThePenaltyComesBeforeTheOtherFilters) {
  SamplingOptions options = hot();
  options.repetition_penalty = 10.0f;
  options.top_k = 1;
  const auto counts = draw(options, 100, {5.0f, 4.0f, 1.0f}, {0});
  EXPECT_THAT(counts, ElementsAre(std::pair(1, 100)));
}

TEST(Sampler, HistoryOutsideTheVocabularyIsIgnored) {
  SamplingOptions options;
  options.repetition_penalty = 1.5f;
  Sampler sampler(options);
  EXPECT_EQ(sampler.sample(kLogits, std::vector<std::int32_t>{-1, 4, 1 << 30}), 1);
}

TEST(Sampler, TheSameSeedGivesTheSameTokensOnEveryMachine) {
  Sampler sampler(hot());
  std::vector<std::int32_t> tokens;
  for (int i = 0; i < 12; ++i)
    tokens.push_back(sampler.sample(kLogits, {}));
  // u = (mt19937_64(7) >> 11) * 2^-53 against 0.05 | 0.55 | 0.70 | 1, from an independent Python generator.
  EXPECT_THAT(tokens, ElementsAre(3, 3, 1, 3, 1, 1, 3, 3, 1, 3, 3, 2));
}

TEST(Sampler, SurvivesLogitsThatAreAllMinusInfinityOrEmpty) {
  Sampler sampler(hot());
  const float low = -std::numeric_limits<float>::infinity();
  const std::int32_t token = sampler.sample(std::vector<float>{low, low}, {});
  EXPECT_TRUE(token == 0 || token == 1);
  EXPECT_EQ(sampler.sample({}, {}), 0);
}

}  // namespace
}  // namespace expertscope
