// SPDX-License-Identifier: GPL-3.0-or-later
// The list of runs and the table twin of the routing map.
#include <gtest/gtest.h>

#include <QAbstractItemModelTester>
#include <QSignalSpy>

#include "tests/gui/support.h"
#include "views/models/expert_table_model.h"
#include "views/models/run_list_model.h"

namespace expertscope::testing {
namespace {

std::shared_ptr<const std::vector<RunInfo>> runs(std::vector<std::int64_t> ids) {
  auto list = std::make_shared<std::vector<RunInfo>>();
  for (const std::int64_t id : ids) {
    RunInfo run;
    run.id = id;
    run.kind = "generate";
    run.dataset = "In the\nbeginning";
    run.status = "finished";
    run.tokens = 40 + id;
    list->push_back(run);
  }
  return list;
}

TEST(RunListModel, ListsRunsAsTheyAreGiven) {
  RunListModel model;
  const QAbstractItemModelTester tester(&model, QAbstractItemModelTester::FailureReportingMode::Fatal);
  EXPECT_EQ(model.rowCount(), 0);
  model.set_runs(runs({3, 2, 1}));
  EXPECT_EQ(model.rowCount(), 3);
  EXPECT_EQ(model.run_at(0), 3);
  EXPECT_EQ(model.row_of(1), 2);
  EXPECT_EQ(model.row_of(9), -1);
  EXPECT_EQ(model.run_at(-1), 0);
  EXPECT_EQ(model.run_at(3), 0);
  EXPECT_EQ(model.index(0).data().toString(), "3  generate: In the beginning\n43 tokens, finished");
  EXPECT_EQ(model.index(0).data(RunListModel::kRunRole).toLongLong(), 3);
}

TEST(RunListModel, AGrowingRunOnlyChangesItsRow) {
  RunListModel model;
  model.set_runs(runs({2, 1}));
  QSignalSpy resets(&model, &QAbstractItemModel::modelReset);
  QSignalSpy changes(&model, &QAbstractItemModel::dataChanged);
  model.set_runs(runs({2, 1}));
  EXPECT_EQ(resets.count(), 0);
  EXPECT_EQ(changes.count(), 1);
  model.set_runs(runs({3, 2, 1}));
  EXPECT_EQ(resets.count(), 1);
  model.set_runs(nullptr);
  EXPECT_EQ(model.rowCount(), 0);
}

TEST(RunListModel, SaysWhatWasRecoveredAndWhatWasDropped) {
  auto list = std::make_shared<std::vector<RunInfo>>(*runs({1}));
  list->front().status = "interrupted";
  list->front().tokens = 812;
  list->front().dropped_tokens = 5;
  RunListModel model;
  model.set_runs(list);
  EXPECT_EQ(model.index(0).data().toString(),
            "1  generate: In the beginning\ninterrupted, 812 tokens recovered, 5 tokens dropped")
      << "the tokens are said once";
  EXPECT_EQ(run_details(list->front()).count("812"), 1);
}

TEST(RunListModel, APercentSignInAPromptStaysAsItIs) {
  auto list = std::make_shared<std::vector<RunInfo>>(*runs({1}));
  list->front().dataset = "100%1 of %5 or %2";
  RunListModel model;
  model.set_runs(list);
  EXPECT_EQ(model.index(0).data().toString(), "1  generate: 100%1 of %5 or %2\n41 tokens, finished");
}

TEST(RunDetails, EscapesWhatAFileSays) {
  RunInfo run = runs({1})->front();
  run.model.path = "<img src=x>";
  run.message = "a < b";
  EXPECT_FALSE(run_details(run).contains("<img"));
  EXPECT_TRUE(run_details(run).contains("a &lt; b"));
}

TEST(RunListModel, SpellsOutWhatHidesOrReversesText) {
  auto list = std::make_shared<std::vector<RunInfo>>(*runs({1}));
  list->front().dataset = "safe\u202egpj.exe pay\u200bpal";
  list->front().model.path = "/m\u2066odel";
  list->front().model.name = "de\u202emo";
  RunListModel model;
  model.set_runs(list);
  EXPECT_TRUE(model.index(0).data().toString().contains("safe\\u202egpj.exe pay\\u200bpal"));
  EXPECT_TRUE(run_details(list->front()).contains("/m\\u2066odel"));
  EXPECT_TRUE(run_details(list->front()).contains("de\\u202emo"));
}

/// Layers 0 and 2 have routers, 3 experts each; expert 2 of layer 2 never ran.
std::shared_ptr<const RunSnapshot> snapshot(std::int64_t count = 6) {
  auto result = std::make_shared<RunSnapshot>();
  ExpertTable& table = result->table;
  table.layers = 3;
  table.experts = 3;
  table.tokens = 4;
  table.moe_layer = {1, 0, 1};
  table.cells.resize(9);
  for (const int layer : {0, 2}) {
    table.at(layer, 0) = {count, 0.9, 3.0, 12.0, 6.0, 5.25, 17, 2, 0};
    table.at(layer, 1) = {2, 0.2, 1.0, 3.0, 1.5, 2.0, 3, 0, 0};
  }
  result->load = analyze_load(table);
  return result;
}

TEST(ExpertTableModel, HasARowPerExpertOfEveryMoeLayer) {
  ExpertTableModel model;
  const QAbstractItemModelTester tester(&model, QAbstractItemModelTester::FailureReportingMode::Fatal);
  model.set_snapshot(snapshot());
  ASSERT_EQ(model.rowCount(), 6);
  EXPECT_EQ(model.columnCount(), ExpertTableModel::kColumns);
  EXPECT_EQ(model.cell_of(0), (Cell{0, 0}));
  EXPECT_EQ(model.cell_of(4), (Cell{2, 1}));
  EXPECT_EQ(model.row_of({2, 1}), 4);
  EXPECT_EQ(model.row_of({1, 1}), -1);
  EXPECT_EQ(model.row_of({0, 3}), -1);
  EXPECT_EQ(model.row_of({}), -1);
  EXPECT_FALSE(model.cell_of(-1).valid());
  EXPECT_FALSE(model.cell_of(6).valid());
  model.set_snapshot(nullptr);
  EXPECT_EQ(model.rowCount(), 0);
}

TEST(ExpertTableModel, ASharedExpertComesFirstAndHasDashesForRouting) {
  auto with = std::make_shared<RunSnapshot>(*snapshot());
  with->table.shared_layer = {0, 0, 1};
  with->table.shared.resize(3);
  with->table.shared[2] = {4, 0, 0, 20.0, 0, 300.0, 7, 2, 8.0, 7, 0};
  ExpertTableModel model;
  const QAbstractItemModelTester tester(&model, QAbstractItemModelTester::FailureReportingMode::Fatal);
  model.set_snapshot(snapshot());
  model.set_snapshot(with, std::make_shared<ExpertTable>(with->table), 4);
  ASSERT_EQ(model.rowCount(), 7);
  EXPECT_EQ(model.cell_of(3), (Cell{2, kSharedExpert}));
  EXPECT_EQ(model.cell_of(4), (Cell{2, 0}));
  EXPECT_EQ(model.row_of({2, kSharedExpert}), 3);
  EXPECT_EQ(model.row_of({0, kSharedExpert}), -1);
  const auto text = [&](int column) { return model.index(3, column).data().toString(); };
  EXPECT_EQ(text(ExpertTableModel::kExpert), "shared");
  EXPECT_EQ(text(ExpertTableModel::kNorm), "5.00");
  EXPECT_EQ(text(ExpertTableModel::kOutputMax), "300");
  EXPECT_EQ(text(ExpertTableModel::kChannel), "7");
  for (const int column : {ExpertTableModel::kCount, ExpertTableModel::kShare, ExpertTableModel::kWeight,
                           ExpertTableModel::kProbability})
    EXPECT_EQ(text(column), QStringLiteral("–")) << column;
  EXPECT_EQ(text(ExpertTableModel::kColumns), QStringLiteral("–")) << "its share in the baseline";
  EXPECT_EQ(text(ExpertTableModel::kColumns + 6), "300") << "its maximum there";
  model.set_snapshot(with, std::make_shared<ExpertTable>(snapshot()->table), 3);
  EXPECT_EQ(text(ExpertTableModel::kColumns + 6), QStringLiteral("–"))
      << "a baseline that did not measure it";
}

TEST(ExpertTableModel, ShowsTextSortsByNumberAndTellsEveryDigit) {
  ExpertTableModel model;
  model.set_snapshot(snapshot());
  const auto at = [&](int column) { return model.index(0, column); };
  EXPECT_EQ(at(ExpertTableModel::kCount).data().toString(), "6");
  EXPECT_EQ(at(ExpertTableModel::kShare).data().toString(), "75.0\u202f%");
  EXPECT_EQ(at(ExpertTableModel::kWeight).data().toString(), "0.500");
  EXPECT_EQ(at(ExpertTableModel::kProbability).data().toString(), "0.150");
  EXPECT_EQ(at(ExpertTableModel::kNorm).data().toString(), "2.00");
  EXPECT_EQ(at(ExpertTableModel::kOutputMax).data().toString(), "5.25");
  EXPECT_EQ(at(ExpertTableModel::kChannel).data().toString(), "17");
  EXPECT_EQ(at(ExpertTableModel::kToken).data().toString(), "2");
  EXPECT_DOUBLE_EQ(at(ExpertTableModel::kShare).data(ExpertTableModel::kSortRole).toDouble(), 0.75);
  EXPECT_EQ(at(ExpertTableModel::kProbability).data(Qt::ToolTipRole).toString(), "0.15");
}

TEST(ExpertTableModel, WhatWasNotMeasuredIsADashAndSortsBelowEverything) {
  ExpertTableModel model;
  model.set_snapshot(snapshot());
  const QModelIndex index = model.index(5, ExpertTableModel::kOutputMax);
  EXPECT_EQ(index.data().toString(), QStringLiteral("–"));
  EXPECT_EQ(index.data(Qt::ToolTipRole).toString(), "not measured");
  EXPECT_LT(index.data(ExpertTableModel::kSortRole).toDouble(), -1e300);
}

TEST(ExpertTableModel, NewNumbersOfTheSameRunKeepTheRows) {
  ExpertTableModel model;
  model.set_snapshot(snapshot());
  QSignalSpy resets(&model, &QAbstractItemModel::modelReset);
  const QPersistentModelIndex row(model.index(4, 0));
  model.set_snapshot(snapshot(9));
  EXPECT_EQ(resets.count(), 0);
  EXPECT_TRUE(row.isValid());
  EXPECT_EQ(model.index(0, ExpertTableModel::kCount).data().toString(), "9");
}

TEST(ExpertTableModel, ABaselineAddsItsNumbersAndTheDifferences) {
  ExpertTableModel model;
  const QAbstractItemModelTester tester(&model, QAbstractItemModelTester::FailureReportingMode::Fatal);
  model.set_snapshot(snapshot());
  auto baseline = std::make_shared<ExpertTable>(snapshot(2)->table);
  QSignalSpy resets(&model, &QAbstractItemModel::modelReset);
  model.set_snapshot(snapshot(), baseline, 4);
  EXPECT_EQ(resets.count(), 0) << "selection and scroll position stay";
  ASSERT_EQ(model.columnCount(), ExpertTableModel::kColumns + 8);
  const auto text = [&](int column) { return model.index(0, column).data().toString(); };
  const auto title = [&](int column) { return model.headerData(column, Qt::Horizontal).toString(); };
  const int first = ExpertTableModel::kColumns;
  EXPECT_EQ(title(first), "Share, run 4");
  EXPECT_EQ(text(first), "50.0\u202f%");
  EXPECT_EQ(title(first + 1), "Δ Share");
  EXPECT_EQ(text(first + 1), "+25.0\u202fpp");
  EXPECT_DOUBLE_EQ(model.index(0, first + 1).data(ExpertTableModel::kSortRole).toDouble(), 0.25);
  EXPECT_EQ(text(first + 3), "−1.00") << "mean weight 3/6 - 3/2";
  EXPECT_EQ(text(first + 7), "0") << "the same maximum";
  EXPECT_EQ(ExpertTableModel::compared_column(first + 5), ExpertTableModel::kNorm);
  EXPECT_EQ(model.index(5, first + 7).data().toString(), QStringLiteral("–")) << "never ran";
  model.set_snapshot(snapshot(), std::make_shared<ExpertTable>(snapshot()->table), 5);
  EXPECT_EQ(text(first), "75.0\u202f%") << "another baseline has other layers to add up";
  model.set_snapshot(snapshot());
  EXPECT_EQ(model.columnCount(), ExpertTableModel::kColumns);
}

TEST(ExpertTableModel, ABaselineOfAnotherShapeIsLeftOut) {
  auto other = std::make_shared<ExpertTable>(snapshot()->table);
  other->experts = 9;
  other->layers = 1;
  other->moe_layer = {1};
  ExpertTableModel model;
  model.set_snapshot(snapshot(), other, 4);
  EXPECT_EQ(model.columnCount(), ExpertTableModel::kColumns);
}

TEST(ExpertTableModel, EveryColumnHasATitleAndAnExplanation) {
  const ExpertTableModel model;
  for (int column = 0; column < ExpertTableModel::kColumns; ++column) {
    EXPECT_FALSE(model.headerData(column, Qt::Horizontal).toString().isEmpty());
    EXPECT_FALSE(model.headerData(column, Qt::Horizontal, Qt::ToolTipRole).toString().isEmpty());
  }
  EXPECT_FALSE(model.headerData(99, Qt::Horizontal, Qt::ToolTipRole).isValid());
}

}  // namespace
}  // namespace expertscope::testing
