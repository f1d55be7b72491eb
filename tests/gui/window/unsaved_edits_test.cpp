// SPDX-License-Identifier: GPL-3.0-or-later
// Edits that no file holds are not lost without a question.
#include <gtest/gtest.h>

#include <QMessageBox>
#include <fstream>

#include "tests/gui/window/window_fixture.h"

namespace expertscope::testing {
namespace {

class UnsavedEditsTest : public WindowTest {
 protected:
  UnsavedEditsTest() { open_model(); }

  void edit() { require(workbench_.edits().add(kEdit).has_value(), "no edit"); }
  QMessageBox* question() {
    for (auto* box : window_.findChildren<QMessageBox*>("unsaved_edits")) {
      if (box->isVisible()) return box;
    }
    return nullptr;
  }
  void answer(QMessageBox::StandardButton button) {
    require(question() != nullptr, "nobody asked");
    click(*question()->button(button));
    require(wait_until([this] { return question() == nullptr; }), "the question stays");
  }
  /// Chooses in the file dialog of an action.
  void choose(const char* action_name, const QString& path) {
    action(action_name).trigger();
    answer_file_dialog(path);
  }
  QString policy() {
    const QString name = file("other.json");
    std::ofstream(name.toStdString()) << R"({"version":1,"edits":[{"op":"force","layer":1,"expert":5}]})";
    return name;
  }
  bool has_model() { return workbench_.content() == Workbench::Content::model; }

  const RoutingEdit kEdit{PruneEdit{3, PruneMode::mask}, {1}, true, {}};
};

TEST_F(UnsavedEditsTest, ClosingTheWindowAsksAndCancelKeepsIt) {
  edit();
  window_.close();
  EXPECT_TRUE(window_.isVisible());
  answer(QMessageBox::Cancel);
  EXPECT_TRUE(window_.isVisible());
  EXPECT_EQ(workbench_.edits().rowCount(), 1);
  window_.close();
  answer(QMessageBox::Discard);
  EXPECT_FALSE(window_.isVisible());
}

TEST_F(UnsavedEditsTest, SaveWritesTheEditsAndThenGoesOn) {
  edit();
  window_.close();
  answer(QMessageBox::Save);
  answer_file_dialog(file("policy.json"));
  ASSERT_TRUE(wait_until([this] { return !window_.isVisible(); })) << first_error();
  EXPECT_TRUE(read(file("policy.json")).contains("prune"));
}

TEST_F(UnsavedEditsTest, NothingIsLostWhenSavingFailsOrIsThoughtBetterOf) {
  edit();
  window_.close();
  answer(QMessageBox::Save);
  QFileDialog* dialog = nullptr;
  ASSERT_TRUE(wait_until([&] { return (dialog = window_.findChild<QFileDialog*>()) != nullptr; }));
  dialog->reject();
  ASSERT_TRUE(wait_until([&] { return window_.findChild<QFileDialog*>() == nullptr; }));
  save_by("save_policy", file("policy.json"));
  settle();
  EXPECT_TRUE(window_.isVisible()) << "that the window was to be closed is forgotten";
}

TEST_F(UnsavedEditsTest, NothingAsksWhereNothingCanBeLost) {
  edit();
  save_by("save_policy", file("policy.json"));
  EXPECT_FALSE(window_.isWindowModified());
  action("close").trigger();
  EXPECT_EQ(question(), nullptr) << "a file holds them";
  EXPECT_FALSE(has_model());
  open_model();
  edit();
  action("clear_edits").trigger();
  window_.close();
  EXPECT_EQ(question(), nullptr) << "there are none";
  EXPECT_FALSE(window_.isVisible());
}

TEST_F(UnsavedEditsTest, OpeningAndClosingAModelAsks) {
  const std::vector<std::function<void()>> ways = {
      [this] { action("open_demo").trigger(); },
      [this] { choose("open_model", model()); },
      [this] { choose("open_trace", file("trace.db")); },
      [this] { action("close").trigger(); },
      [this] {
        auto* recent = window_.findChild<QMenu*>("recent");
        recent->actions().front()->trigger();
      },
  };
  generate();
  save_by("save_trace", file("trace.db"));
  for (const auto& way : ways) {
    edit();
    way();
    ASSERT_TRUE(wait_until([this] { return question() != nullptr; }));
    EXPECT_FALSE(workbench_.engine().is_opening());
    answer(QMessageBox::Cancel);
    EXPECT_TRUE(has_model());
    EXPECT_EQ(workbench_.edits().rowCount(), 1);
    EXPECT_TRUE(window_.isWindowModified());
  }
  choose("open_trace", file("trace.db"));
  answer(QMessageBox::Discard);
  ASSERT_TRUE(wait_until([this] { return workbench_.content() == Workbench::Content::trace; }));
  EXPECT_FALSE(window_.isWindowModified());
}

TEST_F(UnsavedEditsTest, LoadingAPolicyAsksAndWhatIsLoadedIsSaved) {
  edit();
  choose("load_policy", policy());
  answer(QMessageBox::Cancel);
  EXPECT_EQ(workbench_.edits().policy().edits.front().describe(), kEdit.describe());
  choose("load_policy", policy());
  answer(QMessageBox::Discard);
  ASSERT_TRUE(wait_until([this] {
    return std::holds_alternative<ForceEdit>(workbench_.edits().policy().edits.front().action);
  })) << first_error();
  EXPECT_FALSE(workbench_.edits().has_unsaved());
  EXPECT_FALSE(window_.isWindowModified());
}

}  // namespace
}  // namespace expertscope::testing
