// SPDX-License-Identifier: GPL-3.0-or-later
// Another program has locked the recording: the window says that the generation waits, for as long as it
// does.
#include <gtest/gtest.h>

#include <QSpinBox>
#include <QTimer>

#include "probes/store/database.h"
#include "tests/gui/window/window_fixture.h"

namespace expertscope::testing {
namespace {

class RecordingLock : public WindowTest {
 protected:
  /// Generates without an end and locks the recording, until the window says so.
  void generate_into_a_lock() {
    make_endless(endless_);
    open_model(QString::fromStdString(endless_.path().string()));
    part<QSpinBox>("max_tokens").setValue(4000);
    part<QSpinBox>("pace").setValue(200);  // tokens a second: it is not over before it is locked
    click(part<QPushButton>("generate"));
    require(wait_until([this] { return tokens_seen() > 3; }), first_error());
    auto database = Database::open(workbench_.trace().file(), Database::Mode::read_write);
    require(database.has_value(), "the recording does not open");
    other_ = std::move(*database);
    // The writer leaves a gap of some milliseconds after a commit: asked for without a pause, it is found.
    require(other_->execute("PRAGMA busy_timeout = 0").has_value(), "the recording cannot be locked");
    while (!other_->execute("BEGIN IMMEDIATE")) {
    }
    require(wait_until([this] { return says_that_it_waits(); }), "nothing is said of the lock");
  }
  void unlock() { ASSERT_TRUE(other_->execute("ROLLBACK")); }
  void stop() {
    click(part<QPushButton>("stop"));
    require(wait_until([this] { return workbench_.engine().can_run(); }), "the generation does not stop");
  }
  QString banner() { return window_.banner().message(); }
  bool says_that_it_waits() { return banner().contains("another program has locked it; the run goes on"); }
  bool goes_by_itself() { return window_.banner().findChild<QTimer*>()->isActive(); }

  const ModelFolder endless_{"top8"};
  std::unique_ptr<Database> other_;
};

TEST_F(RecordingLock, TheWarningGoesWhenTheRecordingGoesOnWhichIsAPassingNotice) {
  generate_into_a_lock();
  EXPECT_FALSE(goes_by_itself()) << "as long as it waits, the window says so";
  unlock();
  ASSERT_TRUE(wait_until([this] { return banner().contains("is free again, the recording goes on"); }))
      << banner().toStdString();
  EXPECT_FALSE(says_that_it_waits());
  EXPECT_TRUE(goes_by_itself());
  stop();
}

TEST_F(RecordingLock, TheWarningGoesWithTheRunThatWaited) {
  generate_into_a_lock();
  click(part<QPushButton>("stop"));
  unlock();
  ASSERT_TRUE(wait_until([this] { return workbench_.engine().can_run(); }));
  EXPECT_FALSE(says_that_it_waits()) << "nothing waits any more";
}

TEST_F(RecordingLock, AnotherWarningThatCameMeanwhileStays) {
  generate_into_a_lock();
  Q_EMIT workbench_.warned("about the model's files");
  unlock();
  ASSERT_TRUE(wait_until([this] { return banner().contains("the recording goes on"); }));
  EXPECT_TRUE(banner().startsWith("about the model's files\n")) << banner().toStdString();
  stop();
}

}  // namespace
}  // namespace expertscope::testing
