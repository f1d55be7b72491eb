// SPDX-License-Identifier: GPL-3.0-or-later
// The start after kill -9: what was recorded is offered.
#include <gtest/gtest.h>

#include <QLabel>
#include <QMessageBox>
#include <QPushButton>
#include <QSignalSpy>
#include <fstream>

#include "probes/store/database.h"
#include "tests/gui/window/window_fixture.h"

namespace expertscope::testing {
namespace {

class RecordingOfferTest : public WindowTest {
 protected:
  /// Records through the window, then lets the recording look as a killed program leaves it, and starts anew.
  void restart_after_kill() {
    open_model();
    generate(prompt("In the beginning", 12));
    file_ = workbench_.trace().file();
    tokens_ = tokens_seen();
    workbench_.close();
    {
      auto database = Database::open(file_, Database::Mode::read_write);
      ASSERT_TRUE(database) << database.error().message;
      ASSERT_TRUE((*database)->execute("UPDATE run SET status = 'recording', writer = 'gone'"));
    }
    workbench_.interrupted().look();
    ASSERT_TRUE(wait_until([this] { return part<QWidget>("recording_offer").isVisible(); }));
  }

  std::filesystem::path file_;
  std::int64_t tokens_ = 0;
};

TEST_F(RecordingOfferTest, SaysWhatItIsAndHowManyTokensAreSafe) {
  EXPECT_FALSE(part<QWidget>("recording_offer").isVisible()) << "nothing was interrupted";
  restart_after_kill();
  const QString title = part<QLabel>("recording_offer_title").text();
  EXPECT_TRUE(title.contains("“In the beginning”, top8, ")) << title.toStdString();
  EXPECT_TRUE(part<QLabel>("recording_offer_state")
                  .text()
                  .startsWith(QString("%1 tokens in 1 run are safe.").arg(tokens_)));
}

TEST_F(RecordingOfferTest, OpenShowsTheRecordingAndItIsNotOfferedAgain) {
  restart_after_kill();
  click(part<QPushButton>("recording_open"));
  ASSERT_TRUE(wait_until([this] { return workbench_.view() && workbench_.view()->run; }));
  EXPECT_EQ(workbench_.content(), Workbench::Content::trace);
  EXPECT_EQ(workbench_.view()->run->run.status, "interrupted");
  EXPECT_EQ(workbench_.view()->run->run.tokens, tokens_);
  workbench_.close();
  QSignalSpy looked(workbench_.interrupted().findChild<JobRunner*>(), &JobRunner::finished);
  workbench_.interrupted().look();
  ASSERT_TRUE(wait_until([&] { return !looked.empty(); }));
  EXPECT_FALSE(part<QWidget>("recording_offer").isVisible());
}

TEST_F(RecordingOfferTest, OneThatDoesNotOpenIsStillOffered) {
  restart_after_kill();
  std::ofstream(file_, std::ios::trunc) << "no trace any more";
  click(part<QPushButton>("recording_open"));
  ASSERT_TRUE(wait_until([this] { return window_.banner().is_error(); }));
  EXPECT_TRUE(part<QWidget>("recording_offer").isVisible());
  EXPECT_EQ(workbench_.interrupted().list().size(), 1u);
}

TEST_F(RecordingOfferTest, LaterKeepsItForTheNextStart) {
  restart_after_kill();
  click(part<QPushButton>("recording_later"));
  EXPECT_FALSE(part<QWidget>("recording_offer").isVisible());
  EXPECT_TRUE(std::filesystem::exists(file_));
  workbench_.interrupted().look();
  ASSERT_TRUE(wait_until([this] { return part<QWidget>("recording_offer").isVisible(); }));
}

TEST_F(RecordingOfferTest, DeleteAsksFirst) {
  restart_after_kill();
  click(part<QPushButton>("recording_discard"));
  auto* box = window_.findChild<QMessageBox*>();
  ASSERT_NE(box, nullptr);
  QTest::mouseClick(box->button(QMessageBox::Cancel), Qt::LeftButton);
  EXPECT_TRUE(std::filesystem::exists(file_));
  EXPECT_TRUE(part<QWidget>("recording_offer").isVisible());
  ASSERT_TRUE(wait_until([this] { return window_.findChild<QMessageBox*>() == nullptr; }));

  click(part<QPushButton>("recording_discard"));
  auto* discard = window_.findChild<QPushButton*>("recording_discard_now");
  ASSERT_NE(discard, nullptr);
  QTest::mouseClick(discard, Qt::LeftButton);
  EXPECT_FALSE(std::filesystem::exists(file_));
  EXPECT_FALSE(part<QWidget>("recording_offer").isVisible());
}

TEST_F(RecordingOfferTest, WhoBeginsWithAModelIsToldToo) {
  restart_after_kill();
  open_model();
  ASSERT_TRUE(
      wait_until([this] { return window_.banner().message().contains("A recording was interrupted"); }));
}

TEST_F(RecordingOfferTest, AModelWithAWarningDoesNotHideIt) {
  restart_after_kill();
  QSignalSpy warned(&workbench_, &Workbench::warned);
  open_model();
  Q_EMIT workbench_.warned("about the model's files");
  ASSERT_FALSE(warned.empty());
  const QString message = window_.banner().message();
  EXPECT_TRUE(message.startsWith("about the model's files\nA recording was interrupted"))
      << message.toStdString();
  click(part<QPushButton>("banner_offer"));
  ASSERT_TRUE(wait_until([this] { return workbench_.content() == Workbench::Content::trace; }));
}

}  // namespace
}  // namespace expertscope::testing
