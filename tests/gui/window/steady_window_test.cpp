// SPDX-License-Identifier: GPL-3.0-or-later
// What a person has under the mouse, in view or at the keyboard stays there whatever the window has to say.
#include <gtest/gtest.h>

#include <QDockWidget>
#include <QDoubleSpinBox>
#include <QHeaderView>
#include <QImage>
#include <QLabel>
#include <QScrollBar>
#include <QSpinBox>
#include <QStatusBar>
#include <QTableView>
#include <QTextEdit>
#include <QToolButton>
#include <cstdlib>
#include <fstream>

#include "tests/gui/window/window_fixture.h"
#include "views/widgets/opening_progress.h"
#include "views/window/theme.h"

namespace expertscope::testing {
namespace {

class SteadyWindow : public WindowTest {
 protected:
  QRect place_of(QWidget& widget) { return {widget.mapTo(&window_, QPoint()), widget.size()}; }
  /// Every button, field and list that can be clicked, and where.
  QHash<QWidget*, QRect> places() {
    // A text that wraps asks its scroll area, which asks the text again.
    for (int i = 0; i < 3; ++i)
      settle();
    QHash<QWidget*, QRect> found;
    for (QWidget* widget : window_.findChildren<QWidget*>()) {
      const bool control =
          widget->focusPolicy() != Qt::NoFocus || qobject_cast<QAbstractButton*>(widget) != nullptr;
      if (control && widget->isVisible() && !window_.banner().isAncestorOf(widget))
        found.insert(widget, place_of(*widget));
    }
    return found;
  }
  static void expect_same(const QHash<QWidget*, QRect>& before, const QHash<QWidget*, QRect>& after) {
    for (auto at = before.begin(); at != before.end(); ++at) {
      if (!after.contains(at.key())) continue;  // it went, and moved nothing else
      // A list of links grows downwards.
      const bool text = qobject_cast<QLabel*>(at.key()) != nullptr;
      const QRect now = after.value(at.key());
      EXPECT_TRUE(text ? at.value().topLeft() == now.topLeft() : at.value() == now)
          << at.key()->metaObject()->className() << " " << at.key()->objectName().toStdString() << " was at "
          << at.value().y() << ", is at " << now.y();
    }
  }
  void click_at(QPoint at) { QTest::mouseClick(window_.windowHandle(), Qt::LeftButton, {}, at); }
  QString banner() { return window_.banner().message(); }
  bool is_focused(const char* name) { return QApplication::focusWidget() == &part<QWidget>(name); }
};

TEST_F(SteadyWindow, AButtonOfTheExpertPageStaysPressedAndClickedAgainChangesNothing) {
  open_model();
  click_cell({1, 4});
  settle();
  const QPoint boost = place_of(part<QToolButton>("expert_boost")).center();
  click_at(boost);
  settle();
  click_at(boost);
  EXPECT_EQ(map().scene().marks.at({1, 4}).bias, 2.0f);
  EXPECT_EQ(map().scene().marks.at({1, 4}).prune, std::nullopt);
  EXPECT_TRUE(part<QToolButton>("expert_boost").isChecked());
  EXPECT_FALSE(part<QToolButton>("expert_suppress").isChecked());
  EXPECT_TRUE(part<QLabel>("expert_edits").text().contains("4"));
  action("prune_zero").trigger();
  EXPECT_TRUE(part<QToolButton>("expert_prune_mask").isChecked()) << "however it is pruned";
  EXPECT_EQ(part<QToolButton>("expert_prune_mask").text(), "Prune");
  part<QToolButton>("expert_prune_mask").defaultAction()->trigger();
  EXPECT_EQ(map().scene().marks.at({1, 4}).prune, PruneMode::zero);
  click(part<QToolButton>("expert_remove_edits"));
  EXPECT_FALSE(part<QToolButton>("expert_boost").isChecked());
  EXPECT_FALSE(part<QToolButton>("expert_prune_mask").isChecked());
  EXPECT_EQ(workbench_.edits().rowCount(), 0);
}

TEST_F(SteadyWindow, NoEditMovesAControl) {
  open_model();
  generate();
  click_cell({1, 4});
  ASSERT_TRUE(wait_until([this] { return workbench_.view()->expert != nullptr; }));
  for (const char* name : {"boost", "prune_mask", "force", "suppress", "remove_edits"}) {
    SCOPED_TRACE(name);
    const auto before = places();
    action(name).trigger();
    expect_same(before, places());
  }
}

TEST_F(SteadyWindow, AnotherExpertMovesNoControl) {
  open_model();
  generate();
  click_cell({1, 4});
  ASSERT_TRUE(wait_until([this] { return workbench_.view()->expert != nullptr; }));
  const auto before = places();
  for (int expert = 0; expert < 16; ++expert) {
    const Cell cell{1, expert};
    workbench_.selection().set_cell(cell);
    ASSERT_TRUE(wait_until([&] { return workbench_.view()->expert->cell == cell; }));
    expect_same(before, places());
  }
}

TEST_F(SteadyWindow, NeitherGeneratingNorComparingMovesAControl) {
  open_model();
  window_.show_view("compare");
  ASSERT_TRUE(workbench_.edits().add({PruneEdit{3, PruneMode::mask}, {1}, true, {}}));
  part<QSpinBox>("max_tokens").setValue(8);
  generate();
  auto before = places();
  // Texts between the buttons and the prompt; they may take turns.
  for (const char* text : {"compare_empty", "compare_before", "compare_after"}) {
    before.remove(window_.findChild<QWidget*>(text));
  }
  for (const char* button : {"generate", "compare_run"}) {
    SCOPED_TRACE(button);
    click(part<QPushButton>(button));
    expect_same(before, places());
    ASSERT_TRUE(wait_until([this] { return workbench_.engine().can_run(); })) << first_error();
    expect_same(before, places());
  }
}

TEST_F(SteadyWindow, AMessageMovesNothingAndLeavesNothingBehind) {
  open_model();
  settle();
  const auto before = places();
  window_.banner().show_error(QString("it broke, and why takes more than a line ").repeated(4));
  EXPECT_TRUE(window_.banner().isVisible());
  expect_same(before, places());
  window_.banner().show_notice("Written: a");
  expect_same(before, places());
  click(part<QPushButton>("banner_close"));
  EXPECT_FALSE(window_.banner().isVisible());
  expect_same(before, places());
}

TEST_F(SteadyWindow, AMessageStandsInTheCornerOverTheViews) {
  open_model();
  window_.banner().show_error("it broke");
  const QRect message = place_of(window_.banner());
  const QRect views = place_of(*window_.centralWidget());
  EXPECT_TRUE(views.contains(message));
  EXPECT_LT(views.right() - message.right(), 20);
  EXPECT_LT(views.bottom() - message.bottom(), 20);
  EXPECT_TRUE(window_.banner().isVisible());
  EXPECT_EQ(window_.childAt(message.center())->window(), &window_);
  EXPECT_TRUE(window_.banner().isAncestorOf(window_.childAt(message.center())));
}

TEST_F(SteadyWindow, OpeningAnotherModelMovesNothingUntilItIsThereAndCancelActsAtOnce) {
  open_model();
  settle();
  const auto before = places();
  workbench_.open(model());
  EXPECT_TRUE(part<OpeningProgress>("opening").isVisible());
  expect_same(before, places());
  workbench_.open(model());
  click(part<QToolButton>("opening_cancel"));
  EXPECT_FALSE(part<OpeningProgress>("opening").isVisible());
  EXPECT_FALSE(workbench_.engine().is_opening());
  EXPECT_TRUE(part<QPushButton>("generate").isEnabled()) << "the old model goes on";
  expect_same(before, places());
  generate();  // the worker does one thing after another: what was cancelled has had its say
  EXPECT_FALSE(part<OpeningProgress>("opening").isVisible()) << "a late word of what was cancelled";
}

TEST_F(SteadyWindow, AnErrorGoesWhenWhatFailedHasWorked) {
  open_model();
  generate();
  workbench_.export_report("/nowhere/at/all/report.html");
  ASSERT_TRUE(wait_until([this] { return banner().contains("/nowhere/at/all"); }));
  workbench_.export_table_csv(file("table.csv"));
  ASSERT_TRUE(wait_until([this] { return !saved_.isEmpty(); }));
  EXPECT_FALSE(window_.banner().is_error());
  EXPECT_TRUE(banner().startsWith("Written:")) << banner().toStdString();

  workbench_.open(file("gone"));
  ASSERT_TRUE(window_.banner().is_error());
  workbench_.export_table_csv(file("again.csv"));
  ASSERT_TRUE(wait_until([this] { return saved_.size() == 2; }));
  EXPECT_TRUE(window_.banner().is_error()) << "another task has worked";
  workbench_.open(model());
  EXPECT_FALSE(window_.banner().is_error()) << "tried again";
  ASSERT_TRUE(wait_until([this] { return !workbench_.engine().is_opening(); }));

  ASSERT_FALSE(workbench_.edits().add({PruneEdit{3, PruneMode::mask}, {77}, true, {}}));
  ASSERT_TRUE(window_.banner().is_error());
  ASSERT_TRUE(workbench_.edits().add({PruneEdit{3, PruneMode::mask}, {1}, true, {}}));
  EXPECT_FALSE(window_.banner().is_error());

  workbench_.open(file("gone"));
  workbench_.close();
  EXPECT_FALSE(window_.banner().is_error()) << "it was about what is gone";
}

TEST_F(SteadyWindow, TheKeyboardStaysInThePrompt) {
  open_model();
  EXPECT_TRUE(is_focused("prompt")) << "after opening";
  part<QSpinBox>("max_tokens").setValue(3);
  const double temperature = part<QDoubleSpinBox>("temperature").value();
  click(part<QPushButton>("generate"));
  EXPECT_TRUE(is_focused("prompt"));
  ASSERT_TRUE(wait_until([this] { return finished_run(); })) << first_error();
  EXPECT_TRUE(is_focused("prompt")) << "after the run";
  part<QPushButton>("generate").setFocus();
  QTest::keyClick(&part<QPushButton>("generate"), Qt::Key_Space);
  EXPECT_TRUE(is_focused("prompt")) << "by keyboard";
  ASSERT_TRUE(wait_until([this] { return workbench_.engine().can_run(); })) << first_error();
  EXPECT_TRUE(is_focused("prompt"));
  EXPECT_EQ(part<QDoubleSpinBox>("temperature").value(), temperature);
}

TEST_F(SteadyWindow, GeneratingFromTheMapLeavesTheKeyboardThere) {
  open_model();
  part<QSpinBox>("max_tokens").setValue(3);
  map().setFocus();
  QTest::keyClick(&window_, Qt::Key_Return, Qt::ControlModifier);
  EXPECT_EQ(QApplication::focusWidget(), &map());
  ASSERT_TRUE(wait_until([this] { return finished_run(); })) << first_error();
  EXPECT_EQ(QApplication::focusWidget(), &map());
}

TEST_F(SteadyWindow, StopAndCompareHandTheKeyboardOnToWhatBelongsToThem) {
  const ModelFolder endless("top8");
  make_endless(endless);
  open_model(QString::fromStdString(endless.path().string()));
  part<QSpinBox>("max_tokens").setValue(4000);
  click(part<QPushButton>("generate"));
  ASSERT_TRUE(wait_until([this] { return tokens_seen() > 3; })) << first_error();
  part<QPushButton>("stop").setFocus();
  QTest::keyClick(&part<QPushButton>("stop"), Qt::Key_Space);
  ASSERT_TRUE(wait_until([this] { return finished_run(); })) << first_error();
  EXPECT_TRUE(is_focused("prompt"));

  ASSERT_TRUE(workbench_.edits().add({PruneEdit{3, PruneMode::mask}, {1}, true, {}}));
  window_.show_view("compare");
  click(part<QPushButton>("compare_run"));
  EXPECT_TRUE(is_focused("compare_cancel"));
  click(part<QPushButton>("compare_cancel"));
  ASSERT_TRUE(wait_until([this] { return workbench_.engine().can_run(); })) << first_error();
  EXPECT_TRUE(is_focused("compare_run"));
}

TEST_F(SteadyWindow, ATokenOfTheExpertsListIsShownAndTheListStays) {
  open_model();
  generate();
  click_cell({1, 4});
  auto& tokens = part<QLabel>("expert_tokens");
  ASSERT_TRUE(wait_until([&] { return tokens.isVisible() && tokens.text().contains("token:"); }));
  tokens.setFocus();
  Q_EMIT tokens.linkActivated("token:2");
  EXPECT_EQ(workbench_.selection().token(), 2);
  settle();
  EXPECT_TRUE(tokens.isVisible()) << "what was clicked is still under the mouse";
}

TEST_F(SteadyWindow, LinksCanBeReadAfterAChangeOfTheme) {
  workbench_.recent().add(model());
  const auto link_colours = [this](const char* name) {
    QSet<QRgb> colours;
    const QImage image = part<QWidget>(name).grab().toImage();
    for (int y = 0; y < image.height(); ++y) {
      for (int x = 0; x < image.width(); ++x)
        colours.insert(image.pixel(x, y));
    }
    return colours;
  };
  const auto expect_links = [&](const char* name) {
    for (const QPalette& palette : {light_palette(), dark_palette(), light_palette()}) {
      const bool dark = palette == dark_palette();
      action(dark ? "theme_2" : "theme_1").trigger();
      settle();
      EXPECT_TRUE(link_colours(name).contains(palette.color(QPalette::Link).rgb()))
          << name << (dark ? " in the dark" : " in the light");
    }
  };
  expect_links("start_page");
  open_model();
  generate();
  click_cell({1, 4});
  ASSERT_TRUE(wait_until([this] { return part<QLabel>("expert_partners").text().contains("expert:"); }));
  expect_links("expert_partners");
  action("theme_0").trigger();
}

TEST_F(SteadyWindow, OneSeesWhichLookOfTheTextIsChosenInBothThemes) {
  open_model();
  for (const QPalette& palette : {light_palette(), dark_palette()}) {
    action(palette == dark_palette() ? "theme_2" : "theme_1").trigger();
    settle();
    // The style draws a gradient of the colour it is given.
    const auto looks_chosen = [&](const char* name) {
      const QColor ground = part<QToolButton>(name).grab().toImage().pixelColor(4, 4);
      const auto distance = [&](QPalette::ColorRole role) {
        const QColor colour = palette.color(role);
        return std::abs(ground.red() - colour.red()) + std::abs(ground.green() - colour.green()) +
               std::abs(ground.blue() - colour.blue());
      };
      return distance(QPalette::Highlight) < distance(QPalette::Button);
    };
    for (const char* chosen : {"show_text", "show_tokens"}) {
      click(part<QToolButton>(chosen));
      EXPECT_EQ(looks_chosen("show_tokens"), chosen == QLatin1String("show_tokens"));
      EXPECT_EQ(looks_chosen("show_text"), chosen == QLatin1String("show_text"));
    }
  }
  action("theme_0").trigger();
}

TEST_F(SteadyWindow, TheGeneratedTextIsAsWideAsTheWindowAndInALargeOneAsTheMap) {
  open_model();
  generate();
  for (const QSize size : {QSize(1920, 1080), QSize(1280, 800), QSize(1024, 700)}) {
    window_.resize(size);
    settle();
    SCOPED_TRACE(size.width());
    EXPECT_EQ(window_.size(), size) << "a screen this small holds the window";
    click(part<QToolButton>("show_text"));
    auto& text = part<QPlainTextEdit>("generated_text");
    EXPECT_TRUE(text.isVisible());
    const int wide = size.width() >= 1600 ? map().width() : size.width();
    EXPECT_GE(text.width(), wide - 20);
    EXPECT_GE(text.height(), 2 * text.fontMetrics().lineSpacing());
    click(part<QToolButton>("show_tokens"));
    EXPECT_FALSE(text.isVisible());
    EXPECT_GE(part<TokenStrip>("token_strip").width(), wide - 20);
    EXPECT_TRUE(window_.rect().contains(place_of(part<QPushButton>("generate"))));
    EXPECT_TRUE(window_.rect().contains(place_of(part<QPushButton>("stop"))));
  }
}

TEST_F(SteadyWindow, SortingTheTableShowsWhatComesFirst) {
  open_model();
  generate();
  click_cell({2, 15});
  window_.show_view("table");
  auto& table = part<QTableView>("expert_table");
  table.scrollToBottom();
  ASSERT_GT(table.verticalScrollBar()->value(), 0);
  QHeaderView& header = *table.horizontalHeader();
  const auto click_header = [&](int column) {
    const int x = header.sectionViewportPosition(column) + header.sectionSize(column) / 2;
    QTest::mouseClick(header.viewport(), Qt::LeftButton, {}, QPoint(x, header.height() / 2));
  };
  for (const int times : {1, 2}) {
    SCOPED_TRACE(times);
    click_header(2);
    EXPECT_EQ(table.verticalScrollBar()->value(), 0);
    EXPECT_EQ(workbench_.selection().cell(), (Cell{2, 15}));
    EXPECT_EQ(table.currentIndex().siblingAtColumn(1).data().toString(), "15") << "the row goes along";
    table.scrollToBottom();
  }
}

}  // namespace
}  // namespace expertscope::testing
