// SPDX-License-Identifier: GPL-3.0-or-later
// Pixels to cells and back, zoomed or not.
#include "views/models/heatmap_geometry.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "tests/gui/support.h"

namespace expertscope::testing {
namespace {

/// 48 layers x 128 experts on 1280 x 480 pixels at (40, 20): a cell is 10 x 10.
class HeatmapGeometryTest : public ::testing::Test {
 protected:
  HeatmapGeometryTest() {
    geometry_.set_grid(48, 128);
    geometry_.set_plot(QRectF(40, 20, 1280, 480));
  }
  HeatmapGeometry geometry_;
};

TEST_F(HeatmapGeometryTest, FindsTheCellUnderAPixel) {
  EXPECT_EQ(geometry_.cell_at({40, 20}), (Cell{0, 0}));
  EXPECT_EQ(geometry_.cell_at({49.9, 29.9}), (Cell{0, 0}));
  EXPECT_EQ(geometry_.cell_at({50, 30}), (Cell{1, 1}));
  EXPECT_EQ(geometry_.cell_at({1319.9, 499.9}), (Cell{47, 127}));
}

TEST_F(HeatmapGeometryTest, ThereIsNoCellOutsideThePlot) {
  EXPECT_FALSE(geometry_.cell_at({39.9, 100}));
  EXPECT_FALSE(geometry_.cell_at({100, 19.9}));
  EXPECT_FALSE(geometry_.cell_at({1320, 100}));
  EXPECT_FALSE(geometry_.cell_at({100, 500}));
}

TEST_F(HeatmapGeometryTest, TheMiddleOfACellsRectangleIsInTheCell) {
  geometry_.zoom(3.7, {900, 333});
  for (int layer = 0; layer < 48; layer += 5) {
    for (int expert = 0; expert < 128; expert += 7) {
      const QPointF middle = geometry_.rect_of({layer, expert}).center();
      if (geometry_.plot().contains(middle)) {
        EXPECT_EQ(geometry_.cell_at(middle), (Cell{layer, expert}));
      }
    }
  }
}

TEST_F(HeatmapGeometryTest, ZoomingKeepsThePointUnderTheMouse) {
  const QPointF mouse(700, 200);
  const Cell before = *geometry_.cell_at(mouse);
  geometry_.zoom(2.0, mouse);
  EXPECT_DOUBLE_EQ(geometry_.cell_width(), 20);
  EXPECT_EQ(geometry_.cell_at(mouse), before);
  geometry_.zoom(0.5, mouse);
  EXPECT_TRUE(geometry_.is_fit());
}

TEST_F(HeatmapGeometryTest, ZoomHasALimitOnBothSides) {
  for (int i = 0; i < 100; ++i) {
    geometry_.zoom(1.5, {500, 300});
  }
  EXPECT_DOUBLE_EQ(geometry_.view().width(), 4);
  EXPECT_DOUBLE_EQ(geometry_.view().height(), 2);
  for (int i = 0; i < 100; ++i) {
    geometry_.zoom(0.5, {500, 300});
  }
  EXPECT_TRUE(geometry_.is_fit());
}

TEST_F(HeatmapGeometryTest, PanMovesTheContentWithTheMouseAndStopsAtTheEdge) {
  geometry_.zoom(2.0, {40, 20});
  EXPECT_EQ(geometry_.cell_at({40, 20}), (Cell{0, 0}));
  geometry_.pan({-100, -40});
  EXPECT_EQ(geometry_.cell_at({40, 20}), (Cell{2, 5}));
  geometry_.pan({1e9, 1e9});
  EXPECT_EQ(geometry_.cell_at({40, 20}), (Cell{0, 0}));
  geometry_.pan({-1e9, -1e9});
  EXPECT_EQ(geometry_.cell_at({1319, 499}), (Cell{47, 127}));
}

TEST_F(HeatmapGeometryTest, ADraggedRectangleBecomesTheView) {
  geometry_.zoom_to(QRectF(QPointF(145, 45), QPointF(245, 145)));
  EXPECT_EQ(geometry_.view(), QRectF(10, 2, 11, 11));
}

TEST_F(HeatmapGeometryTest, ARectangleDraggedBackwardsOrBeyondThePlotWorks) {
  geometry_.zoom_to(QRectF(QPointF(245, 145), QPointF(-500, -500)));
  EXPECT_EQ(geometry_.view(), QRectF(0, 0, 21, 13));
  geometry_.fit();
  geometry_.zoom_to(QRectF(QPointF(-500, -500), QPointF(-400, -400)));
  EXPECT_TRUE(geometry_.is_fit());
}

TEST_F(HeatmapGeometryTest, ScrollsAsLittleAsNeededToShowACell) {
  geometry_.zoom(4.0, {40, 20});
  geometry_.ensure_visible({0, 0});
  EXPECT_EQ(geometry_.view().topLeft(), QPointF(0, 0));
  geometry_.ensure_visible({20, 100});
  EXPECT_DOUBLE_EQ(geometry_.view().right(), 101);
  EXPECT_DOUBLE_EQ(geometry_.view().bottom(), 21);
  geometry_.ensure_visible({20, 100});
  EXPECT_DOUBLE_EQ(geometry_.view().right(), 101);
  geometry_.ensure_visible({});
  EXPECT_DOUBLE_EQ(geometry_.view().right(), 101);
}

TEST_F(HeatmapGeometryTest, TheSameGridKeepsTheViewAndAnotherOneFits) {
  geometry_.zoom(4.0, {40, 20});
  geometry_.set_grid(48, 128);
  EXPECT_FALSE(geometry_.is_fit());
  geometry_.set_grid(6, 16);
  EXPECT_TRUE(geometry_.is_fit());
}

TEST_F(HeatmapGeometryTest, TheViewNeverLeavesTheGrid) {
  std::mt19937 random(1);
  std::uniform_real_distribution<double> x(-100, 1500);
  std::uniform_real_distribution<double> factor(0.2, 5);
  for (int i = 0; i < 500; ++i) {
    geometry_.zoom(factor(random), {x(random), x(random)});
    geometry_.pan({x(random), x(random) - 700});
    ASSERT_TRUE(QRectF(-1e-9, -1e-9, 128 + 2e-9, 48 + 2e-9).contains(geometry_.view()));
  }
}

TEST_F(HeatmapGeometryTest, AFittedMapHasWholeDevicePixelsACell) {
  geometry_.set_plot(QRectF(40, 20, 1290, 505));
  EXPECT_EQ(geometry_.plot(), QRectF(40, 20, 1280, 480)) << "what is left over is at the right and below";
  geometry_.set_plot(QRectF(40, 20, 1290, 505), 2);
  EXPECT_DOUBLE_EQ(geometry_.cell_width(), 10);
  EXPECT_DOUBLE_EQ(geometry_.cell_height(), 10.5);
  geometry_.set_plot(QRectF(0, 0, 100, 480));
  EXPECT_DOUBLE_EQ(geometry_.plot().width(), 100) << "less than a pixel a cell";
}

TEST_F(HeatmapGeometryTest, AZoomedMapHasCellsThatTouchAtWholePixels) {
  geometry_.zoom(1.37, {700, 200});
  for (int expert = 40; expert < 80; ++expert) {
    const QRectF cell = geometry_.rect_of({20, expert});
    EXPECT_DOUBLE_EQ(cell.left(), std::round(cell.left()));
    EXPECT_DOUBLE_EQ(cell.right(), geometry_.rect_of({20, expert + 1}).left());
  }
}

/// 48 layers x 128 experts and a shared one a layer, which has two columns and one of a gap: 131 of 10
/// pixels.
class SharedColumn : public ::testing::Test {
 protected:
  SharedColumn() {
    geometry_.set_grid(48, 128, true);
    geometry_.set_plot(QRectF(40, 20, 1310, 480));
  }
  HeatmapGeometry geometry_;
};

TEST_F(SharedColumn, StandsToTheLeftOfTheOthersSetApart) {
  EXPECT_EQ(geometry_.cell_at({41, 31}), (Cell{1, kSharedExpert}));
  EXPECT_EQ(geometry_.cell_at({59, 31}), (Cell{1, kSharedExpert}));
  EXPECT_FALSE(geometry_.cell_at({65, 31})) << "between it and the others";
  EXPECT_EQ(geometry_.cell_at({71, 31}), (Cell{1, 0}));
  EXPECT_EQ(geometry_.cell_at({1349, 31}), (Cell{1, 127}));
  EXPECT_EQ(geometry_.rect_of({1, kSharedExpert}), QRectF(40, 30, 20, 10));
  EXPECT_EQ(geometry_.rect_of({1, 0}), QRectF(70, 30, 10, 10));
}

TEST_F(SharedColumn, IsScrolledIntoViewLikeAnyCell) {
  geometry_.zoom(4, {1340, 40});
  EXPECT_GT(geometry_.view().left(), 3);
  geometry_.ensure_visible({0, kSharedExpert});
  EXPECT_DOUBLE_EQ(geometry_.view().left(), 0);
  geometry_.ensure_visible({0, 127});
  EXPECT_DOUBLE_EQ(geometry_.view().right(), 131);
}

TEST_F(SharedColumn, ComesAndGoesWithTheModel) {
  EXPECT_TRUE(geometry_.is_fit());
  geometry_.set_grid(48, 128, false);
  EXPECT_TRUE(geometry_.is_fit());
  EXPECT_EQ(geometry_.view(), QRectF(0, 0, 128, 48));
}

TEST(HeatmapGeometry, IsHarmlessWithoutAGrid) {
  HeatmapGeometry geometry;
  geometry.set_plot(QRectF(0, 0, 100, 100));
  geometry.zoom(2, {5, 5});
  geometry.pan({5, 5});
  geometry.zoom_to(QRectF(1, 1, 5, 5));
  geometry.ensure_visible({1, 1});
  EXPECT_FALSE(geometry.cell_at({5, 5}));
}

TEST(HeatmapGeometry, ASmallGridCannotBeZoomedBelowItself) {
  HeatmapGeometry geometry;
  geometry.set_grid(1, 2);
  geometry.set_plot(QRectF(0, 0, 100, 100));
  geometry.zoom(10, {50, 50});
  EXPECT_TRUE(geometry.is_fit());
}

}  // namespace
}  // namespace expertscope::testing
