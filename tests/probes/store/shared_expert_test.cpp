// SPDX-License-Identifier: GPL-3.0-or-later
// Shared experts in a trace: tables that only traces of such models have.
#include <gtest/gtest.h>

#include <cmath>

#include "probes/store/database.h"
#include "tests/probes/synthetic.h"

namespace expertscope::testing {
namespace {

/// Layer 0 is MoE with a shared expert, layer 1 dense, layer 2 MoE without one.
Shape shape_with_shared() {
  Shape shape;
  shape.shared_layer = {1, 0, 0};
  return shape;
}

/// Tokens in blocks of `step` at a time; with `commits`, each is committed before the next comes.
void record(const std::filesystem::path& file, int tokens, int step,
            const CaptureRequest& probes = CaptureRequest::standard(), bool commits = false) {
  const Shape shape = shape_with_shared();
  RecorderOptions options;
  if (commits) options.commit_interval = std::chrono::milliseconds(0);
  auto recorder = value_of(Recorder::start(file, run_info(shape, probes), options));
  for (int done = 0; done < tokens; done += step) {
    const int count = std::min(step, tokens - done);
    ASSERT_OK(recorder->deliver(make_block(shape, probes, {done, count, 0, done})));
  }
  ASSERT_OK(recorder->finish("finished"));
}

std::int64_t rows(const std::filesystem::path& file, const std::string& sql) {
  const auto database = value_of(Database::open(file, Database::Mode::read_only));
  return value_of(database->integer("SELECT count(*) FROM " + sql)).value_or(-1);
}

TEST(SharedExperts, AreAddedUpOverAllTokensAndHaveNoRoutingNumbers) {
  const TemporaryFolder folder;
  record(folder / "t.db", 700, 64);
  const Shape shape = shape_with_shared();
  const auto trace = open_trace(folder / "t.db");
  EXPECT_EQ(value_of(trace->run(1)).shared_layer, shape.shared_layer);
  const ExpertTable table = value_of(trace->expert_table(1));
  ExpertStats want;
  for (int t = 0; t < 700; ++t) {
    want.norm_sum += shared_norm_of(t, 0);
    const double value = shared_max_of(t, 0);
    if (value <= want.output_max) continue;
    want.output_max = value;
    want.output_token = t;
    want.output_channel = shared_channel_of(shape, t, 0);
  }
  ASSERT_TRUE(table.has_shared(0));
  const ExpertStats& got = table.at(0, kSharedExpert);
  EXPECT_EQ(got.count, 700);
  EXPECT_EQ(got.norm_sum, want.norm_sum);
  EXPECT_EQ(got.output_max, want.output_max);
  EXPECT_EQ(got.output_token, want.output_token);
  EXPECT_EQ(got.output_channel, want.output_channel);
  EXPECT_EQ(got.first_row_max, shared_max_of(0, 0));
  EXPECT_EQ(got.first_row_token, 0);
  EXPECT_EQ(got.weight_sum, 0);
  EXPECT_FALSE(table.has_shared(1));
  EXPECT_FALSE(table.has_shared(2)) << "a MoE layer without one";
  EXPECT_EQ(table.first_expert(2), 0);
}

TEST(SharedExperts, SumsOverTheBlobsEqualTheAggregatesToTheLastBit) {
  const TemporaryFolder folder;
  record(folder / "t.db", 1000, 33);
  const auto trace = open_trace(folder / "t.db");
  expect_same_table(value_of(trace->expert_table(1)), value_of(trace->expert_table(1, TokenRange{})));
}

TEST(SharedExperts, ARangeCutsInsideABlock) {
  const TemporaryFolder folder;
  record(folder / "t.db", 600, 256);
  const ExpertTable part = value_of(open_trace(folder / "t.db")->expert_table(1, {200, 531}));
  double sum = 0;
  for (int t = 200; t < 531; ++t)
    sum += shared_norm_of(t, 0);
  EXPECT_EQ(part.at(0, kSharedExpert).count, 331);
  EXPECT_EQ(part.at(0, kSharedExpert).norm_sum, sum);
  EXPECT_EQ(part.at(0, kSharedExpert).first_row_max, shared_max_of(200, 0));
}

TEST(SharedExperts, ARunCommittedTokenByTokenHasFullBlocksInTheEnd) {
  const TemporaryFolder folder;
  record(folder / "t.db", 300, 1, CaptureRequest::standard(), true);
  EXPECT_EQ(rows(folder / "t.db",
                 "column_block WHERE column = (SELECT id FROM column WHERE name = "
                 "'shared_max')"),
            2);
  const auto trace = open_trace(folder / "t.db");
  expect_same_table(value_of(trace->expert_table(1)), value_of(trace->expert_table(1, TokenRange{})));
}

TEST(SharedExperts, StandBehindTheSlotsOfTheirLayer) {
  const TemporaryFolder folder;
  record(folder / "t.db", 300, 300);
  const auto slots = value_of(open_trace(folder / "t.db")->token_slots(1, 290));
  ASSERT_EQ(slots.size(), 5u) << "two slots a layer, and the shared expert of layer 0";
  const SlotRow& shared = slots[2];
  EXPECT_EQ(shared.layer, 0);
  EXPECT_EQ(shared.expert, kSharedExpert);
  EXPECT_EQ(shared.slot, -1);
  EXPECT_EQ(shared.output_norm, shared_norm_of(290, 0));
  EXPECT_EQ(shared.output_max, shared_max_of(290, 0));
  EXPECT_EQ(shared.output_channel, shared_channel_of(shape_with_shared(), 290, 0));
  EXPECT_TRUE(std::isnan(shared.weight) && std::isnan(shared.probability));
  EXPECT_EQ(slots[3].layer, 2);
}

TEST(SharedExperts, AreVisitedTokenByToken) {
  const TemporaryFolder folder;
  record(folder / "t.db", 400, 50);
  const auto trace = open_trace(folder / "t.db");
  std::int64_t next = 250;
  EXPECT_OK(trace->visit_expert(1, 0, kSharedExpert, {250, 270}, [&](std::int64_t token, const SlotRow& row) {
    EXPECT_EQ(token, next++);
    EXPECT_EQ(row.expert, kSharedExpert);
    EXPECT_EQ(row.output_max, shared_max_of(static_cast<int>(token), 0));
    return true;
  }));
  EXPECT_EQ(next, 270);
  for (const int layer : {-1, 1, 2, 9}) {
    const auto never = [](std::int64_t, const SlotRow&) {
      ADD_FAILURE() << "a layer without a shared expert";
      return true;
    };
    EXPECT_OK(trace->visit_expert(1, layer, kSharedExpert, {}, never));
  }
}

TEST(SharedExperts, WithoutTheProbeReadAsNotMeasured) {
  const TemporaryFolder folder;
  CaptureRequest probes;
  probes.routing = true;
  record(folder / "t.db", 300, 10, probes);
  const ExpertTable table = value_of(open_trace(folder / "t.db")->expert_table(1));
  EXPECT_TRUE(table.has_shared(0)) << "the model has one all the same";
  EXPECT_EQ(table.at(0, kSharedExpert).count, 0);
  EXPECT_EQ(table.at(0, kSharedExpert).output_channel, -1);
}

TEST(SharedExperts, OtherTracesHaveNoTableForThem) {
  const TemporaryFolder folder;
  const Shape shape;
  const auto plain = [&] {
    auto recorder = value_of(Recorder::start(folder / "t.db", run_info(shape)));
    ASSERT_OK(recorder->deliver(make_block(shape, CaptureRequest::standard(), {0, 20, 0, 0})));
    ASSERT_OK(recorder->finish("finished"));
  };
  plain();
  EXPECT_EQ(rows(folder / "t.db", "sqlite_schema WHERE name LIKE 'shared%'"), 0);
  EXPECT_TRUE(value_of(open_trace(folder / "t.db")->expert_table(1)).shared.empty());
  record(folder / "t.db", 20, 20);
  plain();
  const auto trace = open_trace(folder / "t.db");
  EXPECT_FALSE(value_of(trace->expert_table(1)).has_shared(0));
  EXPECT_TRUE(value_of(trace->expert_table(2)).has_shared(0));
  EXPECT_FALSE(value_of(trace->expert_table(3)).has_shared(0));
}

TEST(SharedExperts, ACaptureOfAnotherModelIsRefused) {
  const TemporaryFolder folder;
  auto recorder = value_of(Recorder::start(folder / "t.db", run_info(shape_with_shared())));
  (void)recorder->deliver(make_block(Shape(), CaptureRequest::standard(), {0, 5, 0, 0}));
  const auto finished = recorder->finish("finished");
  ASSERT_FALSE(finished);
  EXPECT_EQ(finished.error().code, ErrorCode::mismatch);
}

}  // namespace
}  // namespace expertscope::testing
