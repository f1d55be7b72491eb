// SPDX-License-Identifier: GPL-3.0-or-later
// Likelihood of the recorded text.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/probes/analysis/planted_trace.h"

namespace expertscope::testing {
namespace {

TEST(Likelihood, IsTheMeanOverTokensThatWereNotGenerated) {
  RunTokens tokens;
  tokens.id = {1, 2, 3, 4};
  tokens.log_prob = {std::numeric_limits<float>::quiet_NaN(), -1, -2, -7};
  tokens.generated = {0, 0, 0, 1};
  const RecordedLikelihood likelihood = recorded_likelihood(tokens);
  EXPECT_EQ(likelihood.tokens, 2);
  EXPECT_DOUBLE_EQ(likelihood.nll_mean, 1.5);
}

TEST(Likelihood, IsGivenForAllAndForEachDomain) {
  PlantedTrace trace;
  const AnalysisResult result = trace.run("likelihood");
  EXPECT_DOUBLE_EQ(std::get<double>(*result.find_value("perplexity")), std::exp(0.5));
  const Table& domains = result.main();
  ASSERT_EQ(domains.rows(), 4u);
  EXPECT_EQ(domains.find("domain")->text(0), "code");
  EXPECT_FALSE(domains.find("domain")->has(3)) << "the sequence without one";
  std::int64_t tokens = 0;
  for (std::size_t row = 0; row < 4; ++row) {
    EXPECT_DOUBLE_EQ(domains.find("nll_mean")->number(row), 0.5);
    tokens += domains.find("tokens")->integer(row);
  }
  EXPECT_EQ(tokens, std::get<std::int64_t>(*result.find_value("tokens")));
}

}  // namespace
}  // namespace expertscope::testing
