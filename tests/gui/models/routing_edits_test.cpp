// SPDX-License-Identifier: GPL-3.0-or-later
// What is listed is in force, every change can be undone, and nothing gets in that the model would refuse.
#include "views/models/routing_edits.h"

#include <gtest/gtest.h>

#include <QAbstractItemModelTester>
#include <QSignalSpy>
#include <cmath>

#include "tests/gui/support.h"

namespace expertscope::testing {
namespace {

RoutingEdit prune(int layer, int expert, PruneMode mode = PruneMode::mask) {
  return {PruneEdit{expert, mode}, {layer}, true, {}};
}
RoutingEdit reroute(int layer, int from, int to) {
  return {RerouteEdit{from, to}, {layer}, true, {}};
}
RoutingEdit bias(int layer, int expert, float logit) {
  return {BiasEdit{expert, logit}, {layer}, true, {}};
}

class RoutingEditsTest : public ::testing::Test {
 protected:
  RoutingEditsTest() { edits_.set_config(small_config()); }

  QStringList lines() const {
    QStringList lines;
    for (int row = 0; row < edits_.rowCount(); ++row) {
      const QModelIndex index = edits_.index(row);
      const bool on = edits_.data(index, Qt::CheckStateRole).toInt() == Qt::Checked;
      lines << (on ? "[x] " : "[ ] ") + edits_.data(index, Qt::DisplayRole).toString();
    }
    return lines;
  }
  bool masked(int layer, int expert) const {
    const auto& bias = edits_.table()->layers[static_cast<std::size_t>(layer)].logit_bias;
    return std::isinf(bias[static_cast<std::size_t>(expert)]);
  }

  RoutingEdits edits_;
  QAbstractItemModelTester tester_{&edits_, QAbstractItemModelTester::FailureReportingMode::Fatal};
};

TEST_F(RoutingEditsTest, WithoutAModelNothingCanBeEdited) {
  edits_.set_config(std::nullopt);
  QSignalSpy refused(&edits_, &RoutingEdits::refused);
  EXPECT_FALSE(edits_.editable());
  EXPECT_FALSE(edits_.add(prune(0, 1)));
  EXPECT_EQ(refused.count(), 1);
  EXPECT_EQ(edits_.rowCount(), 0);
}

TEST_F(RoutingEditsTest, AnAddedEditIsListedCheckedAndCompiled) {
  QSignalSpy changed(&edits_, &RoutingEdits::policy_changed);
  ASSERT_TRUE(edits_.add(prune(2, 5)));
  EXPECT_EQ(lines(), QStringList({"[x] prune expert 5 in layer 2 (mask)"}));
  EXPECT_EQ(changed.count(), 1);
  EXPECT_TRUE(masked(2, 5));
  EXPECT_EQ(edits_.data(edits_.index(0), RoutingEdits::kLayerRole).toInt(), 2);
  EXPECT_EQ(edits_.data(edits_.index(0), RoutingEdits::kExpertRole).toInt(), 5);
}

TEST_F(RoutingEditsTest, UndoAndRedoMoveThePolicyInForce) {
  ASSERT_TRUE(edits_.add(prune(2, 5)));
  ASSERT_TRUE(edits_.add(reroute(3, 1, 4)));
  edits_.undo_stack().undo();
  EXPECT_EQ(lines(), QStringList({"[x] prune expert 5 in layer 2 (mask)"}));
  EXPECT_EQ(edits_.table()->layers[3].remap[1], 1);
  edits_.undo_stack().undo();
  EXPECT_TRUE(edits_.policy().empty());
  EXPECT_FALSE(masked(2, 5));
  edits_.undo_stack().redo();
  edits_.undo_stack().redo();
  EXPECT_TRUE(masked(2, 5));
  EXPECT_EQ(edits_.table()->layers[3].remap[1], 4);
  EXPECT_FALSE(edits_.undo_stack().canRedo());
}

TEST_F(RoutingEditsTest, TheUndoStackSaysWhatItWouldUndo) {
  ASSERT_TRUE(edits_.add(bias(0, 3, 2.0f)));
  EXPECT_EQ(edits_.undo_stack().undoText(), "boost expert 3 in layer 0 (router logit +2)");
  ASSERT_TRUE(edits_.set_enabled(0, false));
  EXPECT_EQ(edits_.undo_stack().undoText(), "switch off: boost expert 3 in layer 0 (router logit +2)");
}

TEST_F(RoutingEditsTest, SwitchingOffOneEditLeavesTheOthersInForce) {
  ASSERT_TRUE(edits_.add(prune(2, 5)));
  ASSERT_TRUE(edits_.add(prune(2, 6)));
  ASSERT_TRUE(edits_.setData(edits_.index(0), Qt::Unchecked, Qt::CheckStateRole));
  EXPECT_EQ(lines(),
            QStringList({"[ ] prune expert 5 in layer 2 (mask)", "[x] prune expert 6 in layer 2 (mask)"}));
  EXPECT_FALSE(masked(2, 5));
  EXPECT_TRUE(masked(2, 6));
  edits_.undo_stack().undo();
  EXPECT_TRUE(masked(2, 5));
}

TEST_F(RoutingEditsTest, SwitchingKeepsTheRowsOfTheList) {
  ASSERT_TRUE(edits_.add(prune(2, 5)));
  ASSERT_TRUE(edits_.add(prune(2, 6)));
  const QPersistentModelIndex row(edits_.index(1));
  ASSERT_TRUE(edits_.set_enabled(1, false));
  EXPECT_TRUE(row.isValid()) << "a view would lose its current row";
}

TEST_F(RoutingEditsTest, PruningTheSameExpertAnotherWayReplacesTheFirstEdit) {
  ASSERT_TRUE(edits_.add(prune(2, 5, PruneMode::mask)));
  ASSERT_TRUE(edits_.add(prune(2, 5, PruneMode::zero)));
  EXPECT_EQ(lines(), QStringList({"[x] prune expert 5 in layer 2 (zero)"}));
  edits_.undo_stack().undo();
  EXPECT_EQ(lines(), QStringList({"[x] prune expert 5 in layer 2 (mask)"}));
}

TEST_F(RoutingEditsTest, AnEditThatLeavesTooFewExpertsIsRefusedAndChangesNothing) {
  for (int expert = 0; expert < 6; ++expert) {
    ASSERT_TRUE(edits_.add(prune(0, expert)));
  }
  QSignalSpy refused(&edits_, &RoutingEdits::refused);
  const auto before = edits_.table();
  const Status status = edits_.add(prune(0, 6));
  ASSERT_FALSE(status);
  EXPECT_NE(status.error().message.find("layer 0"), std::string::npos) << status.error().message;
  EXPECT_EQ(refused.count(), 1);
  EXPECT_EQ(edits_.rowCount(), 6);
  EXPECT_EQ(edits_.table(), before);
  EXPECT_EQ(edits_.undo_stack().count(), 6);
}

TEST_F(RoutingEditsTest, RefusesADenseLayerAndAnExpertThatDoesNotExist) {
  EXPECT_FALSE(edits_.add(prune(1, 0)));
  EXPECT_FALSE(edits_.add(prune(0, 8)));
  EXPECT_FALSE(edits_.add(reroute(0, 1, -1)));
  EXPECT_FALSE(edits_.add(prune(4, 0)));
  EXPECT_EQ(edits_.rowCount(), 0);
}

TEST_F(RoutingEditsTest, RemovesOneAllOfACellOrEverything) {
  ASSERT_TRUE(edits_.add(prune(2, 5)));
  ASSERT_TRUE(edits_.add(bias(2, 5, -1.0f)));
  ASSERT_TRUE(edits_.add(reroute(3, 1, 4)));
  EXPECT_TRUE(edits_.has_edit_on({2, 5}));
  ASSERT_TRUE(edits_.remove_on({2, 5}));
  EXPECT_EQ(lines(), QStringList({"[x] reroute expert 1 to 4 in layer 3"}));
  EXPECT_FALSE(edits_.has_edit_on({2, 5}));
  edits_.undo_stack().undo();
  ASSERT_TRUE(edits_.remove(0));
  EXPECT_EQ(edits_.rowCount(), 2);
  ASSERT_TRUE(edits_.clear());
  EXPECT_EQ(edits_.rowCount(), 0);
  edits_.undo_stack().undo();
  EXPECT_EQ(edits_.rowCount(), 2);
  EXPECT_FALSE(edits_.remove(17));
}

TEST_F(RoutingEditsTest, AnEditOfEveryLayerIsNoEditOfOneCell) {
  ASSERT_TRUE(edits_.add({PruneEdit{5, PruneMode::mask}, {}, true, {}}));
  EXPECT_FALSE(edits_.has_edit_on({2, 5}));
  ASSERT_TRUE(edits_.remove_on({2, 5}));
  EXPECT_EQ(edits_.rowCount(), 1);
}

TEST_F(RoutingEditsTest, AnEditOfAWholeLayerIsNoEditOfItsSharedExpert) {
  ASSERT_TRUE(edits_.add({TopKEdit{1}, {2}, true, {}}));
  EXPECT_FALSE(edits_.has_edit_on({2, kSharedExpert}));
  ASSERT_TRUE(edits_.remove_on({2, kSharedExpert}));
  EXPECT_EQ(edits_.rowCount(), 1);
}

TEST_F(RoutingEditsTest, APolicyFileReplacesTheListInOneUndoableStep) {
  ASSERT_TRUE(edits_.add(prune(2, 5)));
  RoutingPolicy policy;
  policy.edits = {reroute(0, 1, 2), bias(3, 4, 1.5f)};
  ASSERT_TRUE(edits_.replace(policy, "load p.json"));
  EXPECT_EQ(edits_.rowCount(), 2);
  EXPECT_EQ(edits_.undo_stack().undoText(), "load p.json");
  edits_.undo_stack().undo();
  EXPECT_EQ(lines(), QStringList({"[x] prune expert 5 in layer 2 (mask)"}));
}

TEST_F(RoutingEditsTest, AnotherModelForgetsEditsAndHistory) {
  ASSERT_TRUE(edits_.add(prune(2, 5)));
  edits_.set_config(small_config());
  EXPECT_EQ(edits_.rowCount(), 0);
  EXPECT_FALSE(edits_.undo_stack().canUndo());
  EXPECT_NE(edits_.table(), nullptr);
}

TEST(EditMarks, SayWhatTheEnabledEditsDoToACell) {
  RoutingPolicy policy;
  policy.edits = {prune(2, 5, PruneMode::zero), reroute(2, 1, 7), bias(2, 3, -2.0f)};
  policy.edits.push_back({ForceEdit{6}, {0, 3}, true, {}});
  policy.edits.push_back(prune(0, 1));
  policy.edits.back().enabled = false;
  const ModelConfig config = small_config();
  const EditMarks marks(policy, config.moe_layers(), config.num_experts());
  EXPECT_EQ(marks.at({2, 5}).prune, PruneMode::zero);
  EXPECT_EQ(marks.at({2, 1}).reroute_to, 7);
  EXPECT_EQ(marks.at({2, 3}).bias, -2.0f);
  EXPECT_TRUE(marks.at({0, 6}).force);
  EXPECT_TRUE(marks.at({3, 6}).force);
  EXPECT_FALSE(marks.at({2, 6}).any());
  EXPECT_FALSE(marks.at({0, 1}).any());
  EXPECT_EQ(marks.at({0, 1}).lines, QStringList({"prune expert 1 in layer 0 (mask) (off)"}));
}

TEST_F(RoutingEditsTest, ANoteIsShownAsItIsWritten) {
  RoutingEdit edit = prune(2, 5);
  edit.note = "<b>why</b>";
  ASSERT_TRUE(edits_.add(edit));
  EXPECT_TRUE(edits_.data(edits_.index(0), Qt::ToolTipRole).toString().contains("&lt;b&gt;why"));
}

TEST_F(RoutingEditsTest, APolicyChangesSomethingWhenAnEditIsSwitchedOn) {
  EXPECT_FALSE(edits_.any_enabled());
  ASSERT_TRUE(edits_.add(prune(2, 5)));
  EXPECT_TRUE(edits_.any_enabled());
  ASSERT_TRUE(edits_.set_enabled(0, false));
  EXPECT_FALSE(edits_.any_enabled());
}

TEST(EditMarks, AStarMarksEveryMoeLayerAndOnlyThose) {
  RoutingPolicy policy;
  policy.edits.push_back({PruneEdit{5, PruneMode::drop}, {}, true, {}});
  const ModelConfig config = small_config();
  const EditMarks marks(policy, config.moe_layers(), config.num_experts());
  EXPECT_TRUE(marks.at({0, 5}).any());
  EXPECT_FALSE(marks.at({1, 5}).any());
  EXPECT_TRUE(marks.at({3, 5}).any());
}

TEST(EditMarks, SkipWhatLiesOutsideTheGrid) {
  RoutingPolicy policy;
  policy.edits = {prune(2, 99), prune(99, 1), prune(-1, 1)};
  policy.edits.push_back({TopKEdit{1}, {}, true, {}});
  const ModelConfig config = small_config();
  const EditMarks marks(policy, config.moe_layers(), config.num_experts());
  for (int layer = -1; layer < 5; ++layer) {
    for (int expert = -1; expert < 10; ++expert) {
      EXPECT_FALSE(marks.at({layer, expert}).any());
    }
  }
}

TEST_F(RoutingEditsTest, WhatNoFileHoldsIsUnsaved) {
  EXPECT_FALSE(edits_.has_unsaved());
  ASSERT_TRUE(edits_.add({PruneEdit{3, PruneMode::mask}, {2}, true, {}}));
  EXPECT_TRUE(edits_.has_unsaved());
  edits_.set_saved(edits_.policy());
  EXPECT_FALSE(edits_.has_unsaved());
  ASSERT_TRUE(edits_.set_enabled(0, false));
  EXPECT_TRUE(edits_.has_unsaved());
  edits_.undo_stack().undo();
  EXPECT_FALSE(edits_.has_unsaved()) << "back at what the file holds";
}

TEST_F(RoutingEditsTest, EditsMadeWhileAFileWasWrittenAreUnsaved) {
  ASSERT_TRUE(edits_.add({PruneEdit{3, PruneMode::mask}, {2}, true, {}}));
  const RoutingPolicy written = edits_.policy();
  ASSERT_TRUE(edits_.add({ForceEdit{4}, {2}, true, {}}));
  edits_.set_saved(written);
  EXPECT_TRUE(edits_.has_unsaved());
}

TEST_F(RoutingEditsTest, NoEditsAndAnotherModelLeaveNothingToSave) {
  ASSERT_TRUE(edits_.add({PruneEdit{3, PruneMode::mask}, {2}, true, {}}));
  ASSERT_TRUE(edits_.clear());
  EXPECT_FALSE(edits_.has_unsaved()) << "nothing is left that could be lost";
  ASSERT_TRUE(edits_.add({PruneEdit{3, PruneMode::mask}, {2}, true, {}}));
  edits_.set_config(small_config());
  EXPECT_FALSE(edits_.has_unsaved());
}

}  // namespace
}  // namespace expertscope::testing
