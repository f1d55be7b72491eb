// SPDX-License-Identifier: GPL-3.0-or-later
// The window around the panels: opening by every way there is, bad files, keyboard, layout.
#include "views/window/main_window.h"

#include <gtest/gtest.h>

#include <QComboBox>
#include <QDockWidget>
#include <QDropEvent>
#include <QLabel>
#include <QLayout>
#include <QMenuBar>
#include <QMimeData>
#include <QScrollArea>
#include <QScrollBar>
#include <QTableView>
#include <fstream>

#include "tests/gui/window/window_fixture.h"
#include "tests/support/model_folder.h"
#include "views/window/shortcut_sheet.h"

namespace expertscope::testing {
namespace {

class MainWindowTest : public WindowTest {
 protected:
  void drop(const QString& path) {
    QMimeData data;
    data.setUrls({QUrl::fromLocalFile(path)});
    QDragEnterEvent enter(QPoint(100, 100), Qt::CopyAction, &data, Qt::LeftButton, Qt::NoModifier);
    QApplication::sendEvent(&window_, &enter);
    ASSERT_TRUE(enter.isAccepted());
    QDropEvent event(QPoint(100, 100), Qt::CopyAction, &data, Qt::LeftButton, Qt::NoModifier);
    QApplication::sendEvent(&window_, &event);
  }
  QString banner() { return window_.banner().isVisible() ? window_.banner().message() : QString(); }
  QString write(const QString& name, const std::string& text) {
    std::ofstream(file(name).toStdString()) << text;
    return file(name);
  }
};

TEST_F(MainWindowTest, BeginsWithTheStartPage) {
  EXPECT_EQ(window_.windowTitle(), "Expertscope");
  EXPECT_FALSE(map().isVisible());
  EXPECT_FALSE(action("export_report").isEnabled());
  EXPECT_FALSE(action("run_generate").isEnabled());
  EXPECT_TRUE(banner().isEmpty());
}

TEST_F(MainWindowTest, NothingOfTheStartPageIsCutOff) {
  for (const QSize size : {QSize(1272, 764), QSize(1720, 936)}) {
    window_.resize(size);
    settle();
    const auto& page = part<QWidget>("start_page");
    for (const QWidget* widget : page.findChildren<QWidget*>()) {
      if (!widget->isVisible()) continue;
      SCOPED_TRACE(widget->metaObject()->className());
      EXPECT_TRUE(widget->parentWidget()->rect().contains(widget->geometry()));
      EXPECT_GE(widget->height(), widget->minimumHeight());
      EXPECT_GE(widget->height(), widget->heightForWidth(widget->width()));
    }
  }
}

TEST_F(MainWindowTest, OpensTheDemoFromTheMenuAndNamesTheModel) {
  action("open_demo").trigger();
  ASSERT_TRUE(wait_until([this] { return workbench_.content() == Workbench::Content::model; }))
      << first_error();
  EXPECT_TRUE(window_.windowTitle().contains("top8"));
  EXPECT_TRUE(part<QLabel>("summary").text().contains("3 layers x 16 experts, top-8"));
  EXPECT_TRUE(map().isVisible());
  EXPECT_TRUE(part<QPushButton>("generate").isEnabled());
}

TEST_F(MainWindowTest, OpensWhatIsDroppedOnIt) {
  drop(model());
  ASSERT_TRUE(wait_until([this] { return workbench_.content() == Workbench::Content::model; }))
      << first_error();
  drop(write(
      "policy.json",
      R"({"version":1,"edits":[{"op":"prune","layer":1,"expert":3},{"op":"bias","layer":"*","expert":5,"logit":2}]})"));
  ASSERT_TRUE(wait_until([this] { return workbench_.edits().rowCount() == 2; })) << first_error();
  EXPECT_TRUE(map().scene().marks.at({1, 3}).prune);
  EXPECT_EQ(map().scene().marks.at({2, 5}).bias, 2.0f);
}

TEST_F(MainWindowTest, ARecentPathIsOpenedAsItIsCalled) {
  const QString path = write("it's <b>here</b>.db", "no database");
  workbench_.recent().add(path);
  QLabel* link = nullptr;
  for (QLabel* label : part<QWidget>("start_page").findChildren<QLabel*>()) {
    if (label->toolTip().contains("here")) link = label;
  }
  ASSERT_NE(link, nullptr);
  EXPECT_TRUE(link->toolTip().contains("&lt;b&gt;here")) << link->toolTip().toStdString();
  Q_EMIT link->linkActivated("open");
  ASSERT_TRUE(wait_until([this] { return !errors_.empty(); }));
  EXPECT_NE(first_error().find("it's <b>here</b>.db"), std::string::npos) << first_error();
}

TEST_F(MainWindowTest, NothingRunsWhileAnotherModelIsOpened) {
  open_model();
  EXPECT_TRUE(part<QPushButton>("generate").isEnabled());
  workbench_.open(model());
  EXPECT_FALSE(part<QPushButton>("generate").isEnabled());
  EXPECT_FALSE(action("run_generate").isEnabled());
  ASSERT_TRUE(wait_until([this] { return part<QPushButton>("generate").isEnabled(); })) << first_error();
}

TEST_F(MainWindowTest, AnotherGenerationIsNotSeenThroughTheFilterOfTheLast) {
  open_model();
  generate();
  workbench_.selection().set_token(6);
  workbench_.selection().set_range({2, 5});
  ASSERT_TRUE(wait_until([this] { return workbench_.view()->run->table.tokens == 3; }));
  generate();
  EXPECT_FALSE(workbench_.selection().has_range());
  EXPECT_EQ(workbench_.selection().token(), -1);
  EXPECT_GT(workbench_.view()->run->table.tokens, 3);
}

TEST_F(MainWindowTest, OpensAModelByAFileInside) {
  workbench_.open(model() + "/config.json");
  ASSERT_TRUE(wait_until([this] { return workbench_.content() == Workbench::Content::model; }))
      << first_error();
}

TEST_F(MainWindowTest, OpensAGgufFileFromTheMenuAndWhenItIsDropped) {
  const QString gguf = QString::fromStdString((testing::data_folder() / "gguf" / "f32.gguf").string());
  EXPECT_TRUE(part<QWidget>("start_open_gguf").isVisible());
  action("open_gguf").trigger();
  answer_file_dialog(gguf);
  const auto opened = [this] { return workbench_.content() == Workbench::Content::model; };
  ASSERT_TRUE(wait_until(opened)) << first_error();
  workbench_.close();
  drop(gguf);
  ASSERT_TRUE(wait_until(opened)) << first_error();
}

TEST_F(MainWindowTest, AFileThatIsNoTraceIsAnErrorInTheBannerAndChangesNothing) {
  open_model();
  drop(write("broken.db", "this is no database"));
  ASSERT_TRUE(wait_until([this] { return window_.banner().is_error() && !banner().isEmpty(); }));
  EXPECT_TRUE(banner().contains("broken.db")) << banner().toStdString();
  EXPECT_EQ(workbench_.content(), Workbench::Content::model);
  EXPECT_TRUE(part<QPushButton>("generate").isEnabled());
}

TEST_F(MainWindowTest, ABrokenModelIsAnErrorThatNamesTheFile) {
  const ModelFolder folder("top8");
  folder.write("model.safetensors", "short");
  workbench_.open(QString::fromStdString(folder.path().string()));
  ASSERT_TRUE(wait_until([this] { return window_.banner().is_error() && !banner().isEmpty(); }));
  EXPECT_TRUE(banner().contains("model.safetensors")) << banner().toStdString();
  EXPECT_EQ(workbench_.content(), Workbench::Content::nothing);
  EXPECT_FALSE(map().isVisible());
}

TEST_F(MainWindowTest, AMissingPathIsAnErrorAndLeavesTheRecentFiles) {
  const QString gone = file("gone");
  workbench_.recent().add(gone);
  workbench_.open(gone);
  EXPECT_TRUE(window_.banner().is_error());
  EXPECT_TRUE(banner().contains("gone"));
  EXPECT_FALSE(workbench_.recent().paths().contains(gone));
}

TEST_F(MainWindowTest, APolicyTheModelRefusesIsAnErrorAndKeepsTheEdits) {
  open_model();
  ASSERT_TRUE(workbench_.edits().add({PruneEdit{3, PruneMode::mask}, {1}, true, {}}));
  workbench_.load_policy(
      write("policy.json", R"({"version":1,"edits":[{"op":"prune","layer":7,"expert":0}]})"));
  ASSERT_TRUE(wait_until([this] { return window_.banner().is_error() && !banner().isEmpty(); }));
  EXPECT_TRUE(banner().contains("layer 7")) << banner().toStdString();
  EXPECT_EQ(workbench_.edits().rowCount(), 1);
}

TEST_F(MainWindowTest, AReportThatCannotBeWrittenIsAnError) {
  open_model();
  generate();
  workbench_.export_report("/nowhere/at/all/report.html");
  ASSERT_TRUE(wait_until([this] { return window_.banner().is_error() && !banner().isEmpty(); }));
  EXPECT_TRUE(banner().contains("/nowhere/at/all")) << banner().toStdString();
}

TEST_F(MainWindowTest, AnErrorIsShownAsItIsWritten) {
  window_.banner().show_error("model <b>x</b>.safetensors");
  EXPECT_EQ(banner(), "model <b>x</b>.safetensors");
}

TEST_F(MainWindowTest, ArrowKeysMoveTheSelectionOverTheMap) {
  open_model();
  click_cell({1, 4});
  EXPECT_EQ(workbench_.selection().cell(), (Cell{1, 4}));
  map().setFocus();
  QTest::keyClick(&map(), Qt::Key_Right);
  EXPECT_EQ(workbench_.selection().cell(), (Cell{1, 5}));
  QTest::keyClick(&map(), Qt::Key_Down);
  EXPECT_EQ(workbench_.selection().cell(), (Cell{2, 5}));
  QTest::keyClick(&map(), Qt::Key_Down);
  EXPECT_EQ(workbench_.selection().cell(), (Cell{2, 5})) << "stays inside";
  QTest::keyClick(&map(), Qt::Key_W);
  QTest::keyClick(&map(), Qt::Key_A);
  EXPECT_EQ(workbench_.selection().cell(), (Cell{1, 4}));
}

TEST_F(MainWindowTest, ShortcutsEditTheSelectedExpert) {
  open_model();
  click_cell({1, 4});
  map().setFocus();
  QTest::keyClick(&window_, Qt::Key_Delete, Qt::ControlModifier);
  EXPECT_EQ(map().scene().marks.at({1, 4}).prune, PruneMode::mask);
  QTest::keyClick(&window_, Qt::Key_Z, Qt::ControlModifier);
  EXPECT_FALSE(map().scene().marks.at({1, 4}).any());
  QTest::keyClick(&window_, Qt::Key_Z, Qt::ControlModifier | Qt::ShiftModifier);
  EXPECT_EQ(map().scene().marks.at({1, 4}).prune, PruneMode::mask);
}

TEST_F(MainWindowTest, TheShortcutSheetNamesCommandsAndNotWhatTheyWouldDoNow) {
  open_model();
  click_cell({1, 4});
  map().setFocus();
  QTest::keyClick(&window_, Qt::Key_Delete, Qt::ControlModifier);
  ASSERT_TRUE(action("undo").text().startsWith("Undo ")) << action("undo").text().toStdString();
  const QString sheet = ShortcutSheet::text(*window_.menuBar());
  EXPECT_TRUE(sheet.contains("<td>Undo</td>")) << sheet.toStdString();
  EXPECT_TRUE(sheet.contains("<td>Redo</td>"));
}

TEST_F(MainWindowTest, TheProposedPromptIsSelectedUntilItIsTaken) {
  open_model();
  auto& prompt = part<QPlainTextEdit>("prompt");
  EXPECT_TRUE(prompt.textCursor().hasSelection());
  click(part<QPushButton>("generate"));
  EXPECT_FALSE(prompt.textCursor().hasSelection());
  EXPECT_FALSE(prompt.toPlainText().isEmpty());
  ASSERT_TRUE(wait_until([this] { return finished_run(); })) << first_error();
}

TEST_F(MainWindowTest, DeletingAWordOfThePromptEditsNoExpert) {
  open_model();
  click_cell({1, 4});
  auto& prompt = part<QPlainTextEdit>("prompt");
  type_prompt("Once upon");
  prompt.setFocus();
  prompt.moveCursor(QTextCursor::Start);
  QTest::keyClick(&prompt, Qt::Key_Delete, Qt::ControlModifier);
  EXPECT_EQ(prompt.toPlainText(), "upon");
  EXPECT_EQ(workbench_.edits().rowCount(), 0);
}

TEST_F(MainWindowTest, BoostingWhatWasSuppressedLeavesNothing) {
  open_model();
  click_cell({1, 4});
  action("suppress").trigger();
  EXPECT_EQ(map().scene().marks.at({1, 4}).bias, -2.0f);
  action("boost").trigger();
  EXPECT_EQ(workbench_.edits().rowCount(), 0);
  ASSERT_TRUE(workbench_.edits().add({BiasEdit{4, 2.0f}, {}, true, {}}));
  action("suppress").trigger();
  EXPECT_EQ(map().scene().marks.at({1, 4}).bias, 0.0f) << "against an edit of every layer";
  EXPECT_EQ(map().scene().marks.at({2, 4}).bias, 2.0f);
}

TEST_F(MainWindowTest, PickingEndsWhenAnotherModelIsOpened) {
  open_model();
  click_cell({1, 4});
  action("reroute").trigger();
  EXPECT_TRUE(map().is_picking());
  workbench_.close();
  EXPECT_FALSE(map().is_picking());
}

TEST_F(MainWindowTest, NoTwoActionsShareAShortcut) {
  open_model();
  QMap<QString, QString> taken;
  for (const QAction* action : window_.findChildren<QAction*>()) {
    for (const QKeySequence& key : action->shortcuts()) {
      if (key.isEmpty()) continue;
      const QString name = action->objectName().isEmpty() ? action->text() : action->objectName();
      EXPECT_FALSE(taken.contains(key.toString()))
          << key.toString().toStdString() << ": " << taken[key.toString()].toStdString() << " and "
          << name.toStdString();
      taken[key.toString()] = name;
    }
  }
  EXPECT_GT(taken.size(), 15);
}

TEST_F(MainWindowTest, ClickingATokenShowsItsExpertsInEveryLayer) {
  open_model();
  generate();
  TokenChips& chips = part<TokenChips>("token_chips");
  QTest::mouseClick(&chips, Qt::LeftButton, {}, chips.rect_of(4).center().toPoint());
  EXPECT_EQ(workbench_.selection().token(), 4);
  QTableView& slots_table = part<QTableView>("token_slots");
  ASSERT_TRUE(wait_until([&] { return slots_table.model()->rowCount() > 0; }));
  EXPECT_EQ(slots_table.model()->rowCount(), 3 * 8);
}

TEST_F(MainWindowTest, SelectingACellFillsTheExpertPage) {
  open_model();
  generate();
  click_cell({2, 7});
  ASSERT_TRUE(wait_until([this] {
    return workbench_.view()->expert && workbench_.view()->expert->cell == Cell{2, 7};
  }));
  EXPECT_TRUE(part<QLabel>("expert_title").text().contains("Layer 2"));
  EXPECT_TRUE(part<QLabel>("expert_title").text().contains("Expert 7"));
  EXPECT_TRUE(part<QLabel>("expert_figures").text().contains("max |down_proj|"));
  EXPECT_TRUE(wait_until([this] { return part<QLabel>("expert_partners").text().contains("expert:"); }));
}

TEST_F(MainWindowTest, NothingOfTheExpertPageLiesUnderItsScrollBar) {
  open_model();
  generate();
  click_cell({2, 7});
  ASSERT_TRUE(wait_until([this] { return part<QLabel>("expert_partners").text().contains("expert:"); }));
  for (const QSize size : {QSize(1024, 700), QSize(1272, 764), QSize(1720, 936)}) {
    window_.resize(size);
    settle();
    auto& scroll = part<QScrollArea>("expert_scroll");
    EXPECT_LE(scroll.widget()->width(), scroll.viewport()->width()) << size.width();
    EXPECT_LE(scroll.widget()->layout()->minimumSize().width(), scroll.viewport()->width()) << size.width();
  }
}

TEST_F(MainWindowTest, ASharedExpertIsShownAndCannotBeEdited) {
  open_model(QString::fromStdString(source("tests/data/models/planted_shared_experts").string()));
  generate();
  action("metric_4").trigger();
  const Cell shared{2, kSharedExpert};
  click_cell(shared);
  ASSERT_TRUE(
      wait_until([&] { return workbench_.view()->expert && workbench_.view()->expert->cell == shared; }));
  EXPECT_TRUE(part<QLabel>("expert_title").text().contains("Layer 2 · Shared expert"));
  EXPECT_TRUE(part<QLabel>("map_reading").text().startsWith("layer 2 · shared expert · "));
  EXPECT_FALSE(part<QLabel>("expert_partners").isVisible());
  EXPECT_TRUE(part<QLabel>("expert_tokens").text().contains("token:"));
  for (const char* name : {"prune_mask", "prune_zero", "prune_drop", "reroute", "boost", "force"}) {
    EXPECT_FALSE(action(name).isEnabled()) << name;
    EXPECT_TRUE(action(name).toolTip().startsWith("Every token runs through a shared expert")) << name;
  }
  click_cell(shared, Qt::RightButton);
  ASSERT_TRUE(wait_until([] { return QApplication::activePopupWidget() != nullptr; }));
  auto* menu = qobject_cast<QMenu*>(QApplication::activePopupWidget());
  const QAction* reason = find_action(*menu, "Every token runs through");
  ASSERT_NE(reason, nullptr);
  EXPECT_FALSE(reason->isEnabled());
  EXPECT_EQ(find_action(*menu, "Prune"), nullptr);
  menu->close();
  window_.show_view("table");
  EXPECT_EQ(part<QTableView>("expert_table").currentIndex().siblingAtColumn(1).data().toString(), "shared");
  window_.show_view("map");
  click_cell({2, 30});
  EXPECT_TRUE(action("prune_mask").isEnabled());
  EXPECT_FALSE(action("prune_mask").toolTip().startsWith("Every token"));
}

TEST_F(MainWindowTest, TheTableFollowsTheMapAndTheMapTheTable) {
  open_model();
  generate();
  click_cell({1, 4});
  window_.show_view("table");
  QTableView& table = part<QTableView>("expert_table");
  EXPECT_EQ(table.currentIndex().siblingAtColumn(0).data().toString(), "1");
  EXPECT_EQ(table.currentIndex().siblingAtColumn(1).data().toString(), "4");
  const QModelIndex other = table.model()->index(0, 0);
  QTest::mouseClick(table.viewport(), Qt::LeftButton, {}, table.visualRect(other).center());
  table.scrollToTop();
  QTest::mouseClick(table.viewport(), Qt::LeftButton, {}, table.visualRect(other).center());
  EXPECT_EQ(workbench_.selection().cell().layer, other.siblingAtColumn(0).data().toInt());
  EXPECT_EQ(workbench_.selection().cell().expert, other.siblingAtColumn(1).data().toInt());
}

TEST_F(MainWindowTest, TheTableShowsTheSelectedRowWhenItComesIntoView) {
  open_model();
  generate();
  click_cell({2, 15});
  window_.show_view("table");
  settle();
  QTableView& table = part<QTableView>("expert_table");
  EXPECT_TRUE(table.viewport()->rect().contains(table.visualRect(table.currentIndex())));
  table.scrollToTop();
  window_.show_view("map");
  window_.show_view("table");
  EXPECT_EQ(table.verticalScrollBar()->value(), 0) << "who scrolled away stays there";
}

TEST_F(MainWindowTest, CtrlWheelZoomsAndCtrlZeroShowsTheWholeMap) {
  open_model();
  const QPoint at = map().geometry_map().rect_of({1, 8}).center().toPoint();
  QWheelEvent wheel(at, map().mapToGlobal(at), {}, QPoint(0, 240), Qt::NoButton, Qt::ControlModifier,
                    Qt::NoScrollPhase, false);
  QApplication::sendEvent(&map(), &wheel);
  EXPECT_FALSE(map().geometry_map().is_fit());
  EXPECT_EQ(map().geometry_map().cell_at(at), (Cell{1, 8}));
  QTest::keyClick(&window_, Qt::Key_0, Qt::ControlModifier);
  EXPECT_TRUE(map().geometry_map().is_fit());
}

TEST_F(MainWindowTest, TheMetricIsChosenByKeyAndShown) {
  open_model();
  generate();
  EXPECT_EQ(part<QComboBox>("metric").currentText(), "Load");
  QTest::keyClick(&window_, Qt::Key_4, Qt::ControlModifier);
  EXPECT_EQ(heatmap().shown_metric().column.id, "output_max");
  EXPECT_EQ(map().scene().data->name, "Max |down_proj|");
}

TEST_F(MainWindowTest, ClosedPanelsComeBackWithTheDefaultLayout) {
  open_model();
  auto& dock = part<QDockWidget>("edits_dock");
  dock.close();
  EXPECT_FALSE(dock.isVisible());
  action("restore_layout").trigger();
  EXPECT_TRUE(dock.isVisible());
}

TEST_F(MainWindowTest, TheDefaultLayoutIsThatOfTheFirstStart) {
  open_model();
  const auto sizes = [this] {
    settle();
    QList<QSize> found;
    for (const char* name : {"runs_dock", "text_dock"}) {
      found << part<QDockWidget>(name).size();
    }
    return found;
  };
  const QList<QSize> first = sizes();
  generate();  // lists that are no longer empty want another size
  EXPECT_EQ(sizes(), first);
  action("restore_layout").trigger();
  EXPECT_EQ(sizes(), first);
  part<QDockWidget>("runs_dock").setFloating(true);
  part<QDockWidget>("text_dock").close();
  settle();
  action("restore_layout").trigger();
  EXPECT_EQ(sizes(), first);
}

TEST_F(MainWindowTest, TheLayoutSurvivesARestart) {
  open_model();
  part<QDockWidget>("runs_dock").close();
  window_.close();
  MainWindow again(workbench_);
  again.show();
  EXPECT_FALSE(again.findChild<QDockWidget*>("runs_dock")->isVisible());
  EXPECT_TRUE(again.findChild<QDockWidget*>("edits_dock")->isVisible());
}

TEST_F(MainWindowTest, WhatIsOpenedLastIsWhatIsShown) {
  open_model();
  generate();
  workbench_.save_trace_as(file("trace.db"));
  ASSERT_TRUE(wait_until([this] { return !saved_.isEmpty(); })) << first_error();
  workbench_.open(model());
  workbench_.open(file("trace.db"));
  ASSERT_TRUE(wait_until([this] { return workbench_.content() == Workbench::Content::trace; }))
      << first_error();
  QTest::qWait(50);
  EXPECT_EQ(workbench_.content(), Workbench::Content::trace);
  EXPECT_EQ(workbench_.engine().state(), EngineState::no_model);
}

TEST_F(MainWindowTest, CloseGoesBackToTheStartPage) {
  open_model();
  generate();
  action("close").trigger();
  EXPECT_FALSE(map().isVisible());
  EXPECT_EQ(window_.windowTitle(), "Expertscope");
  EXPECT_FALSE(action("export_report").isEnabled());
  EXPECT_TRUE(workbench_.recent().paths().first().endsWith("top8"));
}

TEST_F(MainWindowTest, ClosingTheWindowInTheMiddleOfAGenerationIsSafe) {
  const ModelFolder endless("top8");
  make_endless(endless);
  open_model(QString::fromStdString(endless.path().string()));
  PromptRequest request = prompt("a b c", 4000);
  request.tokens_per_second = 100;
  workbench_.generate(request);
  ASSERT_TRUE(wait_until([this] { return tokens_seen() > 3; }));
  window_.close();
  ASSERT_TRUE(wait_until([this] { return workbench_.engine().state() == EngineState::ready; }));
}

}  // namespace
}  // namespace expertscope::testing
