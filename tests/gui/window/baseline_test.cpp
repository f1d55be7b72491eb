// SPDX-License-Identifier: GPL-3.0-or-later
// Another run as the baseline: the map, the table and the expert page show the difference, and what makes it
// mean less.
#include <gtest/gtest.h>

#include <QComboBox>
#include <QHeaderView>
#include <QLabel>
#include <QListView>
#include <QTableView>

#include "tests/gui/window/window_fixture.h"
#include "views/models/expert_numbers.h"

namespace expertscope::testing {
namespace {

class BaselineTest : public WindowTest {
 protected:
  /// Two runs of these prompts; the first becomes the baseline of the second.
  void compare_runs(const PromptRequest& first, const PromptRequest& second) {
    open_model();
    generate(first);
    generate(second);
    choose_baseline(1);
    require(wait_until([this] { return workbench_.view()->baseline != nullptr; }), "no baseline was read");
  }
  void choose_baseline(int index) {
    auto& combo = part<QComboBox>("baseline");
    combo.setFocus();
    for (int i = combo.currentIndex(); i < index; ++i)
      QTest::keyClick(&combo, Qt::Key_Down);
    for (int i = combo.currentIndex(); i > index; --i)
      QTest::keyClick(&combo, Qt::Key_Up);
  }
  QLabel& warning() { return part<QLabel>("baseline_warning"); }
};

TEST_F(BaselineTest, AnotherPromptIsNamedBesideTheBaseline) {
  compare_runs(prompt("In the beginning", 12), prompt("Once upon a time", 12));
  ASSERT_TRUE(warning().isVisible());
  EXPECT_TRUE(warning().text().contains("other prompt")) << warning().text().toStdString();
  EXPECT_TRUE(warning().toolTip().contains("The prompts of the two runs differ"));
  choose_baseline(0);
  ASSERT_TRUE(wait_until([this] { return workbench_.view()->baseline == nullptr; }));
  EXPECT_FALSE(warning().isVisible());
}

TEST_F(BaselineTest, RunsThatDifferByTheirEditsOnlyAreComparedWithoutAWord) {
  open_model();
  generate();
  ASSERT_TRUE(workbench_.edits().add({PruneEdit{3, PruneMode::mask}, {1}, true, {}}));
  generate();
  choose_baseline(1);
  ASSERT_TRUE(wait_until([this] { return workbench_.view()->baseline != nullptr; }));
  EXPECT_TRUE(workbench_.view()->differences.empty()) << workbench_.view()->differences[0].detail;
  EXPECT_FALSE(warning().isVisible());
}

TEST_F(BaselineTest, OtherSamplingAndTheChatTemplateAreNamedToo) {
  PromptRequest chat = prompt();
  chat.chat_template = true;
  chat.options.sampling.seed = 5;
  compare_runs(prompt(), chat);
  QStringList names;
  for (const RunDifference& difference : workbench_.view()->differences)
    names << QString::fromStdString(difference.what);
  EXPECT_TRUE(names.contains("sampling")) << names.join(' ').toStdString();
  EXPECT_TRUE(names.contains("tokens read")) << names.join(' ').toStdString();
}

TEST_F(BaselineTest, NothingMovesWhenTheWarningAppears) {
  open_model();
  generate();
  generate(prompt("Another", 5));
  const QRect baseline = part<QComboBox>("baseline").geometry();
  const QRect shown = map().geometry();
  choose_baseline(1);
  ASSERT_TRUE(wait_until([this] { return warning().isVisible(); }));
  EXPECT_EQ(part<QComboBox>("baseline").geometry(), baseline);
  EXPECT_EQ(map().geometry(), shown);
}

TEST_F(BaselineTest, TheTableShowsBothRunsAndTheDifferenceSideBySide) {
  compare_runs(prompt(), prompt("Once upon a time", 12));
  window_.show_view("table");
  QTableView& table = part<QTableView>("expert_table");
  QHeaderView& header = *table.horizontalHeader();
  QStringList titles;
  for (int i = 0; i < header.count(); ++i)
    titles << table.model()->headerData(header.logicalIndex(i), Qt::Horizontal).toString();
  const qsizetype share = titles.indexOf("Share");
  ASSERT_GE(share, 0);
  EXPECT_EQ(titles.mid(share, 3), (QStringList{"Share", "Share, run 1", "Δ Share"}));
  const qsizetype max = titles.indexOf("Max |down_proj|");
  EXPECT_EQ(titles.mid(max, 3),
            (QStringList{"Max |down_proj|", "Max |down_proj|, run 1", "Δ Max |down_proj|"}));
  choose_baseline(0);
  ASSERT_TRUE(wait_until([&] { return table.model()->columnCount() == ExpertTableModel::kColumns; }));
}

TEST_F(BaselineTest, TheWholeSelectedRowOfTheTableIsMarkedAlsoInTheNewColumns) {
  open_model();
  generate();
  generate(prompt("Once upon a time", 12));
  click_cell({1, 4});
  window_.show_view("table");
  choose_baseline(1);
  const QTableView& table = part<QTableView>("expert_table");
  ASSERT_TRUE(wait_until([&] { return table.model()->columnCount() > ExpertTableModel::kColumns; }));
  EXPECT_EQ(table.selectionModel()->selectedIndexes().size(), table.model()->columnCount());
}

TEST_F(BaselineTest, TheMapSaysADifferenceAsTheTableDoes) {
  compare_runs(prompt(), prompt("Once upon a time", 12));
  click_cell({2, 7});
  const double here = expert_number(*workbench_.expert_table(), {2, 7}, ExpertNumber::share);
  const double there = expert_number(*workbench_.view()->baseline, {2, 7}, ExpertNumber::share);
  const QString said = format_difference(ExpertNumber::share, here - there);
  EXPECT_TRUE(said.endsWith("\u202fpp"));
  EXPECT_EQ(map().accessibleDescription(), "layer 2, expert 7: " + said);
}

TEST_F(BaselineTest, ARightClickOnARunOffersItAsTheBaselineAndDoesNotShowIt) {
  open_model();
  generate();
  generate(prompt("Once upon a time", 12));
  const auto& runs = part<QListView>("runs");
  ASSERT_TRUE(wait_until([&] { return runs.model()->rowCount() == 2; }));
  const QPoint earlier = runs.visualRect(runs.model()->index(1, 0)).center();
  QTest::mouseClick(window_.windowHandle(), Qt::RightButton, {}, runs.viewport()->mapTo(&window_, earlier));
  ASSERT_TRUE(wait_until([] { return QApplication::activePopupWidget() != nullptr; })) << "no menu came up";
  auto* menu = qobject_cast<QMenu*>(QApplication::activePopupWidget());
  settle();
  EXPECT_EQ(workbench_.view()->run->run.id, 2) << "the run that was shown still is";
  QAction* baseline = find_action(*menu, "Use as baseline");
  ASSERT_TRUE(baseline != nullptr && baseline->isEnabled());
  QTest::mouseClick(menu, Qt::LeftButton, {}, menu->actionGeometry(baseline).center());
  ASSERT_TRUE(wait_until([this] { return workbench_.view()->baseline != nullptr; }));
  EXPECT_EQ(workbench_.view()->run->run.id, 2);
  EXPECT_EQ(workbench_.view()->query.baseline, 1);
}

TEST_F(BaselineTest, TheExpertPageShowsBothRunsAndTheDifference) {
  open_model();
  generate();
  generate(prompt("Once upon a time", 12));
  click_cell({2, 7});
  ASSERT_TRUE(wait_until([this] { return workbench_.view()->expert != nullptr; }));
  QLabel& comparison = part<QLabel>("expert_comparison");
  const auto text = [&] { return comparison.text(); };
  EXPECT_FALSE(comparison.isVisible());
  const auto tokens = [this] { return part<QLabel>("expert_tokens").mapTo(&window_, QPoint()); };
  ASSERT_TRUE(wait_until([&] { return part<QLabel>("expert_partners").isVisible(); })) << "laid out";
  settle();
  const QPoint before = tokens();
  choose_baseline(1);
  ASSERT_TRUE(wait_until([&] { return text().contains("difference"); }));
  EXPECT_TRUE(text().contains("run 1"));
  EXPECT_TRUE(text().contains("run 2"));
  const double here = expert_number(*workbench_.expert_table(), {2, 7}, ExpertNumber::share);
  const double there = expert_number(*workbench_.view()->baseline, {2, 7}, ExpertNumber::share);
  EXPECT_TRUE(text().contains(format_difference(ExpertNumber::share, here - there)));
  settle();
  EXPECT_TRUE(comparison.isVisible());
  EXPECT_GE(comparison.height(), comparison.heightForWidth(comparison.width())) << "nothing of it is cut off";
  EXPECT_EQ(tokens(), before) << "nothing above it moves";
  choose_baseline(0);
  EXPECT_TRUE(wait_until([&] { return !comparison.isVisible(); }));
}

}  // namespace
}  // namespace expertscope::testing
