// SPDX-License-Identifier: GPL-3.0-or-later
// Pairs of experts that are selected together.
#include <gtest/gtest.h>

#include "tests/probes/analysis/planted_trace.h"

namespace expertscope::testing {
namespace {

const std::vector<std::string> kColumns = {"layer",       "expert",      "other", "count",
                                           "conditional", "other_share", "lift"};

TEST(Coactivation, CountsAllPairsAsNumpyDoes) {
  PlantedTrace trace;
  expect_rows(trace.run("coactivation").main(), trace.golden()["coactivation"], kColumns);
}

TEST(Coactivation, CountsNeighbouringRanksOnlyWhereAskedForUpstreamsRule) {
  PlantedTrace trace;
  expect_rows(trace.run("coactivation", {{"upstream", "true"}}).main(),
              trace.golden()["coactivation_upstream"], kColumns);
}

TEST(Coactivation, OfOneLayerLeavesOutTheOthersAndRarePairs) {
  PlantedTrace trace;
  const AnalysisResult result = trace.run("coactivation", {{"layer", "2"}, {"min_count", "20"}});
  nlohmann::json expected = nlohmann::json::array();
  for (const auto& row : trace.golden()["coactivation"]) {
    if (row[0] == 2 && row[3] >= 20) expected.push_back(row);
  }
  ASSERT_GT(expected.size(), 0u);
  expect_rows(result.main(), expected, kColumns);
}

TEST(Coactivation, OfALayerWithoutARouterIsRefused) {
  PlantedTrace trace;
  const Analysis& analysis = *find_analysis("coactivation");
  Options options(analysis.options);
  options.set("layer", std::int64_t{1});
  const auto result = run_analysis(analysis, trace.data(), {}, options);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().message, "run 1 has no router in layer 1");
}

TEST(Coactivation, StopsWhenAsked) {
  PlantedTrace trace;
  const Analysis& analysis = *find_analysis("coactivation");
  std::stop_source stop;
  stop.request_stop();
  const auto result = run_analysis(analysis, trace.data(), {}, Options(analysis.options), stop.get_token());
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::cancelled);
}

}  // namespace
}  // namespace expertscope::testing
