// SPDX-License-Identifier: GPL-3.0-or-later
// The window reads a trace without ever waiting for it, also while it is being recorded.
#include "views/models/trace_source.h"

#include <gtest/gtest.h>

#include <QSignalSpy>
#include <fstream>

#include "tests/gui/models/trace_file.h"
#include "tests/gui/support.h"

namespace expertscope::testing {
namespace {

class TraceSourceTest : public ::testing::Test {
 protected:
  TraceSourceTest() {
    QObject::connect(&source_, &TraceSource::failed, &source_,
                     [this](const Error& error) { errors_.push_back(error); });
  }
  std::filesystem::path file() const { return folder_ / "trace.db"; }
  void open() {
    source_.open(file());
    ASSERT_TRUE(wait_until([this] { return source_.view() != nullptr; }));
  }

  TemporaryFolder folder_;
  TraceSource source_;
  std::vector<Error> errors_;
};

TEST_F(TraceSourceTest, OpensAndReadsInTheBackground) {
  record_run(file(), 12);
  QSignalSpy opened(&source_, &TraceSource::opened);
  source_.open(file());
  EXPECT_FALSE(source_.is_open()) << "open() must not wait";
  ASSERT_TRUE(wait_until([this] { return source_.view() != nullptr; }));
  EXPECT_EQ(opened.count(), 1);
  EXPECT_EQ(source_.file(), file());
  EXPECT_EQ(source_.view()->run->table.tokens, 12);
}

TEST_F(TraceSourceTest, AFileThatIsNoTraceKeepsWhatWasOpen) {
  record_run(file(), 12);
  open();
  const auto bad = folder_ / "bad.db";
  std::ofstream(bad) << "not a database";
  source_.open(bad);
  ASSERT_TRUE(wait_until([this] { return !errors_.empty(); }));
  EXPECT_NE(errors_.front().message.find("bad.db"), std::string::npos) << errors_.front().message;
  EXPECT_EQ(source_.file(), file());
  EXPECT_NE(source_.view(), nullptr);
}

TEST_F(TraceSourceTest, ANewQueryGetsANewAnswer) {
  record_run(file(), 12);
  open();
  TraceQuery query;
  query.cell = {0, 1};
  query.token = 3;
  source_.set_query(query);
  ASSERT_TRUE(wait_until([this] { return source_.view()->token != nullptr; }));
  EXPECT_EQ(source_.view()->expert->cell, (Cell{0, 1}));
}

TEST_F(TraceSourceTest, OnlyTheNewestOfManyQueriesIsAnswered) {
  record_run(file(), 12);
  open();
  QSignalSpy answers(&source_, &TraceSource::view_changed);
  TraceQuery query;
  for (int token = 0; token < 12; ++token) {
    query.token = token;
    source_.set_query(query);
  }
  ASSERT_TRUE(
      wait_until([this] { return source_.view()->token && source_.view()->token->token.index == 11; }));
  EXPECT_EQ(answers.count(), 1);
  EXPECT_TRUE(errors_.empty());
}

TEST_F(TraceSourceTest, FollowsARunWhileItIsRecorded) {
  auto recorder = start_run(file());
  deliver_tokens(*recorder, 0, 5);
  open();
  source_.set_following(true);
  deliver_tokens(*recorder, 5, 20);
  ASSERT_TRUE(wait_until([this] { return source_.view()->run && source_.view()->run->table.tokens == 25; }));
  EXPECT_EQ(source_.view()->run->run.status, "recording");
  ASSERT_OK(recorder->finish("finished"));
  ASSERT_TRUE(wait_until([this] { return source_.view()->run->run.status == "finished"; }));
  source_.set_following(false);
}

TEST_F(TraceSourceTest, RefreshReadsOnceMore) {
  record_run(file(), 5);
  open();
  record_run(file(), 7);
  source_.refresh();
  ASSERT_TRUE(wait_until([this] { return source_.view()->runs->size() == 2; }));
}

TEST_F(TraceSourceTest, CloseForgetsTheFileAndItsLateAnswers) {
  record_run(file(), 12);
  open();
  QSignalSpy answers(&source_, &TraceSource::view_changed);
  source_.refresh();
  source_.close();
  EXPECT_FALSE(source_.is_open());
  EXPECT_EQ(source_.view(), nullptr);
  QTest::qWait(50);
  EXPECT_EQ(answers.count(), 0);
  EXPECT_TRUE(errors_.empty());
}

TEST_F(TraceSourceTest, ACancelledOpenOpensNothingAndIsNoError) {
  record_run(file(), 12);
  source_.open(file());
  source_.cancel_open();
  QTest::qWait(50);
  EXPECT_FALSE(source_.is_open());
  EXPECT_TRUE(errors_.empty());
}

TEST_F(TraceSourceTest, OpeningAnotherFileShowsNothingOfTheFirst) {
  record_run(file(), 12);
  open();
  TraceQuery query;
  query.token = 3;
  source_.set_query(query);
  const auto other = folder_ / "other.db";
  record_run(other, 4);
  source_.open(other);
  ASSERT_TRUE(wait_until([&] { return source_.file() == other && source_.view() != nullptr; }));
  EXPECT_EQ(source_.view()->run->table.tokens, 4);
}

}  // namespace
}  // namespace expertscope::testing
