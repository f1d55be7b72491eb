// SPDX-License-Identifier: GPL-3.0-or-later
// A run is deleted from the list of runs, after a question.
#include <gtest/gtest.h>

#include <QListView>
#include <QMessageBox>
#include <QSpinBox>

#include "tests/gui/window/window_fixture.h"

namespace expertscope::testing {
namespace {

class DeleteRunTest : public WindowTest {
 protected:
  QListView& list() { return part<QListView>("runs"); }
  /// The entry of the menu of a row.
  QAction& entry(int row) {
    Q_EMIT list().customContextMenuRequested(list().visualRect(list().model()->index(row, 0)).center());
    menu_ = window_.findChild<QMenu*>("run_menu");
    require(menu_ != nullptr, "no menu came up");
    QAction* found = find_action(*menu_, "Delete run");
    require(found != nullptr, "the menu does not delete");
    return *found;
  }
  QMessageBox& question(int row) {
    entry(row).trigger();
    delete menu_;
    auto* box = window_.findChild<QMessageBox*>("delete_run");
    require(box != nullptr, "nothing is asked");
    return *box;
  }
  void delete_row(int row) {
    const std::size_t before = runs_seen();
    question(row).button(QMessageBox::Yes)->click();
    require(wait_until([&] { return runs_seen() + 1 == before; }), "not deleted: " + first_error());
  }
  std::int64_t shown() { return workbench_.view()->run ? workbench_.view()->run->run.id : 0; }

  QMenu* menu_ = nullptr;
};

TEST_F(DeleteRunTest, TheQuestionNamesTheRunAndItsTokensAndCancelIsTheDefault) {
  open_model();
  generate();
  QMessageBox& box = question(0);
  const QString tokens = QString("%1 tokens").arg(workbench_.view()->run->run.tokens);
  EXPECT_TRUE(box.text().contains("run 1"));
  EXPECT_TRUE(box.informativeText().contains(tokens)) << box.informativeText().toStdString();
  EXPECT_EQ(box.defaultButton(), box.button(QMessageBox::Cancel));
  box.button(QMessageBox::Cancel)->click();
  settle();
  EXPECT_EQ(runs_seen(), 1u);
}

TEST_F(DeleteRunTest, AnotherRunIsShownAndInTheEndNone) {
  open_model();
  generate();
  generate();
  delete_row(0);
  EXPECT_EQ(shown(), 1);
  delete_row(0);
  EXPECT_EQ(shown(), 0);
  EXPECT_FALSE(list().isVisible());
  EXPECT_TRUE(errors_.empty()) << first_error();
  generate();
  EXPECT_EQ(shown(), 3);
}

TEST_F(DeleteRunTest, ADeletedBaselineIsNoBaselineAnyMore) {
  open_model();
  generate();
  generate();
  workbench_.selection().set_baseline(1);
  ASSERT_TRUE(wait_until([this] { return workbench_.view()->baseline != nullptr; }));
  delete_row(1);
  EXPECT_EQ(workbench_.selection().baseline(), 0);
  EXPECT_EQ(shown(), 2);
  EXPECT_TRUE(errors_.empty()) << first_error();
}

TEST_F(DeleteRunTest, ARunThatIsBeingRecordedCannotBeDeletedAndTheMenuSaysWhy) {
  const ModelFolder endless("top8");
  make_endless(endless);
  open_model(QString::fromStdString(endless.path().string()));
  part<QSpinBox>("max_tokens").setValue(4000);
  part<QSpinBox>("pace").setValue(200);
  click(part<QPushButton>("generate"));
  ASSERT_TRUE(wait_until([this] { return tokens_seen() > 3; })) << first_error();
  const QAction& action = entry(0);
  EXPECT_FALSE(action.isEnabled());
  EXPECT_TRUE(action.toolTip().contains("being recorded"));
  EXPECT_TRUE(action.statusTip().contains("being recorded"));
  delete menu_;
  workbench_.stop();
  ASSERT_TRUE(wait_until([this] { return finished_run(); }));
}

}  // namespace
}  // namespace expertscope::testing
