// SPDX-License-Identifier: GPL-3.0-or-later
// What a recorder says when its trace is taken away, locked, or its program cannot go on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <new>
#include <stop_token>
#include <thread>

#include "probes/capture/generation.h"
#include "probes/capture/profile.h"
#include "probes/capture/recorder.h"
#include "probes/store/database.h"
#include "tests/probes/synthetic.h"

namespace expertscope::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

Status deliver(Recorder& recorder, int first) {
  return recorder.deliver(make_block(Shape(), CaptureRequest::standard(), {first, 4, 0, first}));
}

/// A trace that holds a run already, and a recorder that has begun another and delivered some of it.
class LostTrace : public ::testing::Test {
 protected:
  void SetUp() override {
    auto first = value_of(Recorder::start(file_, run_info(Shape())));
    ASSERT_OK(deliver(*first, 0));
    ASSERT_OK(first->finish("finished"));
    RecorderOptions options;
    options.commit_interval = std::chrono::hours(1);  // nothing is committed before the end
    recorder_ = value_of(Recorder::start(file_, run_info(Shape()), options));
    ASSERT_OK(deliver(*recorder_, 0));
  }
  void expect_loss(const std::string& what) {
    const Status end = recorder_->finish("finished");
    ASSERT_FALSE(end);
    EXPECT_EQ(end.error().code, ErrorCode::io);
    EXPECT_THAT(end.error().message, StartsWith(file_.string() + ": was " + what));
    EXPECT_EQ(recorder_->what_is_kept(), "nothing of run 2 can be relied on");
  }

  TemporaryFolder folder_;
  std::filesystem::path file_ = folder_ / "t.db";
  std::unique_ptr<Recorder> recorder_;
};

TEST_F(LostTrace, IsNotFinishedWhenItsFileWasDeleted) {
  std::filesystem::remove(file_);
  expect_loss("deleted, moved or replaced");
  EXPECT_FALSE(std::filesystem::exists(file_));
}

TEST_F(LostTrace, IsNotFinishedWhenItsFileWasReplaced) {
  const auto other = folder_ / "other.db";
  ASSERT_OK(value_of(Recorder::start(other, run_info(Shape())))->finish("finished"));
  std::filesystem::rename(other, file_);
  expect_loss("deleted, moved or replaced");
}

TEST_F(LostTrace, IsNotFinishedWhenItsFileWasMoved) {
  std::filesystem::rename(file_, folder_ / "elsewhere.db");
  expect_loss("deleted, moved or replaced");
}

TEST_F(LostTrace, IsNotFinishedWhenItsFileWasCut) {
  std::filesystem::resize_file(file_, 40000);
  expect_loss("cut from");
}

TEST_F(LostTrace, IsNotFinishedWhenItsFileWasEmptied) {
  std::filesystem::resize_file(file_, 0);
  expect_loss("cut from");
}

TEST(TidyTrace, AFileThatSomebodyTidiedUpIsNotLost) {
  const TemporaryFolder folder;
  const auto file = folder / "t.db";
  auto first = value_of(Recorder::start(file, run_info(Shape())));
  ASSERT_OK(first->deliver(make_block(Shape(), CaptureRequest::standard(), {0, 2000, 0, 0})));
  ASSERT_OK(first->finish("finished"));
  const auto before = std::filesystem::file_size(file);
  RecorderOptions options;
  options.commit_interval = std::chrono::hours(1);
  auto second = value_of(Recorder::start(file, run_info(Shape()), options));
  {
    const auto other = value_of(Database::open(file, Database::Mode::read_write));
    ASSERT_OK(
        other->execute("DELETE FROM column_block WHERE run = 1; VACUUM; PRAGMA wal_checkpoint(TRUNCATE)"));
  }
  EXPECT_LT(std::filesystem::file_size(file), before);
  // More than a page of them, in one transaction.
  ASSERT_OK(second->deliver(make_block(Shape(), CaptureRequest::standard(), {0, 4000, 0, 0})));
  ASSERT_OK(second->finish("finished"));
  EXPECT_EQ(value_of(open_trace(file)->run(2)).tokens, 4000);
}

TEST(LockedTrace, TheRunWaitsSaysSoAndGoesOn) {
  const TemporaryFolder folder;
  const auto file = folder / "t.db";
  std::atomic<int> told{0};
  std::vector<std::string> messages;
  std::vector<TraceLock> locks;
  RecorderOptions options;
  options.queue_blocks = 2;
  options.notice = [&](TraceLock lock, const std::string& message) {
    messages.push_back(message);
    locks.push_back(lock);
    ++told;
  };
  auto recorder = value_of(Recorder::start(file, run_info(Shape()), options));
  const auto other = value_of(Database::open(file, Database::Mode::read_write));
  ASSERT_OK(other->execute("BEGIN IMMEDIATE"));
  std::thread engine([&] {
    for (int block = 0; block < 20; ++block)
      EXPECT_OK(deliver(*recorder, 4 * block));
  });
  while (told == 0)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  ASSERT_OK(other->execute("ROLLBACK"));
  engine.join();
  ASSERT_OK(recorder->finish("finished"));
  EXPECT_EQ(value_of(open_trace(file)->run(1)).tokens, 80);
  ASSERT_EQ(messages.size(), 2u) << "once each";
  EXPECT_THAT(messages[0], HasSubstr("t.db: another program has locked it; the run goes on when it is free"));
  EXPECT_THAT(messages[1], HasSubstr("t.db: is free again"));
  EXPECT_EQ(locks, (std::vector{TraceLock::taken, TraceLock::free}));
}

TEST(LockedTrace, APersonCanStopTheWait) {
  const TemporaryFolder folder;
  const auto file = folder / "t.db";
  std::stop_source stop;
  RecorderOptions options;
  options.queue_blocks = 2;
  options.stop = stop.get_token();
  options.notice = [&](TraceLock, const std::string&) { stop.request_stop(); };
  auto recorder = value_of(Recorder::start(file, run_info(Shape()), options));
  const auto other = value_of(Database::open(file, Database::Mode::read_write));
  ASSERT_OK(other->execute("BEGIN IMMEDIATE"));
  Status delivered;
  for (int block = 0; delivered; ++block)
    delivered = deliver(*recorder, 4 * block);
  EXPECT_EQ(delivered.error().code, ErrorCode::cancelled);
  ASSERT_OK(other->execute("ROLLBACK"));
  ASSERT_OK(recorder->finish("stopped"));
  EXPECT_EQ(value_of(open_trace(file)->run(1)).status, "stopped");
}

TEST(LastMoment, ClosesEveryRecordingAndSaysWhy) {
  const TemporaryFolder folder;
  auto a = value_of(Recorder::start(folder / "a.db", run_info(Shape())));
  auto b = value_of(Recorder::start(folder / "b.db", run_info(Shape())));
  ASSERT_OK(deliver(*a, 0));
  Recorder::close_all("model.safetensors: was shortened", std::chrono::minutes(5));
  for (const char* name : {"a.db", "b.db"}) {
    const RunInfo run = value_of(open_trace(folder / name)->run(1));
    EXPECT_EQ(run.status, "failed");
    EXPECT_EQ(run.message, "model.safetensors: was shortened");
    EXPECT_EQ(run.tokens, std::string(name) == "a.db" ? 4 : 0);
  }
  EXPECT_FALSE(deliver(*a, 4));
}

TEST(LastMoment, AnExceptionLeavesAFailedRunNotAStoppedOne) {
  const TemporaryFolder folder;
  try {
    const auto recorder = value_of(Recorder::start(folder / "t.db", run_info(Shape())));
    ASSERT_OK(deliver(*recorder, 0));
    throw std::bad_alloc();
  } catch (const std::bad_alloc&) {
    const RunInfo run = value_of(open_trace(folder / "t.db")->run(1));
    EXPECT_EQ(run.status, "failed");
    EXPECT_EQ(run.tokens, 4);
  }
}

TEST(LastMoment, NoMemoryOnTheRecordersThreadIsAnErrorOfTheRun) {
  const TemporaryFolder folder;
  RecorderOptions options;
  options.token_bytes = [](std::int32_t) -> std::string { throw std::bad_alloc(); };
  auto recorder = value_of(Recorder::start(folder / "t.db", run_info(Shape()), options));
  ASSERT_OK(deliver(*recorder, 0));
  const Status end = recorder->finish("finished");
  ASSERT_FALSE(end);
  EXPECT_EQ(end.error().code, ErrorCode::out_of_memory);
  EXPECT_THAT(end.error().message, HasSubstr("t.db: not enough memory"));
  EXPECT_EQ(value_of(open_trace(folder / "t.db")->run(1)).status, "failed");
}

/// A model whose weights can be touched, and data to run through it.
class OpenedModel : public ::testing::Test {
 protected:
  OpenedModel() {
    std::filesystem::copy(
        std::filesystem::path(EXPERTSCOPE_SOURCE_DIR) / "tests/data/models/planted_super_experts", model_);
    std::filesystem::permissions(weights_, std::filesystem::perms::owner_write,
                                 std::filesystem::perm_options::add);
    BackendOptions backend;
    backend.threads = 1;
    backend.max_context = 64;
    session_ = value_of(Session::create(value_of(Model::open(model_)), backend));
    data_.name = "words";
    data_.documents.push_back({"Once upon a time there was a file that nobody should have touched.", ""});
    options_.sequence_length = 32;
  }
  void touch() const {
    std::filesystem::last_write_time(weights_,
                                     std::filesystem::file_time_type::clock::now() + std::chrono::hours(1));
  }

  TemporaryFolder folder_;
  std::filesystem::path model_ = folder_ / "model";
  std::filesystem::path weights_ = model_ / "model.safetensors";
  std::unique_ptr<Session> session_;
  Dataset data_;
  ProfileOptions options_;
};

using RewrittenWeights = OpenedModel;

TEST_F(RewrittenWeights, AreSaidInTheTraceAndInTheResult) {
  const auto before = value_of(profile(*session_, data_, options_, folder_ / "t.db"));
  ASSERT_EQ(before.run, 1);
  EXPECT_EQ(before.remark, "");
  const auto after =
      value_of(profile(*session_, data_, options_, folder_ / "t.db", [&](auto, auto) { touch(); }));
  EXPECT_THAT(after.remark, HasSubstr("model.safetensors changed while the model was in use"));
  const RunInfo run = value_of(open_trace(folder_ / "t.db")->run(2));
  EXPECT_EQ(run.status, "finished");
  EXPECT_EQ(run.message, after.remark);
}

TEST_F(RewrittenWeights, AreSaidAlsoWhenItWasBeforeTheRun) {
  touch();
  const auto result = value_of(profile(*session_, data_, options_, folder_ / "t.db"));
  EXPECT_THAT(result.remark, HasSubstr("model.safetensors changed while the model was in use"));
}

TEST_F(RewrittenWeights, AreNotThoseOfAnotherFileOfThatName) {
  std::filesystem::copy_file(weights_, model_ / "copy");
  std::filesystem::rename(model_ / "copy", weights_);
  EXPECT_EQ(session_->model().rewritten_weights(), "");
}

using StoppedRun = OpenedModel;

TEST_F(StoppedRun, OfAProfileSaysWhenItCouldNotBeClosed) {
  std::stop_source stop;
  options_.sequence_length = 8;
  const auto lose_and_stop = [&](auto, auto) {
    std::filesystem::remove(folder_ / "t.db");
    stop.request_stop();
  };
  const auto result = profile(*session_, data_, options_, folder_ / "t.db", lose_and_stop, stop.get_token());
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::io);
  EXPECT_THAT(result.error().message, HasSubstr("t.db: was deleted, moved or replaced"));
  EXPECT_THAT(result.error().message, HasSubstr("; nothing of run 1 can be relied on"));
}

TEST_F(StoppedRun, OfAGenerationSaysWhenItCouldNotBeClosed) {
  std::stop_source stop;
  const CaptureRequest probes = CaptureRequest::standard();
  const auto recorder = value_of(start_generation_run(*session_, "1", {}, probes, folder_ / "t.db", {}));
  std::filesystem::remove(folder_ / "t.db");
  stop.request_stop();
  const std::vector<std::int32_t> prompt = {1, 2, 3};
  const auto result = generate_recorded(*session_, *recorder, probes, prompt, {}, {}, stop.get_token());
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::io);
  EXPECT_THAT(result.error().message, HasSubstr("t.db: was deleted, moved or replaced"));
}

}  // namespace
}  // namespace expertscope::testing
