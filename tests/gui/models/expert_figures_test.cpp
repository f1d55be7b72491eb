// SPDX-License-Identifier: GPL-3.0-or-later
// The key figures of an expert and where it stands by them.
#include "views/models/expert_figures.h"

#include <gtest/gtest.h>

#include "tests/gui/support.h"

namespace expertscope::testing {
namespace {

/// Layers 0 and 2 of 3 experts; expert 2 of layer 0 never ran.
ExpertTable table() {
  ExpertTable table;
  table.layers = 3;
  table.experts = 3;
  table.tokens = 6;
  table.moe_layer = {1, 0, 1};
  table.cells.resize(9);
  const auto set = [&](int layer, int expert, std::int64_t count, double max) {
    ExpertStats& stats = table.at(layer, expert);
    stats = {};
    stats.count = count;
    stats.weight_sum = 0.25 * static_cast<double>(count);
    stats.output_max = max;
    stats.output_channel = 5;
    stats.output_token = 3;
  };
  set(0, 0, 9, 2.0);
  set(0, 1, 3, 8.0);
  set(2, 0, 4, 4.0);
  set(2, 1, 4, 1.0);
  set(2, 2, 4, 16.0);
  return table;
}

TEST(ExpertFigures, StandInTheLayerOrInAllLayers) {
  const Standing load = standing_of(table(), {0, 1}, ExpertNumber::share, false);
  EXPECT_EQ(load.rank, 2);
  EXPECT_EQ(load.of, 3);
  const Standing max = standing_of(table(), {0, 1}, ExpertNumber::output_max, true);
  EXPECT_EQ(max.rank, 2);
  EXPECT_EQ(max.of, 5) << "of those with an output";
}

TEST(ExpertFigures, OfEqualNumbersTheLowerExpertComesFirst) {
  EXPECT_EQ(standing_of(table(), {2, 1}, ExpertNumber::share, false).rank, 2);
  EXPECT_EQ(standing_of(table(), {2, 2}, ExpertNumber::weight, false).rank, 3);
}

TEST(ExpertFigures, WithoutANumberThereIsNoRank) {
  EXPECT_EQ(standing_of(table(), {0, 2}, ExpertNumber::output_max, true).rank, 0);
  EXPECT_EQ(ranks_in_layer(table(), {0, 2}).size(), 1u) << "by load";
}

TEST(ExpertFigures, BeginWithTheFourThatAreReadFirst) {
  const std::vector<KeyFigure> figures = key_figures(table(), {0, 1});
  ASSERT_EQ(figures.size(), 7u);
  EXPECT_EQ(figures[0].name, "load");
  EXPECT_EQ(figures[0].value, "25.0\u202f%");
  EXPECT_EQ(figures[0].rank + ' ' + figures[0].of, "2 of 3");
  EXPECT_EQ(figures[3].value, "8.00");
  EXPECT_EQ(figures[5].of, "of 12") << "slots of the layer";
  EXPECT_EQ(figures[6].value, "5") << "the channel";
}

TEST(ExpertFigures, OfASharedExpertAreThoseOfItsOutput) {
  ExpertTable with = table();
  with.shared_layer = {1, 0, 0};
  with.shared.resize(3);
  with.shared[0].count = 6;
  with.shared[0].output_max = 3;
  with.shared[0].output_channel = 1;
  const std::vector<KeyFigure> figures = key_figures(with, {0, kSharedExpert});
  ASSERT_EQ(figures.size(), 4u);
  EXPECT_EQ(figures[0].name, "mean norm");
  EXPECT_EQ(figures[2].name, "tokens");
  EXPECT_TRUE(key_figures(with, {2, kSharedExpert}).empty());
}

}  // namespace
}  // namespace expertscope::testing
