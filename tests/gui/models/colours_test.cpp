// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/models/design.h"

#include <gtest/gtest.h>

#include <QColor>
#include <algorithm>
#include <cmath>

#include "probes/report/colour_scale.h"

namespace expertscope::testing {
namespace {

double luminance(QRgb colour) {
  return 0.2126 * qRed(colour) + 0.7152 * qGreen(colour) + 0.0722 * qBlue(colour);
}

TEST(ColourTable, ViridisGetsLighterAllTheWay) {
  const auto& table = colour_table(ColourMap::viridis);
  EXPECT_EQ(table.front(), 0xff440154);
  EXPECT_EQ(table.back(), 0xfffde725);
  for (std::size_t i = 1; i < table.size(); ++i) {
    EXPECT_GE(luminance(table[i]), luminance(table[i - 1]) - 0.5) << "at " << i;
  }
}

TEST(ColourTable, DivergingIsBlueBelowLightInTheMiddleAndOrangeAbove) {
  const auto& table = colour_table(ColourMap::diverging);
  EXPECT_GT(qBlue(table.front()), qRed(table.front()));
  EXPECT_GT(qRed(table.back()), qBlue(table.back()));
  EXPECT_GT(luminance(table[127]), 220);
  EXPECT_GT(luminance(table[128]), 220);
}

TEST(ReadableOn, PicksTheColourThatStandsOut) {
  EXPECT_EQ(readable_on(0xff440154), QColor(Qt::white));
  EXPECT_EQ(readable_on(0xfffde725), QColor(Qt::black));
}

TEST(ReadableOn, HasAContrastOf4AndAHalfOnEveryColour) {
  for (int grey = 0; grey < 256; ++grey) {
    const double part = grey / 255.0;
    const double luminance = part <= 0.04045 ? part / 12.92 : std::pow((part + 0.055) / 1.055, 2.4);
    const bool black = readable_on(qRgb(grey, grey, grey)) == QColor(Qt::black);
    EXPECT_GE(black ? (luminance + 0.05) / 0.05 : 1.05 / (luminance + 0.05), 4.5) << grey;
  }
}

TEST(ColourScale, WithNegativeValuesALogarithmicOneIsLogarithmicOnBothSidesOfZero) {
  const ColourScale scale{-100, 100, true};
  EXPECT_DOUBLE_EQ(scale.position(0), 0.5);
  EXPECT_DOUBLE_EQ(scale.position(100), 1);
  EXPECT_DOUBLE_EQ(scale.position(-100), 0);
  EXPECT_GT(scale.position(10), 0.7) << "a tenth of the largest is far from the middle";
  EXPECT_NEAR(scale.position(10) + scale.position(-10), 1, 1e-12);
  for (const double position : {0.1, 0.4, 0.5, 0.8}) {
    EXPECT_NEAR(scale.position(scale.value_at(position)), position, 1e-12);
  }
  const auto ticks = scale.ticks(5);
  EXPECT_EQ(ticks, (std::vector<double>{-100, -10, 0, 10, 100}));
}

TEST(ColourScale, MapsLinearlyAndClamps) {
  const ColourScale scale{2, 6, false};
  EXPECT_DOUBLE_EQ(scale.position(2), 0);
  EXPECT_DOUBLE_EQ(scale.position(4), 0.5);
  EXPECT_DOUBLE_EQ(scale.position(6), 1);
  EXPECT_DOUBLE_EQ(scale.position(-10), 0);
  EXPECT_DOUBLE_EQ(scale.position(10), 1);
}

TEST(ColourScale, MapsByLogarithm) {
  const ColourScale scale{0.001, 10, true};
  EXPECT_NEAR(scale.position(0.1), 0.5, 1e-12);
  EXPECT_DOUBLE_EQ(scale.position(0), 0);
  EXPECT_DOUBLE_EQ(scale.position(-1), 0);
}

TEST(ColourScale, ValueAtIsTheInverseOfPosition) {
  for (const ColourScale& scale : {ColourScale{-3, 5, false}, ColourScale{0.01, 100, true}}) {
    for (const double position : {0.0, 0.1, 0.5, 0.9, 1.0}) {
      EXPECT_NEAR(scale.position(scale.value_at(position)), position, 1e-12);
    }
  }
}

TEST(ColourScale, WithoutExtentEverythingIsTheLowest) {
  const ColourScale scale{3, 3, false};
  EXPECT_DOUBLE_EQ(scale.position(3), 0);
  EXPECT_TRUE(scale.ticks(5).empty());
}

TEST(ColourScale, TicksAreRoundInsideTheScaleAndAscending) {
  const ColourScale scale{0, 0.137, false};
  const auto ticks = scale.ticks(5);
  ASSERT_FALSE(ticks.empty());
  EXPECT_LE(ticks.size(), 7u);
  EXPECT_DOUBLE_EQ(ticks.front(), 0);
  EXPECT_NEAR(ticks[1], 0.05, 1e-12);
  EXPECT_TRUE(std::is_sorted(ticks.begin(), ticks.end()));
  EXPECT_LE(ticks.back(), 0.137 * (1 + 1e-9));
}

TEST(ColourScale, LogarithmicTicksArePowersOfTenOverManyDecades) {
  const auto ticks = ColourScale{0.0005, 500, true}.ticks(5);
  ASSERT_EQ(ticks.size(), 6u);
  EXPECT_NEAR(ticks.front(), 0.001, 1e-12);
  EXPECT_NEAR(ticks.back(), 100, 1e-9);
}

TEST(ColourScale, ALogarithmicScaleInsideOneDecadeStillHasTicks) {
  EXPECT_GE((ColourScale{0.03, 0.09, true}.ticks(5).size()), 1u);
  EXPECT_GE((ColourScale{0.06, 0.09, true}.ticks(5).size()), 2u);
}

TEST(ColourScale, AHugeOrATinyRangeDoesNotFlood) {
  EXPECT_LE((ColourScale{1e-300, 1e300, true}.ticks(5).size()), 12u);
  EXPECT_LE((ColourScale{5e-324, 1, true}.ticks(5).size()), 12u);
  EXPECT_TRUE((ColourScale{-1.7e308, 1.7e308, false}.ticks(5).empty()));
  EXPECT_LE((ColourScale{-1e300, 1e300, false}.ticks(5).size()), 12u);
  EXPECT_LE((ColourScale{1, 1 + 1e-15, false}.ticks(5).size()), 12u);
}

}  // namespace
}  // namespace expertscope::testing
