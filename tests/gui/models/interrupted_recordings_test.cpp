// SPDX-License-Identifier: GPL-3.0-or-later
// What the next start finds of a recording whose program was killed.
#include "views/models/interrupted_recordings.h"

#include <gtest/gtest.h>

#include <QSignalSpy>
#include <QTemporaryDir>

#include "probes/store/database.h"
#include "tests/gui/models/trace_file.h"
#include "tests/gui/support.h"
#include "views/models/live_traces.h"
#include "views/models/unanswered_recordings.h"

namespace expertscope::testing {
namespace {

class InterruptedRecordingsTest : public ::testing::Test {
 protected:
  std::filesystem::path file(const std::string& name) const { return folder_ / name; }
  /// A recording whose writer is gone, as after kill -9.
  std::filesystem::path record_killed(const std::string& name, int tokens) {
    record_run(file(name), tokens);
    kill_writer(file(name));
    return file(name);
  }
  static void kill_writer(const std::filesystem::path& trace) {
    auto database = value_of(Database::open(trace, Database::Mode::read_write));
    ASSERT_OK(database->execute("UPDATE run SET status = 'recording', writer = 'gone'"));
  }
  std::vector<InterruptedRecording> look() {
    InterruptedRecordings recordings(folder_.path(), settings_);
    QSignalSpy looked(recordings.findChild<JobRunner*>(), &JobRunner::finished);
    recordings.look();
    EXPECT_TRUE(wait_until([&] { return !looked.empty(); }));
    return recordings.list();
  }

  TemporaryFolder folder_;
  QTemporaryDir home_;
  QSettings settings_{home_.filePath("settings.ini"), QSettings::IniFormat};
};

TEST_F(InterruptedRecordingsTest, NamesWhatIsLeftOfARecordingThatWasKilled) {
  record_killed("20261129-120000-000-demo.db", 40);
  const auto found = look();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].tokens, 40);
  EXPECT_EQ(found[0].runs, 1);
  EXPECT_EQ(found[0].run.status, "interrupted");
  EXPECT_TRUE(recording_name(found[0]).contains("synthetic")) << recording_name(found[0]).toStdString();
  EXPECT_TRUE(recording_state(found[0]).startsWith("40 tokens in 1 run are safe."));
}

TEST_F(InterruptedRecordingsTest, TheNewestComesFirstAndOrdinaryFilesAreLeftAlone) {
  record_killed("20261128-120000-000-old.db", 10);
  record_killed("20261129-120000-000-new.db", 20);
  record_run(file("20261129-130000-000-finished.db"), 30);
  record_killed("a-trace-of-somebody.db", 50);
  const auto found = look();
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].tokens, 20);
  EXPECT_EQ(found[1].tokens, 10);
}

TEST_F(InterruptedRecordingsTest, ARecordingThatStillRunsIsNotOffered) {
  const auto recorder = start_run(file("20261129-120000-000-demo.db"));
  deliver_tokens(*recorder, 0, 10);
  EXPECT_TRUE(look().empty());
  EXPECT_OK(recorder->finish("finished"));
}

TEST_F(InterruptedRecordingsTest, WhatWasAnsweredIsNotOfferedAgainAndWhatWasPostponedIs) {
  const auto answered = record_killed("20261128-120000-000-a.db", 10);
  const auto postponed = record_killed("20261129-120000-000-b.db", 20);
  InterruptedRecordings recordings(folder_.path(), settings_);
  recordings.look();
  ASSERT_TRUE(wait_until([&] { return recordings.list().size() == 2; }));
  recordings.answer(answered);
  recordings.postpone(postponed);
  EXPECT_TRUE(recordings.list().empty());
  const auto found = look();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].file, postponed);
}

TEST_F(InterruptedRecordingsTest, AnOldOneIsRemovedWhenSomebodyAnsweredForItAndNotBefore) {
  const auto killed = record_killed("20261128-120000-000-a.db", 10);
  record_run(file("20261128-130000-000-b.db"), 10);
  record_run(file("20261129-120000-000-c.db"), 10);
  remove_old_live_traces(folder_.path(), 1, unanswered_recordings(settings_));
  EXPECT_TRUE(exists(killed));
  EXPECT_FALSE(exists(file("20261128-130000-000-b.db")));
  EXPECT_TRUE(exists(file("20261129-120000-000-c.db")));

  InterruptedRecordings recordings(folder_.path(), settings_);
  recordings.look();
  ASSERT_TRUE(wait_until([&] { return !recordings.list().empty(); }));
  recordings.answer(killed);
  remove_old_live_traces(folder_.path(), 1, unanswered_recordings(settings_));
  EXPECT_FALSE(exists(killed));
}

TEST_F(InterruptedRecordingsTest, DiscardingDeletesTheFileWithWhatSqliteKeepsBesideIt) {
  const auto trace = record_killed("20261129-120000-000-a.db", 10);
  InterruptedRecordings recordings(folder_.path(), settings_);
  recordings.look();
  ASSERT_TRUE(wait_until([&] { return !recordings.list().empty(); }));
  recordings.discard(trace);
  EXPECT_TRUE(recordings.list().empty());
  EXPECT_TRUE(std::filesystem::is_empty(folder_.path()));
}

}  // namespace
}  // namespace expertscope::testing
