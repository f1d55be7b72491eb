// SPDX-License-Identifier: GPL-3.0-or-later
// What the routing map shows: one number per cell, and how it is written and coloured.
#include "views/models/heatmap_data.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/gui/support.h"
#include "views/models/map_metrics.h"
#include "views/models/table_map.h"

namespace expertscope::testing {
namespace {

/// 3 layers (layer 1 dense), 3 experts, 4 tokens, top-2. Expert 2 of layer 0 never ran.
ExpertTable table() {
  ExpertTable table;
  table.layers = 3;
  table.experts = 3;
  table.tokens = 4;
  table.moe_layer = {1, 0, 1};
  table.cells.resize(9);
  const auto set = [&](int layer, int expert, std::int64_t count, double weight, double norm, double max) {
    ExpertStats& stats = table.at(layer, expert);
    stats.count = count;
    stats.weight_sum = weight;
    stats.norm_sum = norm;
    stats.output_max = max;
    stats.output_channel = count > 0 ? 1 : -1;
  };
  set(0, 0, 6, 3.0, 12.0, 5.0);
  set(0, 1, 2, 1.0, 3.0, 2.0);
  set(2, 0, 4, 2.0, 4.0, 100.0);
  set(2, 1, 3, 1.5, 6.0, 1.0);
  set(2, 2, 1, 0.5, 1.0, 0.5);
  return table;
}

/// The metrics with shortcuts.
enum Shown : std::uint8_t { kLoad, kWeight, kNorm, kMax };

HeatmapData make_heatmap(const ExpertTable& of, Shown shown) {
  const MapMetric& metric = map_metrics()[shown];
  const AnalysisResult result = metric.analysis->of_aggregates(of);
  return map_of(*result.find(metric.table), metric.column, of, false);
}
HeatmapData make_difference(const ExpertTable& of, const ExpertTable& baseline, Shown shown) {
  return difference_of(make_heatmap(of, shown), make_heatmap(baseline, shown));
}

TEST(HeatmapData, LoadIsTheShareOfTheLayersSlots) {
  const HeatmapData data = make_heatmap(table(), kLoad);
  EXPECT_DOUBLE_EQ(data.at({0, 0}), 0.75);
  EXPECT_DOUBLE_EQ(data.at({0, 1}), 0.25);
  EXPECT_DOUBLE_EQ(data.at({0, 2}), 0.0);
  EXPECT_DOUBLE_EQ(data.at({2, 2}), 0.125);
  EXPECT_DOUBLE_EQ(data.low, 0.125) << "of those that ran";
  EXPECT_DOUBLE_EQ(data.high, 0.75);
  EXPECT_DOUBLE_EQ(data.scale_low, 0.125);
}

TEST(HeatmapData, WeightIsPerTokenOfTheRun) {
  EXPECT_DOUBLE_EQ(make_heatmap(table(), kWeight).at({2, 1}), 1.5 / 4);
}

TEST(HeatmapData, NormIsTheMeanOverTheExpertsSlots) {
  const HeatmapData data = make_heatmap(table(), kNorm);
  EXPECT_DOUBLE_EQ(data.at({0, 0}), 2.0);
  EXPECT_TRUE(std::isnan(data.at({0, 2}))) << "an expert that never ran has no norm";
}

TEST(HeatmapData, MaximumIsThatOfTheRun) {
  const HeatmapData data = make_heatmap(table(), kMax);
  EXPECT_DOUBLE_EQ(data.at({2, 0}), 100.0);
  EXPECT_TRUE(std::isnan(data.at({0, 2})));
  EXPECT_DOUBLE_EQ(data.high, 100.0);
}

TEST(HeatmapData, ADenseLayerIsNeverMeasured) {
  for (const Shown metric : {kLoad, kWeight, kNorm, kMax}) {
    const HeatmapData data = make_heatmap(table(), metric);
    EXPECT_FALSE(data.is_moe(1));
    EXPECT_TRUE(std::isnan(data.at({1, 0}))) << data.name.toStdString();
  }
}

TEST(HeatmapData, ATableWithoutTokensHasAShapeAndNoValues) {
  ExpertTable blank = table();
  blank.tokens = 0;
  blank.cells.assign(9, ExpertStats{});
  const HeatmapData data = make_heatmap(blank, kLoad);
  EXPECT_EQ(data.layers, 3);
  EXPECT_FALSE(data.empty());
  EXPECT_FALSE(data.has_values());
  EXPECT_TRUE(std::isnan(data.at({0, 0})));
}

TEST(HeatmapData, LinearScalesBeginAtZeroAndLogarithmicOnesAtTheSmallestPositive) {
  const HeatmapData data = make_heatmap(table(), kLoad);
  EXPECT_DOUBLE_EQ(data.scale(false).low, 0);
  EXPECT_DOUBLE_EQ(data.scale(false).high, 0.75);
  EXPECT_TRUE(data.scale(true).logarithmic);
  EXPECT_DOUBLE_EQ(data.scale(true).low, 0.125);
}

TEST(HeatmapData, ADifferenceIsSignedAndItsScaleSymmetric) {
  ExpertTable changed = table();
  changed.at(0, 0).count = 2;
  changed.at(0, 1).count = 6;
  const HeatmapData data = make_difference(changed, table(), kLoad);
  EXPECT_TRUE(data.difference);
  EXPECT_DOUBLE_EQ(data.at({0, 0}), -0.5);
  EXPECT_DOUBLE_EQ(data.at({0, 1}), 0.5);
  EXPECT_DOUBLE_EQ(data.at({2, 0}), 0.0);
  EXPECT_TRUE(std::isnan(data.at({1, 1})));
  EXPECT_EQ(data.colour_map(false), ColourMap::diverging);
  EXPECT_EQ(data.colour_map(true), ColourMap::diverging_dark);
  EXPECT_DOUBLE_EQ(data.scale(true).low, -0.5);
  EXPECT_DOUBLE_EQ(data.scale(false).high, 0.5);
}

TEST(HeatmapData, TheScaleEndsWhereFewCellsLieBeyond) {
  HeatmapData data;
  data.layers = 1;
  data.experts = 1000;
  data.moe_layer = {1};
  for (int expert = 0; expert < 1000; ++expert) {
    data.values.push_back(expert == 999 ? 1e6 : expert == 0 ? 1e-6 : 1 + expert / 1000.0);
  }
  data.find_extent();
  EXPECT_DOUBLE_EQ(data.high, 1e6);
  EXPECT_NEAR(data.scale(true).high, 1.997, 1e-9);
  EXPECT_NEAR(data.scale(true).low, 1.002, 1e-9);
}

TEST(HeatmapData, AnExpertThatNeverRanIsKnownAsSuchInBothRuns) {
  const HeatmapData data = make_heatmap(table(), kNorm);
  EXPECT_TRUE(data.never_used({0, 2}));
  EXPECT_FALSE(data.never_used({0, 0}));
  ExpertTable other = table();
  other.at(0, 2).count = 1;
  EXPECT_FALSE(make_difference(table(), other, kLoad).never_used({0, 2}));
}

TEST(HeatmapData, NoDifferenceAnywhereIsTheMiddleOfTheScale) {
  const HeatmapData data = make_difference(table(), table(), kLoad);
  EXPECT_TRUE(data.has_values()) << "nothing differs, and that was measured";
  EXPECT_DOUBLE_EQ(data.scale(false).position(0.0), 0.5);
}

TEST(HeatmapData, RunsOfOtherShapesHaveNoDifference) {
  ExpertTable other = table();
  other.experts = 9;
  other.layers = 1;
  EXPECT_TRUE(make_difference(table(), other, kLoad).empty());
}

TEST(HeatmapData, ASharedExpertHasOutputsAndNeitherLoadNorWeight) {
  ExpertTable with = table();
  with.shared_layer = {1, 0, 0};
  with.shared.resize(3);
  with.shared[0] = {4, 0, 0, 20.0, 0, 300.0, 7, 2, 8.0, 7, 0};
  const Cell shared{0, kSharedExpert};
  EXPECT_DOUBLE_EQ(make_heatmap(with, kNorm).at(shared), 5.0);
  const HeatmapData maxima = make_heatmap(with, kMax);
  EXPECT_DOUBLE_EQ(maxima.at(shared), 300.0);
  EXPECT_DOUBLE_EQ(maxima.high, 300.0) << "it counts for the scale";
  for (const Shown metric : {kLoad, kWeight}) {
    const HeatmapData data = make_heatmap(with, metric);
    EXPECT_EQ(data.text(shared), "not measured");
    EXPECT_DOUBLE_EQ(data.at({0, 0}), make_heatmap(table(), metric).at({0, 0})) << "the others are as before";
  }
  EXPECT_TRUE(maxima.contains(shared));
  EXPECT_FALSE(maxima.contains({2, kSharedExpert})) << "a layer without one";
  EXPECT_FALSE(make_heatmap(table(), kMax).contains(shared));
  ExpertTable before = with;
  before.shared[0].output_max = 100;
  EXPECT_DOUBLE_EQ(make_difference(with, before, kMax).at(shared), 200.0);
  const HeatmapData to_older = make_difference(with, table(), kMax);
  EXPECT_TRUE(std::isnan(to_older.at(shared))) << "a baseline from before shared experts were measured";
  EXPECT_DOUBLE_EQ(to_older.at({0, 0}), 0.0);
}

TEST(HeatmapData, KnowsWhichCellsItHas) {
  const HeatmapData data = make_heatmap(table(), kLoad);
  EXPECT_TRUE(data.contains({2, 2}));
  EXPECT_FALSE(data.contains({3, 0}));
  EXPECT_FALSE(data.contains({0, 3}));
  EXPECT_FALSE(data.contains({}));
}

TEST(HeatmapData, SaysALoadInPercentAndTheRestPlain) {
  const HeatmapData load = make_heatmap(table(), kLoad);
  EXPECT_EQ(load.text({2, 2}), "12.5\u202f%");
  EXPECT_EQ(load.text({0, 2}), "0\u202f%");
  EXPECT_EQ(load.short_text(0.125), "12.5");
  const HeatmapData norm = make_heatmap(table(), kNorm);
  EXPECT_EQ(norm.text({0, 0}), "2.00");
  EXPECT_EQ(norm.text({0, 2}), "not measured");
}

TEST(HeatmapData, SaysADifferenceWithItsSignAndOfALoadInPercentagePoints) {
  ExpertTable changed = table();
  changed.at(0, 0).count = 2;
  changed.at(0, 1).count = 6;
  const HeatmapData load = make_difference(changed, table(), kLoad);
  EXPECT_EQ(load.text({0, 1}), "+50.0\u202fpp");
  EXPECT_EQ(load.text({0, 0}), "−50.0\u202fpp");
  EXPECT_EQ(load.text({2, 0}), "0\u202fpp");
  EXPECT_EQ(make_difference(changed, table(), kMax).text({1, 1}), "not measured");
}

}  // namespace
}  // namespace expertscope::testing
