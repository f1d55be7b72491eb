// SPDX-License-Identifier: GPL-3.0-or-later
// The routing map under mouse and keyboard, and what it paints.
#include "views/widgets/heatmap_view.h"

#include <gtest/gtest.h>

#include <QSignalSpy>
#include <QWheelEvent>
#include <cmath>
#include <limits>

#include "tests/gui/support.h"

namespace expertscope::testing {
namespace {

/// 4 layers (layer 1 dense) x 8 experts; the value of a cell is layer + expert / 10.
std::shared_ptr<HeatmapData> data() {
  auto data = std::make_shared<HeatmapData>();
  data->metric = HeatmapMetric::output_max;
  data->layers = 4;
  data->experts = 8;
  data->moe_layer = {1, 0, 1, 1};
  data->measured = true;
  data->high = 3.7;
  data->smallest_positive = 0.1;
  for (int layer = 0; layer < 4; ++layer) {
    for (int expert = 0; expert < 8; ++expert) {
      data->values.push_back(layer == 1 ? std::numeric_limits<double>::quiet_NaN() : layer + expert / 10.0);
    }
  }
  return data;
}

class HeatmapViewTest : public ::testing::Test {
 protected:
  HeatmapViewTest() {
    view_.resize(800, 420);
    view_.set_data(data());
    view_.show();
    EXPECT_TRUE(QTest::qWaitForWindowExposed(&view_));
    QObject::connect(&view_, &HeatmapView::cell_selected, &view_, &HeatmapView::set_selected);
  }
  QPoint middle(Cell cell) const { return view_.geometry_map().rect_of(cell).center().toPoint(); }
  void click(Cell cell) { QTest::mouseClick(&view_, Qt::LeftButton, {}, middle(cell)); }
  void press(Qt::Key key) { QTest::keyClick(&view_, key); }
  Cell selected() const { return view_.scene().selected; }
  QRgb pixel(Cell cell) {
    // Off the middle, where a value may be written.
    const QRectF rect = view_.geometry_map().rect_of(cell);
    return view_.grab().toImage().pixel((rect.topLeft() + QPointF(4, 4)).toPoint());
  }

  HeatmapView view_;
};

TEST_F(HeatmapViewTest, AClickSelectsTheCellUnderIt) {
  for (const Cell cell : {Cell{0, 0}, Cell{3, 7}, Cell{2, 5}}) {
    click(cell);
    EXPECT_EQ(selected(), cell);
  }
}

TEST_F(HeatmapViewTest, ADenseLayerHasNothingToSelect) {
  click({1, 3});
  EXPECT_FALSE(selected().valid());
}

TEST_F(HeatmapViewTest, OnlyExpertsHaveAMenu) {
  QSignalSpy menus(&view_, &HeatmapView::menu_requested);
  const auto ask = [&](Cell cell) {
    const QPoint at = middle(cell);
    QContextMenuEvent event(QContextMenuEvent::Mouse, at, view_.mapToGlobal(at));
    QApplication::sendEvent(&view_, &event);
  };
  ask({1, 2});
  EXPECT_EQ(menus.count(), 0) << "layer 1 is dense";
  ask({2, 2});
  EXPECT_EQ(menus.count(), 1);
}

TEST_F(HeatmapViewTest, KeysStepOverTheCellsAndSkipDenseLayers) {
  press(Qt::Key_Right);
  EXPECT_EQ(selected(), (Cell{0, 0}));
  press(Qt::Key_D);
  press(Qt::Key_S);
  EXPECT_EQ(selected(), (Cell{2, 1}));
  press(Qt::Key_Up);
  press(Qt::Key_Up);
  EXPECT_EQ(selected(), (Cell{0, 1}));
  press(Qt::Key_Left);
  press(Qt::Key_A);
  EXPECT_EQ(selected(), (Cell{0, 0}));
}

TEST_F(HeatmapViewTest, ASharedExpertIsACellOfItsOwn) {
  const auto with = data();
  with->shared_layer = {0, 0, 1, 1};
  with->shared = {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::quiet_NaN(), 1.5,
                  3.0};
  view_.set_data(with);
  const Cell shared{2, kSharedExpert};
  click(shared);
  EXPECT_EQ(selected(), shared);
  EXPECT_EQ(view_.accessibleDescription(), "layer 2, shared expert: 1.5");
  press(Qt::Key_Right);
  EXPECT_EQ(selected(), (Cell{2, 0}));
  press(Qt::Key_Left);
  press(Qt::Key_Down);
  EXPECT_EQ(selected(), (Cell{3, kSharedExpert}));
  press(Qt::Key_Left);
  EXPECT_EQ(selected(), (Cell{3, kSharedExpert})) << "nothing is to the left of it";
  EXPECT_EQ(pixel(shared), with->scale(false).colour(1.5, ColourMap::viridis));
  click({0, kSharedExpert});
  EXPECT_EQ(selected(), (Cell{3, kSharedExpert})) << "layer 0 has none";
}

TEST_F(HeatmapViewTest, ASharedExpertIsNoTargetOfAReroute) {
  const auto with = data();
  with->shared_layer = {1, 0, 1, 1};
  with->shared = {1.0, 1.0, 1.0, 1.0};
  view_.set_data(with);
  QSignalSpy picked(&view_, &HeatmapView::reroute_picked);
  view_.pick_reroute_target({2, kSharedExpert});
  EXPECT_FALSE(view_.is_picking());
  view_.pick_reroute_target({2, 1});
  click({2, kSharedExpert});
  EXPECT_EQ(picked.count(), 0);
  EXPECT_TRUE(view_.is_picking());
}

TEST_F(HeatmapViewTest, ADraggedRectangleZoomsInAndADoubleClickOut) {
  QTest::mousePress(&view_, Qt::LeftButton, {}, middle({2, 2}) - QPoint(5, 5));
  QTest::mouseMove(&view_, middle({3, 4}));
  QTest::mouseMove(&view_, middle({3, 5}));
  QTest::mouseRelease(&view_, Qt::LeftButton, {}, middle({3, 5}));
  EXPECT_FALSE(view_.geometry_map().is_fit());
  EXPECT_EQ(view_.geometry_map().view(), QRectF(2, 2, 4, 2));
  EXPECT_FALSE(selected().valid()) << "a drag selects nothing";
  QTest::mouseDClick(&view_, Qt::LeftButton, {}, middle({2, 3}));
  EXPECT_TRUE(view_.geometry_map().is_fit());
}

TEST_F(HeatmapViewTest, TheMiddleButtonDragsTheMap) {
  view_.zoom_in();
  view_.zoom_in();
  const QPointF before = view_.geometry_map().view().topLeft();
  QTest::mousePress(&view_, Qt::MiddleButton, {}, QPoint(300, 200));
  QTest::mouseMove(&view_, QPoint(360, 230));
  QTest::mouseRelease(&view_, Qt::MiddleButton, {}, QPoint(360, 230));
  EXPECT_LT(view_.geometry_map().view().left(), before.x());
  press(Qt::Key_Home);
  EXPECT_TRUE(view_.geometry_map().is_fit());
}

TEST_F(HeatmapViewTest, ARerouteTargetIsPickedInTheSameLayer) {
  QSignalSpy picked(&view_, &HeatmapView::reroute_picked);
  view_.pick_reroute_target({2, 1});
  click({3, 4});
  click({2, 1});
  EXPECT_EQ(picked.count(), 0) << "another layer, or the expert itself";
  EXPECT_TRUE(view_.is_picking());
  click({2, 6});
  ASSERT_EQ(picked.count(), 1);
  EXPECT_EQ(picked[0][0].value<Cell>(), (Cell{2, 1}));
  EXPECT_EQ(picked[0][1].toInt(), 6);
  EXPECT_FALSE(view_.is_picking());
}

TEST_F(HeatmapViewTest, ATargetIsPickedByKeyboardToo) {
  QSignalSpy picked(&view_, &HeatmapView::reroute_picked);
  view_.set_selected({2, 1});
  view_.pick_reroute_target({2, 1});
  press(Qt::Key_Right);
  press(Qt::Key_Right);
  press(Qt::Key_Return);
  ASSERT_EQ(picked.count(), 1);
  EXPECT_EQ(picked[0][1].toInt(), 3);
}

TEST_F(HeatmapViewTest, EscapeEndsPicking) {
  QSignalSpy ended(&view_, &HeatmapView::pick_ended);
  view_.pick_reroute_target({2, 1});
  press(Qt::Key_Escape);
  EXPECT_FALSE(view_.is_picking());
  EXPECT_EQ(ended.count(), 1);
}

TEST_F(HeatmapViewTest, CellsHaveTheColourOfTheirValue) {
  const ColourScale scale = view_.scene().data->scale(false);
  EXPECT_EQ(pixel({0, 0}), scale.colour(0.0, ColourMap::viridis));
  EXPECT_EQ(pixel({3, 7}), scale.colour(3.7, ColourMap::viridis));
  EXPECT_EQ(pixel({2, 4}), scale.colour(2.4, ColourMap::viridis));
}

TEST_F(HeatmapViewTest, ALogarithmicScaleShowsWhatALinearOneHides) {
  const QRgb linear = pixel({0, 5});
  view_.set_logarithmic(true);
  EXPECT_NE(pixel({0, 5}), linear);
  EXPECT_EQ(pixel({0, 5}), view_.scene().data->scale(true).colour(0.5, ColourMap::viridis));
}

TEST_F(HeatmapViewTest, EditsAreDrawnOnTheirCells) {
  const QImage before = view_.grab().toImage();
  RoutingPolicy policy;
  policy.edits = {{PruneEdit{5, PruneMode::mask}, {2}, true, {}},
                  {RerouteEdit{1, 3}, {3}, true, {}},
                  {BiasEdit{2, 2.0f}, {0}, true, {}}};
  view_.set_marks(EditMarks(policy, view_.scene().data->moe_layer, 8));
  const QImage after = view_.grab().toImage();
  for (const Cell cell : {Cell{2, 5}, Cell{3, 1}, Cell{0, 2}}) {
    const QRect rect = view_.geometry_map().rect_of(cell).toAlignedRect();
    EXPECT_NE(before.copy(rect), after.copy(rect)) << "layer " << cell.layer << " expert " << cell.expert;
  }
  const QRect untouched = view_.geometry_map().rect_of({0, 6}).toAlignedRect();
  EXPECT_EQ(before.copy(untouched), after.copy(untouched));
}

TEST_F(HeatmapViewTest, TheSelectionIsVisibleAndSpoken) {
  const QImage before = view_.grab().toImage();
  view_.set_selected({2, 4});
  EXPECT_NE(view_.grab().toImage(), before);
  EXPECT_TRUE(view_.accessibleDescription().contains("layer 2, expert 4: 2.4"));
}

TEST_F(HeatmapViewTest, PicturesAreAsFineAsAskedFor) {
  EXPECT_EQ(view_.figure(2).width(), view_.width() * 2);
  EXPECT_GT(view_.figure(2).height(), view_.height() * 2) << "the caption stands above";
  EXPECT_TRUE(view_.figure_svg().contains("<svg"));
}

TEST_F(HeatmapViewTest, AFigureShowsTheRunAndNotThePersonAtTheWindow) {
  view_.set_figure({}, "Load · run 1");
  const QImage before = view_.figure(1);
  view_.set_selected({2, 3});
  view_.set_token_cells({{0, 1}});
  RoutingPolicy since;
  since.edits = {{PruneEdit{4, PruneMode::mask}, {2}, true, {}}};
  view_.set_marks(EditMarks(since, data()->moe_layer, 8));
  EXPECT_EQ(view_.figure(1), before);
  view_.set_figure(EditMarks(since, data()->moe_layer, 8), "Load · run 1");
  EXPECT_NE(view_.figure(1), before);
  EXPECT_TRUE(view_.figure_svg().contains("Load"));
}

TEST_F(HeatmapViewTest, PickingEndsWhenSomethingElseTakesTheFocus) {
  QSignalSpy picked(&view_, &HeatmapView::reroute_picked);
  view_.pick_reroute_target({2, 1});
  QFocusEvent away(QEvent::FocusOut, Qt::MouseFocusReason);
  QApplication::sendEvent(&view_, &away);
  EXPECT_FALSE(view_.is_picking());
  click({2, 5});
  EXPECT_EQ(picked.count(), 0);
}

TEST_F(HeatmapViewTest, PaintsAnyGridAtAnySize) {
  for (const QSize size : {QSize(1, 1), QSize(60, 40), QSize(1600, 1000)}) {
    view_.resize(size);
    for (const auto& [layers, experts] : {std::pair{1, 1}, std::pair{48, 128}, std::pair{2, 512}}) {
      auto grid = std::make_shared<HeatmapData>();
      grid->layers = layers;
      grid->experts = experts;
      grid->moe_layer.assign(static_cast<std::size_t>(layers), 1);
      grid->values.assign(static_cast<std::size_t>(layers * experts), 1.0);
      grid->high = 1;
      view_.set_data(grid);
      EXPECT_FALSE(view_.grab().toImage().isNull());
    }
  }
  view_.set_data(nullptr);
  EXPECT_FALSE(view_.grab().toImage().isNull());
  view_.set_data(std::make_shared<HeatmapData>());
  EXPECT_FALSE(view_.grab().toImage().isNull());
}

}  // namespace
}  // namespace expertscope::testing
