// SPDX-License-Identifier: GPL-3.0-or-later
// Load on tables whose results are known by hand, and of a recording.
#include <gtest/gtest.h>

#include <algorithm>

#include "probes/analysis/export.h"
#include "tests/probes/analysis/expert_tables.h"
#include "tests/probes/analysis/planted_trace.h"

namespace expertscope::testing {
namespace {

TEST(Load, CountsSharesAndFairness) {
  ExpertTable table = table_of(2, 4);
  table.tokens = 50;
  table.moe_layer[0] = 0;  // a dense layer does not appear
  const std::int64_t counts[] = {60, 30, 10, 0};
  for (int expert = 0; expert < 4; ++expert) {
    table.at(1, expert).count = counts[expert];
    table.at(1, expert).weight_sum = 0.5 * static_cast<double>(counts[expert]);
  }
  const LoadResult result = analyze_load(table);
  EXPECT_EQ(result.tokens, 50);
  ASSERT_EQ(result.layers.size(), 1u);
  const LayerLoad& load = result.layers[0];
  EXPECT_EQ(load.layer, 1);
  EXPECT_EQ(load.count, (std::vector<std::int64_t>{60, 30, 10, 0}));
  EXPECT_EQ(load.share, (std::vector<double>{0.6, 0.3, 0.1, 0.0}));
  EXPECT_EQ(load.weight_sum, (std::vector<double>{30, 15, 5, 0}));
  EXPECT_EQ(load.dead_experts, 1);
  EXPECT_DOUBLE_EQ(load.max_over_mean, 2.4);
  EXPECT_DOUBLE_EQ(load.jain, 100.0 * 100.0 / (4.0 * (3600.0 + 900.0 + 100.0)));
}

TEST(Load, FairnessIsOneWhenEvenAndOneOverEWhenOneExpertDoesItAll) {
  ExpertTable even = table_of(1, 8);
  for (int expert = 0; expert < 8; ++expert)
    even.at(0, expert).count = 5;
  EXPECT_DOUBLE_EQ(analyze_load(even).layers[0].jain, 1.0);
  EXPECT_DOUBLE_EQ(analyze_load(even).layers[0].max_over_mean, 1.0);
  ExpertTable one = table_of(1, 8);
  one.at(0, 3).count = 40;
  EXPECT_DOUBLE_EQ(analyze_load(one).layers[0].jain, 0.125);
  EXPECT_EQ(analyze_load(one).layers[0].dead_experts, 7);
  EXPECT_EQ(analyze_load(table_of(1, 8)).layers[0].jain, 0.0) << "nothing recorded";
}

TEST(Load, AsTablesIsTheSameNumbers) {
  PlantedTrace trace;
  const LoadResult load = analyze_load(*value_of(trace.data().expert_table({})));
  const AnalysisResult result = trace.run("load");
  const Table& experts = result.main();
  EXPECT_TRUE(to_csv(experts).starts_with("layer,expert,count,share,weight_sum\n0,0,"));
  ASSERT_EQ(experts.rows(), 16u);
  for (std::size_t row = 0; row < 16; ++row) {
    const LayerLoad& layer = load.layers[row / 8];
    EXPECT_EQ(experts.find("count")->integer(row), layer.count[row % 8]);
    EXPECT_EQ(experts.find("share")->number(row), layer.share[row % 8]);
    EXPECT_EQ(experts.find("weight_sum")->number(row), layer.weight_sum[row % 8]);
  }
  const Table& layers = *result.find("layers");
  ASSERT_EQ(layers.rows(), 2u);
  EXPECT_EQ(layers.find("layer")->integer(1), 2);
  EXPECT_EQ(layers.find("dead_experts")->integer(1), 1);
  EXPECT_EQ(layers.find("jain")->number(1), load.layers[1].jain);
  EXPECT_EQ(layers.find("busiest_share")->number(1),
            *std::max_element(load.layers[1].share.begin(), load.layers[1].share.end()));
}

TEST(Load, OfAPartOfTheRunCountsItsTokens) {
  PlantedTrace trace;
  const AnalysisResult result = trace.run("load", {}, {10, 20});
  EXPECT_EQ(std::get<std::int64_t>(*result.find_value("tokens")), 10);
}

}  // namespace
}  // namespace expertscope::testing
