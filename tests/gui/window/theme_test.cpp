// SPDX-License-Identifier: GPL-3.0-or-later
// What is written can be read in both themes.
#include "views/window/theme.h"

#include <gtest/gtest.h>

#include <QChart>
#include <QChartView>
#include <QCheckBox>
#include <QColor>
#include <QImage>
#include <QMenu>
#include <QXYSeries>
#include <algorithm>
#include <cmath>

#include "tests/gui/workbench_fixture.h"
#include "views/widgets/outlier_chart.h"

namespace expertscope::testing {
namespace {

/// Relative luminance and contrast as WCAG 2.2 defines them.
double luminance(const QColor& colour) {
  const auto linear = [](double c) { return c <= 0.04045 ? c / 12.92 : std::pow((c + 0.055) / 1.055, 2.4); };
  return 0.2126 * linear(colour.redF()) + 0.7152 * linear(colour.greenF()) + 0.0722 * linear(colour.blueF());
}

double contrast(const QColor& a, const QColor& b) {
  const auto [dark, light] = std::minmax(luminance(a), luminance(b));
  return (light + 0.05) / (dark + 0.05);
}

TEST(Theme, TextAndLinksCanBeReadOnEveryGround) {
  for (const QPalette& palette : {light_palette(), dark_palette()}) {
    for (const QPalette::ColorRole ground : {QPalette::Window, QPalette::Base, QPalette::AlternateBase}) {
      for (const QPalette::ColorRole ink : {QPalette::WindowText, QPalette::Text, QPalette::PlaceholderText,
                                            QPalette::Link, QPalette::LinkVisited}) {
        EXPECT_GE(contrast(palette.color(ink), palette.color(ground)), 4.5) << ink << " on " << ground;
      }
    }
    EXPECT_GE(contrast(palette.color(QPalette::HighlightedText), palette.color(QPalette::Highlight)), 4.5);
    EXPECT_GE(contrast(palette.color(QPalette::ToolTipText), palette.color(QPalette::ToolTipBase)), 4.5);
  }
}

TEST(Theme, AnEmptyCheckBoxCanBeSeen) {
  WorkbenchStyle style;
  for (const QPalette& palette : {light_palette(), dark_palette()}) {
    QCheckBox box;
    box.setStyle(&style);
    box.setPalette(palette);
    box.resize(40, 20);
    const QImage image = box.grab().toImage();
    double most = 1;
    for (int x = 0; x < image.width(); ++x)
      most = std::max(most, contrast(image.pixelColor(x, 10), palette.color(QPalette::Window)));
    EXPECT_GE(most, 3);
  }
}

TEST(Theme, AMenuHasAFrameThatStandsOutFromIt) {
  WorkbenchStyle style;
  for (const QPalette& palette : {light_palette(), dark_palette()}) {
    QMenu menu;
    menu.addAction("Copy");
    menu.setStyle(&style);
    menu.setPalette(palette);
    menu.resize(menu.sizeHint());
    const QImage image = menu.grab().toImage();
    const QColor ground = image.pixelColor(image.width() / 2, image.height() - 3);
    for (const QPoint& at : {QPoint(0, image.height() / 2), QPoint(image.width() - 1, image.height() / 2),
                             QPoint(image.width() / 2, 0), QPoint(image.width() / 2, image.height() - 1)})
      EXPECT_GE(contrast(image.pixelColor(at), ground), 3) << at.x() << ", " << at.y();
  }
}

class OutlierColours : public WorkbenchTest {};

TEST_F(OutlierColours, LinesAndMarksStandOutFromTheirGround) {
  OutlierChart outliers(workbench_);
  for (const QPalette& palette : {light_palette(), dark_palette()}) {
    outliers.setPalette(palette);
    const QChart& chart = *outliers.findChild<QChartView*>()->chart();
    ASSERT_FALSE(chart.series().empty());
    for (const QAbstractSeries* series : chart.series()) {
      // A mark is filled, and its border separates it from the line; a ring is not.
      const auto& points = *static_cast<const QXYSeries*>(series);
      const bool filled =
          series->type() == QAbstractSeries::SeriesTypeScatter && points.color() != Qt::transparent;
      const QColor ink = filled ? points.color() : points.pen().color();
      EXPECT_GE(contrast(ink, chart.backgroundBrush().color()), 3) << ink.name().toStdString();
    }
  }
}

}  // namespace
}  // namespace expertscope::testing
