// SPDX-License-Identifier: GPL-3.0-or-later
// Attention on the first token.
#include <gtest/gtest.h>

#include <algorithm>

#include "probes/analysis/export.h"
#include "tests/probes/analysis/planted_trace.h"

namespace expertscope::testing {
namespace {

TEST(Attention, IsTheMeanSmallestAndLargestOfEachLayer) {
  PlantedTrace trace;
  const AnalysisResult result = trace.run("attention");
  const Table& table = result.main();
  EXPECT_TRUE(to_csv(table).starts_with("layer,tokens,mean,min,max\n0,"));
  ASSERT_EQ(table.rows(), 3u);
  const auto values = trace.golden()["attention"][2].get<std::vector<double>>();
  double sum = 0;
  for (const double value : values)
    sum += value;
  EXPECT_EQ(table.find("tokens")->integer(2), static_cast<std::int64_t>(values.size()));
  EXPECT_NEAR(table.find("mean")->number(2), sum / static_cast<double>(values.size()), 1e-12);
  EXPECT_EQ(table.find("min")->number(2), *std::min_element(values.begin(), values.end()));
  EXPECT_EQ(table.find("max")->number(2), *std::max_element(values.begin(), values.end()));
}

}  // namespace
}  // namespace expertscope::testing
