// SPDX-License-Identifier: GPL-3.0-or-later
// The frame: the map first, one column beside it, the text below.
#include "views/window/frame.h"

#include <gtest/gtest.h>

#include <QDockWidget>
#include <QMenuBar>
#include <QTabBar>
#include <QTableView>
#include <set>

#include "tests/gui/window/window_fixture.h"
#include "views/window/view_tabs.h"

namespace expertscope::testing {
namespace {

class FrameTest : public WindowTest {
 protected:
  void resize(const QSize& size) {
    window_.resize(size);
    settle();
    require(window_.size() == size, "a screen this small holds the window");
  }
  QStringList tabs() {
    const auto& bar = *window_.findChild<ViewTabs*>()->findChild<QTabBar*>();
    QStringList titles;
    for (int tab = 0; tab < bar.count(); ++tab)
      titles << bar.tabText(tab);
    return titles;
  }
};

TEST_F(FrameTest, TheMapHasHalfOfTheWindowAtEverySize) {
  open_model();
  generate();
  workbench_.selection().set_cell({1, 4});
  for (const QSize size :
       {QSize(1024, 700), QSize(1280, 800), QSize(1440, 900), QSize(1920, 1080), QSize(2560, 1440)}) {
    SCOPED_TRACE(size.width());
    resize(size);
    EXPECT_GE(2 * map().width() * map().height(), size.width() * size.height())
        << map().width() << " x " << map().height();
    EXPECT_GE(map().width(), 640);
    EXPECT_GE(map().height(), 300);
  }
}

TEST_F(FrameTest, DetailsAreThereWhileSomethingIsSelected) {
  open_model();
  generate();
  auto& expert = part<QDockWidget>("expert_dock");
  auto& token = part<QDockWidget>("token_dock");
  EXPECT_FALSE(expert.isVisible());
  EXPECT_FALSE(token.isVisible());
  const int alone = part<QDockWidget>("runs_dock").height();
  workbench_.selection().set_cell({1, 4});
  settle();
  EXPECT_TRUE(expert.isVisible());
  EXPECT_EQ(expert.windowTitle(), "L1 E4");
  EXPECT_LT(part<QDockWidget>("runs_dock").height(), alone);
  workbench_.selection().set_token(3);
  EXPECT_TRUE(wait_until([this] { return part<QTableView>("token_slots").isVisible(); }))
      << "what was selected last is in front";
  workbench_.selection().set_token(-1);
  workbench_.selection().set_cell({});
  settle();
  EXPECT_FALSE(expert.isVisible());
  EXPECT_EQ(part<QDockWidget>("runs_dock").height(), alone);
}

TEST_F(FrameTest, ThePromptGrowsIntoTheTokensAndNotIntoTheMap) {
  open_model();
  resize({1280, 800});
  auto& prompt = part<QPlainTextEdit>("prompt");
  const int line = prompt.height();
  const QRect shown = map().geometry();
  const int tokens = part<TokenStrip>("token_strip").height();
  for (int lines = 2; lines <= 9; ++lines) {
    prompt.setPlainText(QString("a\n").repeated(lines - 1));
    settle();
    EXPECT_EQ(map().geometry(), shown);
    EXPECT_GE(part<TokenStrip>("token_strip").height(), 44);
  }
  EXPECT_GT(prompt.height(), line);
  EXPECT_LT(part<TokenStrip>("token_strip").height(), tokens);
  prompt.setPlainText("a");
  settle();
  EXPECT_EQ(prompt.height(), line);
}

TEST_F(FrameTest, TheTextHasAsManyWholeLinesOfTokensAsItsHeightIsFor) {
  open_model();
  std::string text;
  for (int word = 0; word < 600; ++word)
    text += " and";
  generate(prompt(text, 2));
  auto& strip = part<TokenStrip>("token_strip");
  for (const QSize size : {QSize(1024, 700), QSize(1280, 800), QSize(1920, 1080)}) {
    SCOPED_TRACE(size.width());
    resize(size);
    const QRectF seen(0, strip.chips().height() - strip.viewport()->height(), strip.viewport()->width(),
                      strip.viewport()->height());
    std::set<double> lines;
    for (std::int64_t token = 0; token < tokens_seen(); ++token) {
      const QRectF chip = strip.chips().rect_of(token);
      if (seen.contains(chip)) lines.insert(chip.top());
    }
    EXPECT_EQ(static_cast<int>(lines.size()), frame_sizes(size).text_lines);
  }
}

TEST_F(FrameTest, ATabIsLitUnderTheMouseAndNoLonger) {
  open_model();
  auto& bar = *window_.findChild<ViewTabs*>()->findChild<QTabBar*>();
  const auto ground = [&bar](int tab) {
    return bar.grab().toImage().pixel(bar.tabRect(tab).topLeft() + QPoint(3, 3));
  };
  const QRgb plain = ground(1);
  QTest::mouseMove(&bar, bar.tabRect(1).center());
  settle();
  EXPECT_NE(ground(1), plain);
  QTest::mouseClick(&bar, Qt::LeftButton, {}, bar.tabRect(2).center());
  QTest::mouseMove(&map(), {100, 100});
  settle();
  QTest::keyClick(&window_, Qt::Key_2, Qt::AltModifier);
  settle();
  EXPECT_EQ(ground(1), plain);
  EXPECT_EQ(ground(2), plain);
}

TEST_F(FrameTest, PanelsHaveTitleBarsOnlyWhileTheLayoutIsUnlocked) {
  open_model();
  auto& runs = part<QDockWidget>("runs_dock");
  EXPECT_FALSE(runs.features() & QDockWidget::DockWidgetMovable);
  ASSERT_NE(runs.titleBarWidget(), nullptr);
  EXPECT_LE(runs.titleBarWidget()->height(), 0);
  action("unlock_layout").trigger();
  EXPECT_TRUE(runs.features() & QDockWidget::DockWidgetMovable);
  EXPECT_EQ(runs.titleBarWidget(), nullptr);
  action("unlock_layout").trigger();
  EXPECT_FALSE(runs.features() & QDockWidget::DockWidgetMovable);
}

TEST_F(FrameTest, AnArrangementHasItsViewsAsTabs) {
  open_model();
  EXPECT_EQ(tabs(), (QStringList{"Routing map", "Table", "Domains"}));
  QTest::keyClick(&window_, Qt::Key_2, Qt::AltModifier);
  EXPECT_EQ(tabs(), (QStringList{"Outliers", "Table", "Routing map"}));
  window_.show_view("compare");
  EXPECT_EQ(tabs().first(), "Compare");
  QTest::keyClick(&window_, Qt::Key_1, Qt::AltModifier);
  EXPECT_TRUE(map().isVisible());
}

TEST_F(FrameTest, EveryViewComesToTheFrontByItsRow) {
  open_model();
  generate();
  workbench_.selection().set_cell({1, 4});
  workbench_.selection().set_token(3);
  settle();
  for (const ViewRow& row : view_rows()) {
    SCOPED_TRACE(row.id);
    action((std::string("view_") + row.id).c_str()).trigger();
    settle();
    if (row.area == ViewArea::main) {
      EXPECT_EQ(window_.findChild<ViewTabs*>()->current(), row.id);
    } else {
      const auto& dock = part<QDockWidget>((std::string(row.id) + "_dock").c_str());
      EXPECT_TRUE(dock.isAncestorOf(window_.childAt(dock.geometry().center())));
    }
  }
}

TEST_F(FrameTest, TheColumnGoesAndComesBackByKey) {
  open_model();
  workbench_.selection().set_cell({1, 4});
  settle();
  const int beside = map().width();
  QTest::keyClick(&window_, Qt::Key_F9);
  settle();
  EXPECT_FALSE(part<QDockWidget>("runs_dock").isVisible());
  EXPECT_FALSE(part<QDockWidget>("expert_dock").isVisible());
  EXPECT_GT(map().width(), beside);
  QTest::keyClick(&window_, Qt::Key_F9);
  settle();
  EXPECT_TRUE(part<QDockWidget>("expert_dock").isVisible());
}

TEST(FrameSizes, LeaveTheMapAtLeastHalfOfEveryWindow) {
  for (int width = kSmallestWindow.width(); width <= 4000; width += 8) {
    for (int height = kSmallestWindow.height(); height <= 2200; height += 10) {
      const FrameSizes sizes = frame_sizes({width, height});
      // Menus, tabs and the view's bar above the map, text and status bar below it.
      const int map = (width - sizes.column) * (height - 28 - 28 - 34 - text_height(sizes.text_lines) - 24);
      ASSERT_GE(2 * map, width * height) << width << " x " << height;
    }
  }
}

}  // namespace
}  // namespace expertscope::testing
