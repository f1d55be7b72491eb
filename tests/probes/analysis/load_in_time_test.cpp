// SPDX-License-Identifier: GPL-3.0-or-later
// Load of one expert in the course of a run, and its rank.
#include <gtest/gtest.h>

#include <algorithm>

#include "probes/analysis/expert_use.h"
#include "tests/probes/analysis/planted_trace.h"

namespace expertscope::testing {
namespace {

TEST(LoadInTime, IsTheShareOfEachPartsTokens) {
  PlantedTrace trace;
  const Table table = trace.run("load-in-time", {{"layer", "2"}, {"expert", "3"}, {"bins", "7"}}).main();
  ASSERT_EQ(table.rows(), 7u);
  const auto experts = trace.golden()["expert"][1].get<std::vector<int>>();
  EXPECT_EQ(table.find("end_token")->integer(6), static_cast<std::int64_t>(experts.size() / 3));
  for (std::size_t row = 0; row < 7; ++row) {
    const std::int64_t begin = table.find("first_token")->integer(row);
    const std::int64_t end = table.find("end_token")->integer(row);
    if (row > 0) {
      EXPECT_EQ(begin, table.find("end_token")->integer(row - 1));
    }
    const auto slots = std::count(experts.begin() + 3 * begin, experts.begin() + 3 * end, 3);
    EXPECT_NEAR(table.find("share")->number(row),
                static_cast<double>(slots) / static_cast<double>(end - begin), 1e-6);
  }
}

TEST(LoadInTime, HasNoMorePartsThanTokens) {
  PlantedTrace trace;
  EXPECT_EQ(trace.run("load-in-time", {{"layer", "0"}}, {3, 8}).main().rows(), 5u);
}

TEST(LoadRank, CountsFromTheBusiestWithItsNeighbours) {
  LayerLoad load;
  load.count = {10, 40, 20, 20, 0, 5};
  load.share = {0.1, 0.4, 0.2, 0.2, 0.0, 0.05};
  const LoadRank middle = rank_in_layer(load, 3);
  EXPECT_EQ(middle.rank, 3) << "of equal loads the lower expert comes first";
  EXPECT_EQ(middle.neighbours, (std::vector<int>{1, 2, 3, 0, 5}));
  EXPECT_EQ(rank_in_layer(load, 4).rank, 6);
  EXPECT_EQ(rank_in_layer(load, 4).neighbours, (std::vector<int>{2, 3, 0, 5, 4}));
}

}  // namespace
}  // namespace expertscope::testing
