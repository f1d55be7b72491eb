// SPDX-License-Identifier: GPL-3.0-or-later
// Tables of analyses as the window shows them.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/gui/support.h"
#include "views/models/analysis_table_model.h"

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

std::shared_ptr<const AnalysisResult> result() {
  auto result = std::make_shared<AnalysisResult>();
  result->tables.push_back(table());
  return result;
}

class AnalysisTable : public ::testing::Test {
 protected:
  AnalysisTable() { model_.set_table(result_, &result_->tables.front()); }
  QString at(int row, int column, int role = Qt::DisplayRole) {
    return model_.index(row, column).data(role).toString();
  }
  std::shared_ptr<const AnalysisResult> result_ = result();
  AnalysisTableModel model_;
};

TEST_F(AnalysisTable, SaysNumbersAsPeopleReadThemAndAllDigitsInTheTooltip) {
  EXPECT_EQ(model_.rowCount(), 4);
  EXPECT_EQ(model_.columnCount(), 6);
  EXPECT_EQ(at(0, 3), "12\u202f000");
  EXPECT_EQ(at(0, 4), "75.0\u202f%");
  EXPECT_EQ(at(0, 4, Qt::ToolTipRole), "75 %");
  EXPECT_EQ(at(3, 4), "–");
}

TEST_F(AnalysisTable, SaysWhatAColumnMeans) {
  EXPECT_EQ(model_.headerData(3, Qt::Horizontal).toString(), "slots");
  EXPECT_EQ(model_.headerData(3, Qt::Horizontal, Qt::ToolTipRole).toString(),
            "Slots of the expert. In slots.");
}

TEST_F(AnalysisTable, KnowsTheExpertOfARowAndTheRowOfAnExpert) {
  EXPECT_EQ(model_.cell_of(1), (Cell{0, 1}));
  EXPECT_EQ(model_.row_of({2, 1}), 3);
  EXPECT_EQ(model_.row_of({2, 0}), -1);
  EXPECT_FALSE(model_.cell_of(9).valid());
}

TEST_F(AnalysisTable, EmptiesWhenTheResultGoes) {
  model_.set_table(nullptr, nullptr);
  EXPECT_EQ(model_.rowCount(), 0);
  EXPECT_EQ(model_.columnCount(), 0);
}

}  // namespace
}  // namespace expertscope::testing
