// SPDX-License-Identifier: GPL-3.0-or-later
// What happens when tokens come faster than they can be written, and what a recorder refuses.
#include "probes/capture/recorder.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <limits>
#include <set>
#include <thread>

#include "probes/store/database.h"
#include "tests/probes/synthetic.h"

namespace expertscope::testing {
namespace {

constexpr int kBlocks = 30;
constexpr int kTokens = 4;  // of a block

// Keeps the recorder from writing: another connection holds the write lock.
class HeldFile {
 public:
  explicit HeldFile(const std::filesystem::path& file)
      : database_(value_of(Database::open(file, Database::Mode::read_write))) {
    EXPECT_OK(database_->execute("BEGIN IMMEDIATE"));
  }
  void release() { EXPECT_OK(database_->execute("ROLLBACK")); }

 private:
  std::unique_ptr<Database> database_;
};

Status deliver(Recorder& recorder, int block) {
  return recorder.deliver(make_block(Shape(), CaptureRequest::standard(),
                                     {block * kTokens, kTokens, 0, block * kTokens}, recorder.acquire()));
}

/// A recorder of a live view: its queue holds three blocks, more are dropped.
std::unique_ptr<Recorder> start_dropping(const std::filesystem::path& file) {
  RecorderOptions options;
  options.queue_blocks = 3;
  options.backpressure = Backpressure::drop;
  return value_of(Recorder::start(file, run_info(Shape()), options));
}

/// Delivers all blocks to a writer that cannot write: one is in its hands, the queue is full, the rest is
/// dropped.
void deliver_to_held_writer(Recorder& recorder) {
  ASSERT_OK(deliver(recorder, 0));
  std::this_thread::sleep_for(std::chrono::milliseconds(100));  // until it is in the writer's hands
  for (int block = 1; block < kBlocks; ++block)
    ASSERT_OK(deliver(recorder, block));
}

std::int64_t count(const std::filesystem::path& file, const char* sql) {
  const auto database = value_of(Database::open(file, Database::Mode::read_only));
  return value_of(database->integer(sql)).value_or(-1);
}

TEST(Recorder, WaitsForTheDiskAndLosesNothing) {
  const TemporaryFolder folder;
  RecorderOptions options;
  options.queue_blocks = 3;
  auto recorder = value_of(Recorder::start(folder / "t.db", run_info(Shape()), options));
  HeldFile held(folder / "t.db");
  std::atomic<int> delivered{0};
  std::thread engine([&] {
    for (int block = 0; block < kBlocks; ++block) {
      EXPECT_OK(deliver(*recorder, block));
      ++delivered;
    }
  });
  // One block in the writer's hands, three in the queue: then the engine waits.
  for (int i = 0; i < 500 && delivered < 4; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_EQ(delivered, 4);
  held.release();
  engine.join();
  ASSERT_OK(recorder->finish("finished"));
  EXPECT_EQ(recorder->dropped_tokens(), 0);
  EXPECT_EQ(value_of(open_trace(folder / "t.db")->tokens(1, {})).size(), std::size_t{kBlocks * kTokens});
}

TEST(Recorder, ALiveViewDropsWholeBlocksAndCountsThem) {
  const TemporaryFolder folder;
  auto recorder = start_dropping(folder / "t.db");
  {
    HeldFile held(folder / "t.db");
    deliver_to_held_writer(*recorder);
    held.release();
  }
  // The queue empties; what comes now is recorded again.
  for (int i = 0; i < 2000 && count(folder / "t.db", "SELECT tokens FROM run") == 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  ASSERT_OK(deliver(*recorder, kBlocks));
  ASSERT_OK(recorder->finish("finished"));

  const auto trace = open_trace(folder / "t.db");
  const RunInfo run = value_of(trace->run(1));
  const auto tokens = value_of(trace->tokens(1, {}));
  EXPECT_GT(recorder->dropped_tokens(), 0);
  EXPECT_EQ(run.dropped_tokens, recorder->dropped_tokens());
  EXPECT_EQ(run.tokens, static_cast<std::int64_t>(tokens.size()));
  EXPECT_EQ(run.tokens + run.dropped_tokens, (kBlocks + 1) * kTokens);
  // What is missing in the positions is what the file says was dropped, and where.
  std::set<int> positions;
  for (const TokenRow& token : tokens)
    positions.insert(token.position);
  const std::int64_t first = count(folder / "t.db", "SELECT position FROM dropped");
  const std::int64_t gap = count(folder / "t.db", "SELECT tokens FROM dropped");
  const std::int64_t before = count(folder / "t.db", "SELECT token FROM dropped");
  EXPECT_EQ(gap, run.dropped_tokens);
  for (std::int64_t i = first; i < first + gap; ++i)
    EXPECT_EQ(positions.count(static_cast<int>(i)), 0u);
  EXPECT_EQ(tokens[static_cast<std::size_t>(before)].position, first + gap);
  EXPECT_EQ(tokens[static_cast<std::size_t>(before)].sequence, 0) << "still the same sequence";
  expect_same_table(value_of(trace->expert_table(1)), value_of(trace->expert_table(1, TokenRange{})));
}

TEST(Recorder, WhatIsDroppedAtTheEndOfARunIsInTheTraceToo) {
  const TemporaryFolder folder;
  auto recorder = start_dropping(folder / "t.db");
  HeldFile held(folder / "t.db");
  deliver_to_held_writer(*recorder);
  recorder->set_domain(0, "the next document");
  ASSERT_OK(recorder->deliver(make_block(Shape(), CaptureRequest::standard(), {500, kTokens, 0, 0})));
  held.release();
  ASSERT_OK(recorder->finish("finished"));

  const auto trace = open_trace(folder / "t.db");
  const RunInfo run = value_of(trace->run(1));
  EXPECT_GT(run.dropped_tokens, kTokens);
  EXPECT_EQ(run.dropped_tokens, recorder->dropped_tokens());
  EXPECT_EQ(run.tokens + run.dropped_tokens, (kBlocks + 1) * kTokens);
  EXPECT_EQ(count(folder / "t.db", "SELECT count(*) FROM dropped"), 2) << "a gap of each sequence";
  EXPECT_EQ(count(folder / "t.db", "SELECT sum(tokens) FROM dropped"), run.dropped_tokens);
  EXPECT_EQ(count(folder / "t.db", "SELECT position FROM dropped WHERE sequence = 0"), run.tokens);
  EXPECT_EQ(count(folder / "t.db", "SELECT min(token) FROM dropped"), run.tokens) << "behind the last token";
  const auto sequences = value_of(trace->sequences(1));
  ASSERT_EQ(sequences.size(), 2u);
  EXPECT_EQ(sequences[1].first_token, run.tokens) << "nothing of it was recorded";
  EXPECT_EQ(sequences[1].domain, "the next document");
}

TEST(Recorder, GivesBlocksOutAgain) {
  const TemporaryFolder folder;
  auto recorder = value_of(Recorder::start(folder / "t.db", run_info(Shape())));
  std::set<const CaptureBlock*> seen;
  for (int block = 0; block < 200; ++block) {
    auto next = make_block(Shape(), CaptureRequest::standard(), {block, 1, 0, block}, recorder->acquire());
    seen.insert(next.get());
    ASSERT_OK(recorder->deliver(std::move(next)));
  }
  ASSERT_OK(recorder->finish("finished"));
  EXPECT_LE(seen.size(), 70u) << "as many as the queue holds, and a few in hand";
}

TEST(Recorder, RefusesBlocksThatDoNotFitTheRun) {
  const TemporaryFolder folder;
  Shape wide;
  wide.experts = 9;
  auto recorder = value_of(Recorder::start(folder / "t.db", run_info(Shape())));
  ASSERT_OK(recorder->deliver(make_block(Shape(), CaptureRequest::standard(), {0, 3, 0, 0})));
  ASSERT_OK(recorder->deliver(make_block(wide, CaptureRequest::standard(), {3, 3, 0, 3})));
  const auto end = recorder->finish("finished");
  ASSERT_FALSE(end);
  EXPECT_EQ(end.error().code, ErrorCode::mismatch);
  EXPECT_NE(end.error().message.find("9 experts does not fit"), std::string::npos) << end.error().message;
  const RunInfo run = value_of(open_trace(folder / "t.db")->run(1));
  EXPECT_EQ(run.status, "failed");
  EXPECT_EQ(run.message, end.error().message);
}

TEST(Recorder, RefusesExpertsThatDoNotExist) {
  const TemporaryFolder folder;
  auto recorder = value_of(Recorder::start(folder / "t.db", run_info(Shape())));
  auto block = make_block(Shape(), CaptureRequest::standard(), {0, 3, 0, 0});
  block->expert[1] = 6;
  ASSERT_OK(recorder->deliver(std::move(block)));
  const auto end = recorder->finish("finished");
  ASSERT_FALSE(end);
  EXPECT_NE(end.error().message.find("layer 0 names an expert the model does not have"), std::string::npos);
}

TEST(Recorder, TakesNothingAfterTheEnd) {
  const TemporaryFolder folder;
  auto recorder = value_of(Recorder::start(folder / "t.db", run_info(Shape())));
  ASSERT_OK(recorder->finish("finished"));
  EXPECT_FALSE(deliver(*recorder, 0));
  EXPECT_OK(recorder->finish("stopped"));
  EXPECT_EQ(value_of(open_trace(folder / "t.db")->run(1)).status, "finished") << "the first word counts";
  EXPECT_FALSE(recorder->deliver(nullptr));
}

TEST(Recorder, ANumberThatIsNoneIsNotMeasured) {
  const TemporaryFolder folder;
  auto recorder = value_of(Recorder::start(folder / "t.db", run_info(Shape())));
  auto block = make_block(Shape(), CaptureRequest::standard(), {0, 8, 0, 0});
  const int expert = block->expert[0];
  block->output_norm[0] = block->output_max[0] = block->entropy[0] = std::nanf("");
  ASSERT_OK(recorder->deliver(std::move(block)));
  ASSERT_OK(recorder->finish("finished"));
  const auto trace = open_trace(folder / "t.db");
  const ExpertStats stats = value_of(trace->expert_table(1)).at(0, expert);
  EXPECT_TRUE(std::isnan(stats.norm_sum));
  EXPECT_FALSE(std::isnan(stats.weight_sum));
  EXPECT_FALSE(std::isnan(stats.output_max)) << "a maximum is over the numbers there are";
  EXPECT_TRUE(std::isnan(value_of(trace->layer_stats(1))[0].entropy_sum));
}

TEST(Recorder, AnEntropyThatIsNoNumberHidesNoExtremes) {
  const TemporaryFolder folder;
  auto recorder = value_of(Recorder::start(folder / "t.db", run_info(Shape())));
  auto block = make_block(Shape(), CaptureRequest::standard(), {0, 3, 0, 0});
  block->entropy[0] = std::nanf("");
  block->entropy[1] = 2.5f;
  block->entropy[2] = 0.5f;
  ASSERT_OK(recorder->deliver(std::move(block)));
  ASSERT_OK(recorder->finish("finished"));
  const LayerStats stats = value_of(open_trace(folder / "t.db")->layer_stats(1))[0];
  EXPECT_EQ(stats.entropy_min, 0.5);
  EXPECT_EQ(stats.entropy_max, 2.5);
  EXPECT_TRUE(std::isnan(stats.entropy_sum));
}

TEST(Recorder, ASumThatIsNotFiniteReadsAsNotMeasured) {
  const TemporaryFolder folder;
  auto recorder = value_of(Recorder::start(folder / "t.db", run_info(Shape())));
  auto block = make_block(Shape(), CaptureRequest::standard(), {0, 8, 0, 0});
  const int expert = block->expert[0];
  block->output_norm[0] = block->output_max[0] = std::numeric_limits<float>::infinity();
  ASSERT_OK(recorder->deliver(std::move(block)));
  ASSERT_OK(recorder->finish("finished"));
  const ExpertStats stats = value_of(open_trace(folder / "t.db")->expert_table(1)).at(0, expert);
  EXPECT_TRUE(std::isnan(stats.norm_sum));
  EXPECT_TRUE(std::isfinite(stats.output_max));
}

TEST(Recorder, RefusesModelsTheFormatCannotHold) {
  const TemporaryFolder folder;
  RunInfo info = run_info(Shape());
  info.hidden_size = 70000;
  const auto wide = Recorder::start(folder / "t.db", info);
  ASSERT_FALSE(wide);
  EXPECT_NE(wide.error().message.find("hidden_size is 70000"), std::string::npos);
  info = run_info(Shape());
  info.experts = 1 << 18;
  EXPECT_NE(Recorder::start(folder / "t.db", info).error().message.find("3 layers x 262144 experts"),
            std::string::npos);
  info = run_info(Shape());
  info.moe_layer.clear();
  EXPECT_FALSE(Recorder::start(folder / "t.db", info));
}

TEST(Recorder, AQueryCanBeStoppedFromAnotherThread) {
  const TemporaryFolder folder;
  auto recorder = value_of(Recorder::start(folder / "t.db", run_info(Shape())));
  for (int block = 0; block < 600; ++block)
    ASSERT_OK(deliver(*recorder, block));
  ASSERT_OK(recorder->finish("finished"));
  const auto trace = open_trace(folder / "t.db");
  // interrupt() while a query runs: from inside its visitor, as another thread would at that moment.
  int visits = 0;
  const auto status = trace->visit_expert(1, 0, 0, {}, [&](std::int64_t, const SlotRow&) {
    if (++visits == 1) trace->interrupt();
    return true;
  });
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::cancelled);
  EXPECT_OK(trace->expert_table(1));  // and the reader goes on working
}

}  // namespace
}  // namespace expertscope::testing
