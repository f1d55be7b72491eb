// SPDX-License-Identifier: GPL-3.0-or-later
// One object says what the person looks at; it speaks only when something changed.
#include "views/models/selection.h"

#include <gtest/gtest.h>

#include <QSignalSpy>

#include "tests/gui/support.h"

namespace expertscope::testing {
namespace {

TEST(Selection, BeginsWithTheNewestRunAndNothingChosen) {
  const Selection selection;
  EXPECT_EQ(selection.run(), 0);
  EXPECT_EQ(selection.baseline(), 0);
  EXPECT_FALSE(selection.cell().valid());
  EXPECT_EQ(selection.token(), -1);
  EXPECT_FALSE(selection.has_range());
}

TEST(Selection, ChoosingACellTellsOnce) {
  Selection selection;
  QSignalSpy cells(&selection, &Selection::cell_changed);
  QSignalSpy changes(&selection, &Selection::changed);
  selection.set_cell({2, 5});
  selection.set_cell({2, 5});
  EXPECT_EQ(selection.cell(), (Cell{2, 5}));
  EXPECT_EQ(cells.count(), 1);
  EXPECT_EQ(changes.count(), 1);
}

TEST(Selection, TokenRangeAndBaselineTellOnlyWhenTheyChange) {
  Selection selection;
  QSignalSpy tokens(&selection, &Selection::token_changed);
  QSignalSpy ranges(&selection, &Selection::range_changed);
  QSignalSpy changes(&selection, &Selection::changed);
  selection.set_token(7);
  selection.set_token(7);
  selection.set_range({3, 9});
  selection.set_range({3, 9});
  selection.set_baseline(2);
  selection.set_baseline(2);
  EXPECT_EQ(tokens.count(), 1);
  EXPECT_EQ(ranges.count(), 1);
  EXPECT_EQ(changes.count(), 3);
  EXPECT_TRUE(selection.has_range());
  selection.clear_range();
  EXPECT_FALSE(selection.has_range());
  EXPECT_EQ(ranges.count(), 2);
}

TEST(Selection, AnotherRunForgetsTokenAndRangeButKeepsTheCell) {
  Selection selection;
  selection.set_cell({1, 3});
  selection.set_token(7);
  selection.set_range({3, 9});
  selection.set_run(4);
  EXPECT_EQ(selection.run(), 4);
  EXPECT_EQ(selection.cell(), (Cell{1, 3}));
  EXPECT_EQ(selection.token(), -1);
  EXPECT_FALSE(selection.has_range());
}

TEST(Selection, ANewRunForgetsTokenAndRangeAlsoWhenTheNewestWasShownAlready) {
  Selection selection;
  selection.set_token(7);
  selection.set_range({3, 9});
  selection.follow_newest();
  EXPECT_EQ(selection.run(), 0);
  EXPECT_EQ(selection.token(), -1);
  EXPECT_FALSE(selection.has_range());
}

TEST(Selection, ResetForgetsEverything) {
  Selection selection;
  selection.set_run(4);
  selection.set_baseline(3);
  selection.set_cell({1, 3});
  selection.set_token(7);
  QSignalSpy changes(&selection, &Selection::changed);
  selection.reset();
  EXPECT_EQ(selection.run(), 0);
  EXPECT_EQ(selection.baseline(), 0);
  EXPECT_FALSE(selection.cell().valid());
  EXPECT_EQ(selection.token(), -1);
  EXPECT_EQ(changes.count(), 1);
}

}  // namespace
}  // namespace expertscope::testing
