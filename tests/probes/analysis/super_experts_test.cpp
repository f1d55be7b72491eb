// SPDX-License-Identifier: GPL-3.0-or-later
// Super experts on tables whose results are published, or known by hand.
#include <gtest/gtest.h>

#include "probes/analysis/export.h"
#include "tests/probes/analysis/expert_tables.h"
#include "tests/probes/analysis/planted_trace.h"

namespace expertscope::testing {
namespace {

void set_max(ExpertTable& table, int layer, int expert, double value, int channel = 0) {
  ExpertStats& stats = table.at(layer, expert);
  stats.count = 1;
  stats.output_max = stats.first_row_max = value;
  stats.output_channel = stats.first_row_channel = channel;
  stats.output_token = stats.first_row_token = 7;
}

// Every expert gets a small maximum, so that the rank of the large ones is known.
ExpertTable with_background(int layers, int experts, double below) {
  ExpertTable table = table_of(layers, experts);
  const double step = below / (layers * experts + 1.0);
  double value = 0;
  for (int layer = 0; layer < layers; ++layer) {
    for (int expert = 0; expert < experts; ++expert)
      set_max(table, layer, expert, value += step);
  }
  return table;
}

// The magnitudes of table 1 of arXiv 2507.23279 for Qwen3-30B-A3B on C4: 48 x 128 experts, the largest
// maxima, the 99.5th percentile (rank 31.7 from the top) and max / 10.
ExpertTable qwen3_30b() {
  ExpertTable table = with_background(48, 128, 7.0);
  set_max(table, 1, 68, 744, 100);
  set_max(table, 2, 92, 540, 200);
  set_max(table, 3, 82, 430, 300);
  set_max(table, 4, 0, 63.5);
  set_max(table, 5, 0, 19.1);
  for (int i = 0; i < 5; ++i)
    set_max(table, 6, i, 12.1);
  for (int i = 0; i < 25; ++i)
    set_max(table, 7, i, 7.3);  // ranks 11 .. 35 around the percentile
  return table;
}

TEST(SuperExperts, FindsThePublishedOnesOfQwen3) {
  SuperExpertOptions options;
  options.include_layers = 1.0;  // the table counts all 6144 experts
  const SuperExpertResult result = analyze_super_experts(qwen3_30b(), options);
  EXPECT_EQ(result.layers_included, 48);
  EXPECT_EQ(result.ranking.size(), 6144u);
  EXPECT_DOUBLE_EQ(result.percentile_threshold, 7.3);
  EXPECT_EQ(result.max_threshold, 74);
  ASSERT_EQ(result.super_experts.size(), 3u);
  const int expected[3][3] = {{1, 68, 100}, {2, 92, 200}, {3, 82, 300}};
  for (int i = 0; i < 3; ++i) {
    const SuperExpert& expert = result.super_experts[static_cast<std::size_t>(i)];
    EXPECT_EQ(expert.rank, i + 1);
    EXPECT_EQ(expert.layer, expected[i][0]);
    EXPECT_EQ(expert.expert, expected[i][1]);
    EXPECT_EQ(expert.channel, expected[i][2]);
    EXPECT_EQ(expert.token, 7);
  }
}

TEST(SuperExperts, FindsThePublishedOneOfMixtral) {
  // 5600 / 302 / 286 / 258 / 253: the second is above the percentile, but not above max / 10.
  ExpertTable table = with_background(32, 8, 139);
  set_max(table, 1, 3, 5600);
  set_max(table, 2, 0, 302);
  set_max(table, 3, 0, 286);
  set_max(table, 4, 0, 258);
  set_max(table, 5, 0, 253);
  SuperExpertOptions options;
  options.include_layers = 1.0;
  const SuperExpertResult result = analyze_super_experts(table, options);
  EXPECT_EQ(result.max_threshold, 560);
  EXPECT_DOUBLE_EQ(result.percentile_threshold, 286 + 0.725 * 16);
  ASSERT_EQ(result.super_experts.size(), 1u);
  EXPECT_EQ(result.super_experts[0].layer, 1);
  EXPECT_EQ(result.super_experts[0].expert, 3);
}

TEST(SuperExperts, RoundsTheIncludedLayersHalfToEven) {
  const auto included = [](int layers) {
    return analyze_super_experts(with_background(layers, 2, 1)).layers_included;
  };
  EXPECT_EQ(included(2), 2);    // 1.5
  EXPECT_EQ(included(6), 4);    // 4.5
  EXPECT_EQ(included(10), 8);   // 7.5
  EXPECT_EQ(included(14), 10);  // 10.5
  EXPECT_EQ(included(48), 36);
  EXPECT_EQ(included(1), 1);  // 0.75
}

TEST(SuperExperts, LayersPastTheIncludedOnesDoNotCount) {
  ExpertTable table = with_background(8, 32, 1);
  set_max(table, 6, 0, 1000);  // 8 * 0.75 = 6 layers: 0 .. 5
  set_max(table, 5, 1, 50);
  const SuperExpertResult result = analyze_super_experts(table);
  EXPECT_EQ(result.max_threshold, 5) << "the maximum of a layer that is not included does not count either";
  ASSERT_EQ(result.super_experts.size(), 1u);
  EXPECT_EQ(result.super_experts[0].layer, 5);
  EXPECT_EQ(result.ranking[0].layer, 6) << "the ranking shows every layer";
}

TEST(SuperExperts, BothThresholdsAreStrict) {
  // 400 values with one 100: floor(100 / 10) = 10, and 10 itself is not above it.
  ExpertTable table = with_background(4, 100, 1);
  SuperExpertOptions options;
  options.include_layers = 1.0;
  set_max(table, 0, 0, 100);
  set_max(table, 0, 1, 10);
  EXPECT_EQ(analyze_super_experts(table, options).super_experts.size(), 1u);
  set_max(table, 0, 1, 10.001);
  EXPECT_EQ(analyze_super_experts(table, options).super_experts.size(), 2u);
  // The percentile of equal values is that value, and none is above it.
  ExpertTable equal = table_of(4, 10);
  for (int i = 0; i < 40; ++i)
    set_max(equal, i / 10, i % 10, 50);
  const SuperExpertResult none = analyze_super_experts(equal, options);
  EXPECT_EQ(none.percentile_threshold, 50);
  EXPECT_TRUE(none.super_experts.empty());
}

TEST(SuperExperts, TheUpstreamDefinitionSeesFirstRowsOnly) {
  ExpertTable table = with_background(4, 100, 1);
  set_max(table, 0, 3, 500, 11);
  table.at(0, 3).first_row_max = 0.5;
  table.at(0, 3).first_row_channel = 12;
  set_max(table, 1, 4, 90, 13);
  const SuperExpertResult paper = analyze_super_experts(table);
  ASSERT_EQ(paper.super_experts.size(), 2u);
  EXPECT_EQ(paper.super_experts[0].expert, 3);
  EXPECT_EQ(paper.super_experts[0].channel, 11);
  SuperExpertOptions options;
  options.definition = SuperExpertDefinition::upstream;
  const SuperExpertResult upstream = analyze_super_experts(table, options);
  EXPECT_EQ(upstream.max_threshold, 9);
  ASSERT_EQ(upstream.super_experts.size(), 1u);
  EXPECT_EQ(upstream.super_experts[0].expert, 4);
}

TEST(SuperExperts, SharedExpertsCountAsExpertMinusOne) {
  // 2 x 100 routed experts and a shared one in layer 1 alone: 201 values, of which the 99.5th percentile is
  // the 200th, so only one can be above it.
  ExpertTable table = with_background(2, 100, 1);
  SuperExpertOptions options;
  options.include_layers = 1.0;
  set_max(table, 0, 7, 300, 3);
  set_max(table, 0, 8, 50, 3);
  EXPECT_EQ(analyze_super_experts(table, options).super_experts.size(), 1u);
  table.shared_layer = {0, 1};
  table.shared.resize(2);
  set_max(table, 1, kSharedExpert, 900, 17);
  table.at(1, kSharedExpert).count = 640;
  const SuperExpertResult result = analyze_super_experts(table, options);
  EXPECT_DOUBLE_EQ(result.percentile_threshold, 300) << "numpy.percentile of all 201";
  EXPECT_EQ(result.max_threshold, 90);
  EXPECT_EQ(result.ranking.size(), 201u);
  ASSERT_EQ(result.super_experts.size(), 1u);
  EXPECT_EQ(result.super_experts[0].layer, 1);
  EXPECT_EQ(result.super_experts[0].expert, kSharedExpert);
  EXPECT_EQ(result.super_experts[0].channel, 17);
  EXPECT_EQ(result.super_experts[0].count, 640);
  EXPECT_EQ(analyze_load(table).layers[1].count.size(), 100u) << "it has no load";
}

TEST(SuperExperts, AnEmptyTraceHasNone) {
  const SuperExpertResult result = analyze_super_experts(table_of(4, 8));
  EXPECT_TRUE(result.super_experts.empty());
  EXPECT_TRUE(result.ranking.empty());
  ExpertTable dense = table_of(4, 8);
  for (auto& moe : dense.moe_layer)
    moe = 0;
  EXPECT_TRUE(analyze_super_experts(dense).ranking.empty());
}

TEST(SuperExperts, AsTablesAreTheSameNumbers) {
  PlantedTrace trace;
  const AnalysisResult result =
      trace.run("super-experts", {{"definition", "upstream"}, {"include_layers", "1"}, {"percentile", "50"}});
  SuperExpertOptions options;
  options.definition = SuperExpertDefinition::upstream;
  options.include_layers = 1;
  options.percentile = 50;
  const SuperExpertResult expected = analyze_super_experts(*value_of(trace.data().expert_table({})), options);
  EXPECT_EQ(std::get<double>(*result.find_value("percentile_threshold")), expected.percentile_threshold);
  EXPECT_EQ(std::get<double>(*result.find_value("max_threshold")), expected.max_threshold);
  EXPECT_EQ(std::get<std::int64_t>(*result.find_value("layers_included")), 3);
  EXPECT_EQ(result.find("super_experts")->rows(), expected.super_experts.size());
  const Table& ranking = result.main();
  ASSERT_EQ(ranking.rows(), expected.ranking.size());
  for (std::size_t row = 0; row < ranking.rows(); ++row) {
    EXPECT_EQ(ranking.find("output_max")->number(row), expected.ranking[row].output_max);
    EXPECT_EQ(ranking.find("super_expert")->integer(row), row < expected.super_experts.size() ? 1 : 0);
  }
  EXPECT_TRUE(
      to_csv(ranking).starts_with("rank,layer,expert,output_max,channel,token,count,super_expert\n1,"));
}

}  // namespace
}  // namespace expertscope::testing
