// SPDX-License-Identifier: GPL-3.0-or-later
// Views of what analyses find: asked for while they can be seen.
#include <gtest/gtest.h>

#include <QTableView>

#include "tests/gui/window/window_fixture.h"

namespace expertscope::testing {
namespace {

class LayersTest : public WindowTest {
 protected:
  QTableView& table() { return part<QTableView>("layers"); }
  int rows() { return table().model()->rowCount(); }
};

TEST_F(LayersTest, AreReadWhenTheyAreShownAndNotBefore) {
  open_model();
  generate();
  settle();
  EXPECT_EQ(rows(), 0);
  window_.show_view("layers");
  ASSERT_TRUE(wait_until([this] { return rows() == 3; }));
  EXPECT_EQ(table().model()->index(1, 0).data().toString(), "1");
}

TEST_F(LayersTest, AClickSelectsTheLayerAndTheSelectionItsRow) {
  open_model();
  generate();
  window_.show_view("layers");
  ASSERT_TRUE(wait_until([this] { return rows() == 3; }));
  workbench_.selection().set_cell({2, 7});
  EXPECT_EQ(table().currentIndex().row(), 2);
  const QRect row = table().visualRect(table().model()->index(1, 0));
  QTest::mouseClick(table().viewport(), Qt::LeftButton, {}, row.center());
  EXPECT_EQ(workbench_.selection().cell(), (Cell{1, 7}));
}

TEST_F(LayersTest, FollowTheRangeAndEmptyWithTheTrace) {
  open_model();
  generate();
  window_.show_view("layers");
  ASSERT_TRUE(wait_until([this] { return rows() == 3; }));
  const auto dead = [this] {
    for (int column = 0; column < table().model()->columnCount(); ++column) {
      if (table().model()->headerData(column, Qt::Horizontal).toString() == "dead")
        return table().model()->index(0, column).data().toString().toInt();
    }
    return -1;
  };
  const int before = dead();
  workbench_.selection().set_range({0, 1});
  EXPECT_TRUE(wait_until([&] { return dead() > before; })) << "a token uses fewer experts than a run";
  workbench_.close();
  EXPECT_EQ(rows(), 0);
}

}  // namespace
}  // namespace expertscope::testing
