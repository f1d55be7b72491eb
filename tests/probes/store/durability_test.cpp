// SPDX-License-Identifier: GPL-3.0-or-later
// What is left when the recording process is killed, and when the disk is full.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "probes/store/database.h"
#include "probes/store/writer_identity.h"
#include "tests/probes/synthetic.h"

namespace expertscope::testing {
namespace {

RecorderOptions eager() {
  RecorderOptions options;
  options.commit_interval = std::chrono::milliseconds(0);
  return options;
}

// Records until someone kills the process.
[[noreturn]] void record_for_ever(const std::filesystem::path& file) {
  const Shape shape;
  auto recorder = Recorder::start(file, run_info(shape), eager());
  if (!recorder) _exit(1);
  for (int token = 0;; token += 3) {
    auto block = make_block(shape, CaptureRequest::standard(), {token, 3, 0, token}, (*recorder)->acquire());
    if (!(*recorder)->deliver(std::move(block))) _exit(2);
  }
}

std::int64_t committed_tokens(const std::filesystem::path& file) {
  auto trace = TraceReader::open(file);
  if (!trace) return 0;
  auto run = (*trace)->run(1);
  return run ? run->tokens : 0;
}

// Forks a recorder, lets it commit at least `tokens`, and kills it the hard way.
void record_and_kill(const std::filesystem::path& file, std::int64_t tokens) {
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) record_for_ever(file);
  for (int i = 0; i < 3000 && committed_tokens(file) < tokens; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  ASSERT_EQ(kill(child, SIGKILL), 0);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status)) << "the recorder ended by itself with code " << WEXITSTATUS(status);
}

TEST(Durability, AKilledRecordingOpensWithAllThatWasCommitted) {
  const TemporaryFolder folder;
  const Shape shape;
  record_and_kill(folder / "t.db", 600);
  const auto trace = open_trace(folder / "t.db");
  const RunInfo run = value_of(trace->run(1));
  EXPECT_EQ(run.status, "interrupted");
  EXPECT_GE(run.tokens, 600);
  const auto tokens = value_of(trace->tokens(1, {}));
  ASSERT_EQ(static_cast<std::int64_t>(tokens.size()), run.tokens);
  EXPECT_EQ(tokens.back().log_prob, log_prob_of(static_cast<int>(run.tokens) - 1));
  EXPECT_EQ(value_of(trace->token_slots(1, run.tokens - 1))[3].weight,
            weight_of(static_cast<int>(run.tokens) - 1, 1, 1));
  expect_same_table(value_of(trace->expert_table(1)), value_of(trace->expert_table(1, TokenRange{})));
}

TEST(Durability, TheNextRunGoesIntoTheSameFile) {
  const TemporaryFolder folder;
  const Shape shape;
  record_and_kill(folder / "t.db", 30);
  auto recorder = value_of(Recorder::start(folder / "t.db", run_info(shape)));
  ASSERT_OK(recorder->deliver(make_block(shape, CaptureRequest::standard(), {0, 5, 0, 0})));
  ASSERT_OK(recorder->finish("finished"));
  const auto runs = value_of(open_trace(folder / "t.db")->runs());
  ASSERT_EQ(runs.size(), 2u);
  EXPECT_EQ(runs[0].status, "interrupted");
  EXPECT_EQ(runs[1].status, "finished");
  EXPECT_EQ(runs[1].tokens, 5);
}

TEST(Durability, ARunningRecorderIsNotTakenForAKilledOne) {
  const TemporaryFolder folder;
  auto recorder = value_of(Recorder::start(folder / "t.db", run_info(Shape())));
  EXPECT_EQ(value_of(open_trace(folder / "t.db")->run(1)).status, "recording");
  ASSERT_OK(recorder->finish("finished"));
}

TEST(Durability, ARecorderThatGoesAwayMarksItsRunStopped) {
  const TemporaryFolder folder;
  { const auto recorder = value_of(Recorder::start(folder / "t.db", run_info(Shape()))); }
  EXPECT_EQ(value_of(open_trace(folder / "t.db")->run(1)).status, "stopped");
}

TEST(Durability, KnowsAWriterByMoreThanItsNumber) {
  EXPECT_EQ(writer_state(writer_identity()), WriterState::alive);
  const std::string self = writer_identity();
  std::string other;
  std::thread([&] {
    other = writer_identity();
    EXPECT_EQ(writer_state(other), WriterState::alive);
  }).join();
  EXPECT_NE(other, self);
  for (int i = 0; i < 2000 && writer_state(other) == WriterState::alive; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));  // the kernel clears up after a join
  EXPECT_EQ(writer_state(other), WriterState::gone) << "the thread has ended, the process has not";
  EXPECT_EQ(writer_state(self + "1"), WriterState::gone) << "same pid, another start time";
  EXPECT_EQ(writer_state("another-boot" + self.substr(self.find('/'))), WriterState::gone);
  EXPECT_EQ(writer_state(""), WriterState::gone);
  EXPECT_EQ(writer_state("a/b"), WriterState::gone);
  const std::string boot = self.substr(0, self.find('/', self.find("pid:")));
  EXPECT_EQ(writer_state(boot + "/../self/1"), WriterState::gone) << "only numbers name a thread";
}

// In a child process: lets no file grow beyond `bytes`, records, and exits with 0 when the recorder said what
// it should.
[[noreturn]] void record_on_a_full_disk(const std::filesystem::path& file, rlim_t bytes) {
  signal(SIGXFSZ, SIG_IGN);
  const Shape shape;
  auto recorder = Recorder::start(file, run_info(shape), eager());
  if (!recorder) _exit(1);
  const rlimit limit{bytes, bytes};
  setrlimit(RLIMIT_FSIZE, &limit);
  for (int token = 0; token < 200000; token += 50) {
    auto block = make_block(shape, CaptureRequest::standard(), {token, 50, 0, token});
    const auto status = (*recorder)->deliver(std::move(block));
    if (status) continue;
    const bool clear = status.error().code == ErrorCode::disk_full &&
                       status.error().message.find(file.string()) != std::string::npos &&
                       status.error().message.find("no space left") != std::string::npos;
    if (!clear) _exit(2);
    const auto end = (*recorder)->finish("finished");
    const auto kept = "t.db keeps " + std::to_string(committed_tokens(file)) + " tokens of run 1";
    if ((*recorder)->what_is_kept().find(kept) == std::string::npos) _exit(5);
    _exit(!end && end.error().code == ErrorCode::disk_full ? 0 : 3);
  }
  _exit(4);
}

TEST(Durability, AFullDiskStopsTheRunAndKeepsWhatWasRecorded) {
  const TemporaryFolder folder;
  const auto file = folder / "t.db";
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) record_on_a_full_disk(file, 600 * 1024);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  ASSERT_EQ(WEXITSTATUS(status), 0);

  const auto trace = open_trace(file);
  const RunInfo run = value_of(trace->run(1));
  EXPECT_EQ(run.status, "failed") << "in the first run of a file, too";
  EXPECT_NE(run.message.find("no space left"), std::string::npos) << run.message;
  EXPECT_GT(run.tokens, 0);
  EXPECT_EQ(static_cast<std::int64_t>(value_of(trace->tokens(1, {})).size()), run.tokens);
  expect_same_table(value_of(trace->expert_table(1)), value_of(trace->expert_table(1, TokenRange{})));
}

TEST(Durability, ARunThatCouldNotEvenBeMarkedFailedDoesNotReadAsOneThatGoesOn) {
  const TemporaryFolder folder;
  const Shape shape;
  ASSERT_OK(value_of(Recorder::start(folder / "t.db", run_info(shape)))->finish("finished"));
  auto recorder = value_of(Recorder::start(folder / "t.db", run_info(shape)));
  ASSERT_OK(recorder->deliver(make_block(shape, CaptureRequest::standard(), {0, 5, 0, 0})));
  {
    // Only one run may have ended in each way: the second cannot write down that it did, as on a disk that is
    // full to the last byte.
    auto database = value_of(Database::open(folder / "t.db", Database::Mode::read_write));
    for (const char* end : {"stopped", "failed"}) {
      ASSERT_OK(
          database->execute(fmt::format("CREATE TEMP TABLE copy AS SELECT * FROM run WHERE id = 1; "
                                        "UPDATE copy SET id = (SELECT max(id) + 1 FROM run), status = '{}'; "
                                        "INSERT INTO run SELECT * FROM copy; DROP TABLE copy",
                                        end)
                                .c_str()));
    }
    ASSERT_OK(database->execute("CREATE UNIQUE INDEX one_end ON run(status)"));
  }
  EXPECT_FALSE(recorder->finish("finished"));
  // This process lives, and so does the recorder; only the thread that wrote has ended.
  std::string status = "recording";
  for (int i = 0; i < 2000 && status == "recording"; ++i) {
    status = value_of(open_trace(folder / "t.db")->run(2)).status;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_EQ(status, "interrupted");
}

TEST(Durability, AFinishedTraceIsReadFromAFolderThatCannotBeWritten) {
  const TemporaryFolder folder;
  const auto medium = folder / "medium";
  std::filesystem::create_directory(medium);
  auto recorder = value_of(Recorder::start(medium / "t.db", run_info(Shape())));
  ASSERT_OK(recorder->deliver(make_block(Shape(), CaptureRequest::standard(), {0, 10, 0, 0})));
  ASSERT_OK(recorder->finish("finished"));
  using std::filesystem::perms;
  std::filesystem::permissions(medium, perms::owner_read | perms::owner_exec);
  const auto trace = TraceReader::open(medium / "t.db");
  EXPECT_OK(trace);
  if (trace) {
    EXPECT_EQ(value_of((*trace)->tokens(1, {})).size(), 10u);
  }
  std::filesystem::permissions(medium, perms::owner_all);
}

}  // namespace
}  // namespace expertscope::testing
