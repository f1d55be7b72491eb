// SPDX-License-Identifier: GPL-3.0-or-later
// The tokens for which an expert has the largest weight.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/probes/analysis/planted_trace.h"

namespace expertscope::testing {
namespace {

TEST(TopTokens, AreThoseOfTheLargestWeightsTheEarlierFirst) {
  PlantedTrace trace;
  std::vector<std::pair<double, int>> expected;
  const auto& experts = trace.golden()["expert"][0];
  for (int slot = 0; slot < static_cast<int>(experts.size()); ++slot) {
    if (experts[slot] == 1) expected.emplace_back(-trace.golden()["weight"][0][slot].get<double>(), slot / 3);
  }
  std::sort(expected.begin(), expected.end());
  const Table table = trace.run("top-tokens", {{"layer", "0"}, {"expert", "1"}, {"most", "5"}}).main();
  ASSERT_EQ(table.rows(), 5u);
  for (std::size_t row = 0; row < 5; ++row) {
    EXPECT_EQ(table.find("weight")->number(row), -expected[row].first);
    EXPECT_EQ(table.find("token")->integer(row), expected[row].second);
    const int id = trace.golden()["tokens"][expected[row].second][2];
    EXPECT_EQ(table.find("text")->text(row), "t" + std::to_string(id));
  }
}

TEST(TopTokens, OfASharedExpertThatThereIsNotAreRefused) {
  PlantedTrace trace;
  const Analysis& analysis = *find_analysis("top-tokens");
  Options options(analysis.options);
  options.set("expert", std::int64_t{-1});
  const auto result = run_analysis(analysis, trace.data(), {}, options);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().message, "layer 0 of run 1 has 8 experts, and none is shared");
}

}  // namespace
}  // namespace expertscope::testing
