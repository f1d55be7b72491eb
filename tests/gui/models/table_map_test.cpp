// SPDX-License-Identifier: GPL-3.0-or-later
// A number of a table on the map.
#include "views/models/table_map.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/gui/support.h"

namespace expertscope::testing {
namespace {

Table table() {
  Table table("experts", "Load by domain", TableKey::domain_expert,
              {layer_column(),
               expert_column(),
               {"domain", "domain", ColumnType::text, "", "Of the documents."},
               {"count", "slots", ColumnType::integer, "slots", "Slots of the expert."},
               {"share", "share", ColumnType::number, "share", "Of the layer's slots."},
               {"difference", "difference", ColumnType::number, "share", "From the mean."}});
  table.add_row(0, 0, "c", 12000, 0.75, 0.25);
  table.add_row(0, 1, "c", 0, 0.0, -0.25);
  table.add_row(0, 0, "german", 4, 0.25, -0.25);
  table.add_row(2, 1, "german", 3, NAN, NAN);
  return table;
}

ExpertTable shape() {
  ExpertTable shape;
  shape.layers = 3;
  shape.experts = 2;
  shape.moe_layer = {1, 0, 1};
  shape.tokens = 9;
  shape.cells.resize(6);
  shape.at(2, 1).count = 3;
  return shape;
}

ColumnInfo column(const std::string& id) {
  const Table all = table();
  const Column* found = all.find(id);
  return found != nullptr ? found->info() : ColumnInfo{id, id};
}

TEST(TableMap, ShowsTheRowsOfOneDomainAndLeavesOthersUnmeasured) {
  const HeatmapData data = map_of(table(), column("difference"), shape(), true, "c");
  EXPECT_DOUBLE_EQ(data.at({0, 0}), 0.25);
  EXPECT_TRUE(std::isnan(data.at({2, 1})));
  EXPECT_TRUE(data.never_used({0, 1}));
  EXPECT_TRUE(data.difference);
  EXPECT_EQ(data.unit, "points");
  EXPECT_EQ(data.text({0, 0}), "+25.0\u202fpp");
  EXPECT_FALSE(data.is_moe(1));
}

TEST(TableMap, AColumnThatIsNotThereIsAMapWithoutValues) {
  EXPECT_FALSE(map_of(table(), column("no_such"), shape(), false).has_values());
}

TEST(TableMap, RowsOutsideOfTheShapeAreLeftOut) {
  Table far = table();
  far.add_row(7, 0, "c", 1, 0.5, 0.5);
  far.add_row(0, 9, "c", 1, 0.5, 0.5);
  const HeatmapData data = map_of(far, column("share"), shape(), false, "c");
  EXPECT_EQ(data.values.size(), 6u);
  EXPECT_EQ(std::count_if(data.values.begin(), data.values.end(), [](double v) { return std::isfinite(v); }),
            2);
}

TEST(TableMap, HasTheSharedExpertAndAsksTheShapeWhoNeverRan) {
  Table norms("cells", "", TableKey::layer_expert,
              {layer_column(), expert_column(), {"norm", "mean norm", ColumnType::number, "", ""}});
  norms.add_row(2, kSharedExpert, 7.0);
  norms.add_row(2, 0, NAN);
  norms.add_row(2, 1, 3.0);
  ExpertTable with = shape();
  with.shared_layer = {0, 0, 1};
  with.shared.resize(3);
  const HeatmapData data = map_of(norms, norms.columns.back().info(), with, false);
  EXPECT_DOUBLE_EQ(data.at({2, kSharedExpert}), 7.0);
  EXPECT_TRUE(data.never_used({2, 0}));
  EXPECT_FALSE(data.never_used({2, 1}));
  EXPECT_EQ(data.name, "Mean norm");
  EXPECT_EQ(data.unit, "Mean norm");
}

TEST(TableMap, OfAShapeWithoutTokensNothingWasMeasured) {
  ExpertTable blank = shape();
  blank.tokens = 0;
  const HeatmapData data = map_of(table(), column("share"), blank, false, "c");
  EXPECT_EQ(data.values.size(), 6u);
  EXPECT_FALSE(data.has_values());
}

}  // namespace
}  // namespace expertscope::testing
