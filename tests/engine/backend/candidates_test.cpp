// SPDX-License-Identifier: GPL-3.0-or-later
// The most probable tokens alone decide what a sampler takes, exactly as all logits would.
#include "engine/backend/candidates.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "engine/backend/log_prob.h"
#include "engine/run/sampler.h"

namespace expertscope {
namespace {

using ::testing::ElementsAre;

TokenCandidates select(const std::vector<float>& logits, int count) {
  TokenCandidates result;
  select_candidates(logits, count, result);
  return result;
}

/// Logits of the usual spread; rounded to `steps` values a unit, so that many are equal (0: not rounded).
std::vector<float> random_logits(std::mt19937& random, std::size_t vocab, int steps) {
  std::normal_distribution<float> normal(0, 3);
  std::vector<float> logits(vocab);
  for (float& logit : logits) {
    logit = normal(random);
    if (steps > 0) logit = std::round(logit * static_cast<float>(steps)) / static_cast<float>(steps);
  }
  return logits;
}

TEST(Candidates, AreTheLargestLogitsInDescendingOrder) {
  EXPECT_THAT(select({1, 4, 2, 3}, 2).best, ElementsAre(Candidate{1, 4}, Candidate{3, 3}));
}

TEST(Candidates, OfEqualsTheLowerIdComesFirstAndAllThatEqualTheLastAreThere) {
  EXPECT_THAT(
      select({2, 5, 2, 5, 1, 2}, 3).best,
      ElementsAre(Candidate{1, 5}, Candidate{3, 5}, Candidate{0, 2}, Candidate{2, 2}, Candidate{5, 2}));
}

TEST(Candidates, MoreThanThereAreTokensMeansAll) {
  EXPECT_THAT(select({1, 2}, 100).best, ElementsAre(Candidate{1, 2}, Candidate{0, 1}));
}

TEST(Candidates, AgreeWithAFullSortOfAnyLogits) {
  std::mt19937 random(5);
  for (int round = 0; round < 200; ++round) {
    const auto vocab = static_cast<std::size_t>(1 + random() % 700);
    const auto logits = random_logits(random, vocab, static_cast<int>(random() % 4));
    const auto count = static_cast<std::size_t>(1 + random() % 1024);
    std::vector<Candidate> sorted;
    for (std::size_t id = 0; id < vocab; ++id)
      sorted.push_back({static_cast<std::int32_t>(id), logits[id]});
    std::stable_sort(sorted.begin(), sorted.end(), [](auto a, auto b) { return a.logit > b.logit; });
    std::size_t end = std::min(count, vocab);
    while (end < vocab && sorted[end].logit == sorted[end - 1].logit)
      ++end;
    sorted.resize(end);
    EXPECT_EQ(select(logits, static_cast<int>(count)).best, sorted);
  }
}

TEST(Candidates, KnowTheLogProbabilityOfThemselvesAndOfNoOther) {
  const std::vector<float> logits = {1, 4, 2, 3};
  const TokenCandidates two = select(logits, 2);
  EXPECT_DOUBLE_EQ(two.log_sum_exp, log_sum_exp(logits));
  EXPECT_DOUBLE_EQ(log_probability(two, 3), log_probability(logits, 3));
  EXPECT_TRUE(std::isnan(log_probability(two, 2)));
}

struct Choice {
  const char* name;
  SamplingOptions options;
};

class CandidateSampling : public ::testing::TestWithParam<Choice> {};

TEST_P(CandidateSampling, TakesTheTokenThatAllLogitsGive) {
  std::mt19937 random(11);
  for (const std::uint64_t seed : {1, 2, 3}) {
    SamplingOptions options = GetParam().options;
    options.seed = seed;
    Sampler full(options);
    Sampler few(options);
    ASSERT_GT(few.candidates_needed(), 0);
    for (int step = 0; step < 60; ++step) {
      const auto logits = random_logits(random, 1 + random() % 3000, static_cast<int>(random() % 4));
      const TokenCandidates candidates = select(logits, few.candidates_needed());
      const std::int32_t expected = full.sample(logits, {});
      EXPECT_EQ(few.sample(candidates), expected) << "seed " << seed << " step " << step;
      EXPECT_DOUBLE_EQ(log_probability(candidates, expected), log_probability(logits, expected));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Sampler, CandidateSampling,
    ::testing::Values(Choice{"Greedy", {}},
                      Choice{"GreedyWhateverTheFilters", {.top_k = 5, .top_p = 0.3f, .min_p = 0.5f}},
                      Choice{"TopOne", {.temperature = 1.0f, .top_k = 1}},
                      Choice{"TopK", {.temperature = 0.8f, .top_k = 40}},
                      Choice{"MostCandidates", {.temperature = 1.3f, .top_k = Sampler::kMostCandidates}},
                      Choice{"TopKAndTopP", {.temperature = 1.0f, .top_k = 50, .top_p = 0.9f}},
                      Choice{"SmallTopP", {.temperature = 1.0f, .top_k = 50, .top_p = 0.01f}},
                      Choice{"AllFilters", {.temperature = 0.7f, .top_k = 20, .top_p = 0.8f, .min_p = 0.05f}},
                      Choice{"HotUntilScoresMeet", {.temperature = 1e30f, .top_k = 7, .top_p = 0.95f}},
                      Choice{"ColdAsGreedy", {.temperature = 1e-30f, .top_k = 7, .min_p = 0.1f}},
                      Choice{"APenaltyThatIsOff",
                             {.temperature = 1.0f, .top_k = 10, .repetition_penalty = 0.0f}}),
    [](const auto& test) { return test.param.name; });

TEST(Sampler, NeedsAllLogitsWhereAFewCannotDecide) {
  const auto needed = [](const SamplingOptions& options) { return Sampler(options).candidates_needed(); };
  EXPECT_EQ(needed({}), 1);
  EXPECT_EQ(needed({.temperature = 1.0f, .top_k = 40}), 40);
  EXPECT_EQ(needed({.temperature = 1.0f, .top_p = 0.9f}), 0) << "no top_k";
  EXPECT_EQ(needed({.temperature = 1.0f, .top_k = Sampler::kMostCandidates + 1}), 0);
  EXPECT_EQ(needed({.repetition_penalty = 1.1f}), 0);
}

}  // namespace
}  // namespace expertscope
