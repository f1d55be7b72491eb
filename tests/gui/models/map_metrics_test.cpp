// SPDX-License-Identifier: GPL-3.0-or-later
// What the routing map can show: whatever analyses have a number of for layers and experts.
#include "views/models/map_metrics.h"

#include <gtest/gtest.h>

#include <set>

#include "tests/gui/support.h"

namespace expertscope::testing {
namespace {

Analysis analysis(const std::string& id, std::vector<Table> tables) {
  Analysis made;
  made.id = id;
  made.tables = std::move(tables);
  return made;
}

Table cells(std::vector<ColumnInfo> columns) {
  columns.insert(columns.begin(), {layer_column(), expert_column()});
  return {"cells", "Cells", TableKey::layer_expert, columns};
}

TEST(MapMetrics, BeginWithThoseThatHaveShortcutsAndAreThereAtOnce) {
  const auto& metrics = map_metrics();
  ASSERT_GT(metrics.size(), 4u);
  const char* const names[] = {"Load", "Weight per token", "Mean norm", "Max |down_proj|"};
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(metrics[i].name, names[i]);
    EXPECT_TRUE(metrics[i].of_aggregates());
  }
}

TEST(MapMetrics, HaveNamesAndIdsOfTheirOwnAndAMeaning) {
  std::set<QString> names;
  std::set<QString> ids;
  for (const MapMetric& metric : map_metrics()) {
    EXPECT_TRUE(names.insert(metric.name).second) << metric.name.toStdString();
    EXPECT_TRUE(ids.insert(metric.id()).second) << metric.id().toStdString();
    EXPECT_FALSE(metric.explanation().isEmpty()) << metric.name.toStdString();
  }
  EXPECT_TRUE(ids.count("strings/experts/known_from_token") > 0);
}

TEST(MapMetrics, AreTheNumbersOfTablesOfLayersAndExpertsWhateverTheAnalysis) {
  const std::vector<Analysis> all = {
      analysis("toy", {cells({{"depth", "depth", ColumnType::number, "nats", "How deep."},
                              {"note", "note", ColumnType::text, "", "Words."},
                              {"channel", "channel", ColumnType::integer, "channel", "A name."},
                              {"odd", "odd", ColumnType::flag, "", "Whether it is odd."}}),
                       Table("layers", "Layers", TableKey::layer,
                             {layer_column(), {"depth", "depth", ColumnType::number, "", "Of a layer."}})})};
  const auto metrics = map_metrics(all);
  ASSERT_EQ(metrics.size(), 2u);
  EXPECT_EQ(metrics[0].name, "Depth");
  EXPECT_EQ(metrics[0].explanation(), "How deep.");
  EXPECT_FALSE(metrics[0].of_aggregates());
  EXPECT_EQ(metrics[1].id(), "toy/cells/odd");
}

TEST(MapMetrics, AreOneWhereTheyAreAlikeAndNamedApartWhereTheyAreNot) {
  const ColumnInfo slots{"count", "slots", ColumnType::integer, "slots", "Slots of the expert."};
  ColumnInfo other = slots;
  other.meaning = "Slots in another sense.";
  const std::vector<Analysis> all = {analysis("a", {cells({slots})}), analysis("b", {cells({slots})}),
                                     analysis("c", {cells({other})})};
  const auto metrics = map_metrics(all);
  ASSERT_EQ(metrics.size(), 2u);
  EXPECT_EQ(metrics[0].name, "Slots");
  EXPECT_EQ(metrics[1].name, "Slots (c)");
}

}  // namespace
}  // namespace expertscope::testing
