// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/backend/log_prob.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

namespace expertscope {
namespace {

double plain_log_sum_exp(const std::vector<float>& values) {
  const double max = *std::max_element(values.begin(), values.end());
  double sum = 0;
  for (const float value : values)
    sum += std::exp(static_cast<double>(value) - max);
  return max + std::log(sum);
}

TEST(LogProb, MatchesTheDefinitionAtEveryLength) {
  for (std::size_t length = 1; length < 70; ++length) {
    std::vector<float> values(length);
    for (std::size_t i = 0; i < length; ++i)
      values[i] = 20.0f * std::sin(static_cast<float>(i * length));
    EXPECT_NEAR(log_sum_exp(values), plain_log_sum_exp(values), 1e-6) << length;
  }
}

TEST(LogProb, LargeAndSmallLogitsNeitherOverflowNorVanish) {
  EXPECT_NEAR(log_sum_exp(std::vector<float>(40, 1e30f)), 1e30, 1e24);
  EXPECT_NEAR(log_sum_exp(std::vector<float>{-500.0f, -500.0f}), -500 + std::log(2.0), 1e-6);
  EXPECT_NEAR(log_sum_exp(std::vector<float>{0.0f, -1000.0f}), 0.0, 1e-9);
}

TEST(LogProb, ProbabilitiesSumToOne) {
  std::vector<float> logits(1000);
  for (std::size_t i = 0; i < logits.size(); ++i)
    logits[i] = static_cast<float>(i % 17) - 8.0f;
  double sum = 0;
  for (std::int32_t id = 0; id < 1000; ++id)
    sum += std::exp(log_probability(logits, id));
  EXPECT_NEAR(sum, 1.0, 1e-6);
}

TEST(LogProb, AnIdOutsideTheVocabularyHasNone) {
  EXPECT_TRUE(std::isnan(log_probability(std::vector<float>{1, 2}, 2)));
  EXPECT_TRUE(std::isnan(log_probability(std::vector<float>{1, 2}, -1)));
}

}  // namespace
}  // namespace expertscope
