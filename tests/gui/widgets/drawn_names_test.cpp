// SPDX-License-Identifier: GPL-3.0-or-later
// What is drawn of names and prompts.
#include <gtest/gtest.h>

#include <QListView>

#include "tests/gui/support.h"
#include "views/models/run_list_model.h"
#include "views/widgets/message_banner.h"
#include "views/widgets/run_delegate.h"

namespace expertscope::testing {
namespace {

/// The lower half of the row of a run with this prompt.
QImage second_line(const std::string& prompt) {
  RunInfo run;
  run.id = 1;
  run.kind = "generate";
  run.dataset = prompt;
  run.status = "finished";
  run.tokens = 40;
  RunListModel model;
  model.set_runs(std::make_shared<const std::vector<RunInfo>>(std::vector{run}));
  QListView list;
  list.setItemDelegate(new RunDelegate(&list));
  list.setModel(&model);
  list.resize(260, 120);
  list.show();
  EXPECT_TRUE(QTest::qWaitForWindowExposed(&list));
  const QImage picture = list.viewport()->grab().toImage();
  const QRect row = list.visualRect(model.index(0));
  return picture.copy(row.adjusted(0, row.height() / 2, 0, 0));
}

bool has_ink(const QImage& image) {
  for (int y = 0; y < image.height(); ++y) {
    for (int x = 0; x < image.width(); ++x) {
      if (image.pixel(x, y) != image.pixel(0, 0)) return true;
    }
  }
  return false;
}

TEST(RunsList, ThePromptsScriptDoesNotTakeTheSecondLineAway) {
  const QImage plain = second_line("In the beginning");
  ASSERT_TRUE(has_ink(plain));
  EXPECT_EQ(second_line("起初　神創造天地"), plain);
  EXPECT_EQ(second_line("😀👩‍💻🏴"), plain);
}

TEST(Messages, SpellOutWhatHidesOrReversesText) {
  MessageBanner banner;
  banner.show_error("safe\u202egpj.exe: cannot be read\nsecond line");
  EXPECT_EQ(banner.message(), "safe\\u202egpj.exe: cannot be read\nsecond line");
}

}  // namespace
}  // namespace expertscope::testing
