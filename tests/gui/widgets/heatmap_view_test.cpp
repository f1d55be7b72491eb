// SPDX-License-Identifier: GPL-3.0-or-later
// The routing map under mouse and keyboard, and what it paints.
#include "views/widgets/heatmap_view.h"

#include <gtest/gtest.h>

#include <QSignalSpy>
#include <QWheelEvent>
#include <cmath>
#include <limits>

#include "tests/gui/support.h"
#include "views/models/design.h"

namespace expertscope::testing {
namespace {

/// 4 layers (layer 1 dense) x 8 experts; the value of a cell is layer + expert / 10.
std::shared_ptr<HeatmapData> data() {
  auto data = std::make_shared<HeatmapData>();
  data->layers = 4;
  data->experts = 8;
  data->moe_layer = {1, 0, 1, 1};
  for (int layer = 0; layer < 4; ++layer) {
    for (int expert = 0; expert < 8; ++expert) {
      data->values.push_back(layer == 1 ? std::numeric_limits<double>::quiet_NaN() : layer + expert / 10.0);
    }
  }
  data->find_extent();
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
  EXPECT_EQ(view_.accessibleDescription(), "layer 2, shared expert: 1.50");
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

TEST_F(HeatmapViewTest, EscapeTakesBackTheZoomAndThenTheSelection) {
  view_.set_selected({2, 4});
  QSignalSpy selected(&view_, &HeatmapView::cell_selected);
  view_.zoom_in();
  press(Qt::Key_Escape);
  EXPECT_TRUE(view_.geometry_map().is_fit());
  EXPECT_EQ(selected.count(), 0);
  press(Qt::Key_Escape);
  ASSERT_EQ(selected.count(), 1);
  EXPECT_FALSE(selected[0][0].value<Cell>().valid());
}

TEST_F(HeatmapViewTest, EnterAsksForAllAboutTheSelectedCell) {
  QSignalSpy opened(&view_, &HeatmapView::cell_opened);
  press(Qt::Key_Return);
  EXPECT_EQ(opened.count(), 0) << "nothing is selected";
  view_.set_selected({2, 4});
  press(Qt::Key_Return);
  EXPECT_EQ(opened.count(), 1);
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
  EXPECT_TRUE(view_.accessibleDescription().contains("layer 2, expert 4: 2.40"));
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

/// 48 x 128 cells of 7 x 10 pixels and less, as in a window of 1280 x 800.
class SmallCells : public ::testing::Test {
 protected:
  SmallCells() {
    auto grid = std::make_shared<HeatmapData>();
    grid->layers = 48;
    grid->experts = 128;
    grid->moe_layer.assign(48, 1);
    for (int i = 0; i < 48 * 128; ++i)
      grid->values.push_back(1 + i % 7);
    grid->find_extent();
    view_.resize(1000, 532);
    view_.set_data(grid);
    view_.show();
    EXPECT_TRUE(QTest::qWaitForWindowExposed(&view_));
  }
  void edit(std::vector<RoutingEdit> edits) {
    RoutingPolicy policy;
    policy.edits = std::move(edits);
    view_.set_marks(EditMarks(policy, view_.scene().data->moe_layer, 128));
  }
  QRect rect(Cell cell) const { return view_.geometry_map().rect_of(cell).toRect(); }
  HeatmapView view_;
};

TEST_F(SmallCells, CellsHaveWholePixels) {
  const HeatmapGeometry& geometry = view_.geometry_map();
  EXPECT_DOUBLE_EQ(geometry.cell_width(), std::floor(geometry.cell_width()));
  EXPECT_DOUBLE_EQ(geometry.cell_height(), std::floor(geometry.cell_height()));
  EXPECT_GE(geometry.cell_width(), 6);
}

TEST_F(SmallCells, AMarkLeavesTheValueOfItsCellToBeSeen) {
  const QImage before = view_.grab().toImage();
  edit({{PruneEdit{40, PruneMode::mask}, {11}, true, {}}});
  view_.set_super_cells({{20, 60}});
  view_.set_selected({30, 90});
  const QImage after = view_.grab().toImage();
  for (const Cell cell : {Cell{11, 40}, Cell{20, 60}, Cell{30, 90}}) {
    const QPoint centre = rect(cell).center();
    EXPECT_EQ(before.pixel(centre), after.pixel(centre)) << "layer " << cell.layer;
    const QRect around = rect(cell).adjusted(-4, -7, 4, 4);
    EXPECT_NE(before.copy(around), after.copy(around)) << "layer " << cell.layer;
    EXPECT_GE(around.width(), 9);
  }
}

TEST_F(SmallCells, TheRightEdgeNamesWhatIsMarked) {
  edit({{PruneEdit{40, PruneMode::mask}, {11}, true, {}}, {RerouteEdit{17, 44}, {23}, true, {}}});
  view_.set_super_cells({{11, 40}});
  const auto labels = margin_labels(view_.scene());
  ASSERT_EQ(labels.size(), 2u);
  EXPECT_EQ(labels[0].text, "E40");
  EXPECT_EQ(labels[0].glyphs, (std::vector<Glyph>{Glyph::super, Glyph::mask}));
  EXPECT_EQ(labels[1].text, "E17→44");
  const QImage image = view_.grab().toImage();
  const QRect plot = view_.geometry_map().plot().toRect();
  const QRect beside(plot.right() + 4, rect({11, 40}).center().y() - 6, 60, 12);
  const QImage label = image.copy(beside);
  const QImage blank = image.copy(beside.translated(0, 100));
  EXPECT_NE(label, blank);
}

TEST_F(SmallCells, ManyMarksAreCountedByKindAndLayer) {
  std::vector<RoutingEdit> edits;
  for (int expert = 0; expert < 30; ++expert) {
    edits.push_back({PruneEdit{expert, PruneMode::mask}, {3}, true, {}});
    edits.push_back({BiasEdit{expert, 2.0f}, {4}, true, {}});
  }
  edit(edits);
  const auto labels = margin_labels(view_.scene());
  ASSERT_EQ(labels.size(), 2u);
  EXPECT_EQ(labels[0].cells, 30);
  EXPECT_EQ(labels[0].text, "30 in L3");
}

TEST_F(SmallCells, LabelsStayNearTheirRowsWhereSomeLayersHaveManyMarks) {
  std::vector<Cell> super;
  for (const int layer : {0, 1, 2, 3, 40}) {
    for (int expert = 0; expert < 5; ++expert)
      super.push_back({layer, 20 * expert + layer});
  }
  view_.set_super_cells(super);
  const auto labels = margin_labels(view_.scene());
  ASSERT_EQ(labels.size(), 25u);
  const auto placed = place_labels(labels, view_.geometry_map(), {1, 41});
  ASSERT_EQ(placed.size(), 5u) << "one a layer";
  EXPECT_EQ(placed[0].label.text, "E0 +4");
  EXPECT_EQ(placed[1].label.text, "E41 +4") << "the selected one is named";
  EXPECT_EQ(placed[1].label.cell, (Cell{1, 41}));
  EXPECT_EQ(placed[4].place, view_.geometry_map().rect_of({40, 0}).center().y());
  for (const PlacedLabel& each : placed)
    EXPECT_NEAR(each.place, each.height, 24);
}

TEST_F(SmallCells, AFewMarksOfALayerAreNamedEach) {
  view_.set_super_cells({{9, 3}, {9, 70}});
  const auto placed = place_labels(margin_labels(view_.scene()), view_.geometry_map(), {});
  ASSERT_EQ(placed.size(), 2u);
  EXPECT_EQ(placed[1].label.text, "E70");
}

TEST(PushedApart, KeepsOrderDistanceAndBounds) {
  EXPECT_EQ(pushed_apart({10, 12, 14, 100}, 12, 0, 200), (std::vector<double>{10, 22, 34, 100}));
  EXPECT_EQ(pushed_apart({95, 98, 99}, 12, 0, 100), (std::vector<double>{76, 88, 100}));
  EXPECT_EQ(pushed_apart({-5}, 12, 4, 100), (std::vector<double>{4}));
  EXPECT_TRUE(pushed_apart({}, 12, 0, 100).empty());
}

TEST_F(HeatmapViewTest, AnExpertThatNeverRanIsGreyWithADotAndHasNoColourOfTheScale) {
  const auto with = data();
  with->unused.assign(with->values.size(), 0);
  with->unused[2 * 8 + 4] = 1;
  view_.set_data(with);
  EXPECT_EQ(pixel({2, 4}), design_colours(view_.palette()).unused.rgb());
  const QRectF cell = view_.geometry_map().rect_of({2, 4});
  EXPECT_EQ(view_.grab().toImage().pixel(cell.center().toPoint()),
            design_colours(view_.palette()).unused_dot.rgb());
}

TEST_F(HeatmapViewTest, ManyExpertsShareAColumnThatShowsTheLargest) {
  auto grid = std::make_shared<HeatmapData>();
  grid->layers = 4;
  grid->experts = 512;
  grid->moe_layer.assign(4, 1);
  grid->values.assign(4 * 512, 1.0);
  grid->values[2 * 512 + 301] = 9;
  grid->find_extent();
  grid->scale_high = 9;
  view_.set_data(grid);
  ASSERT_LT(view_.geometry_map().cell_width(), 3);
  const QRgb largest = grid->scale(false).colour(9, ColourMap::viridis);
  const QPoint at = view_.geometry_map().rect_of({2, 301}).center().toPoint();
  const QImage image = view_.grab().toImage();
  bool found = false;
  for (int x = at.x() - 2; x <= at.x() + 2; ++x)
    found = found || image.pixel(x, at.y()) == largest;
  EXPECT_TRUE(found);
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
      grid->find_extent();
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
