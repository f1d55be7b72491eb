// SPDX-License-Identifier: GPL-3.0-or-later
// What goes into a recorder comes out of a reader.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <thread>

#include "tests/probes/synthetic.h"

namespace expertscope::testing {
namespace {

RecorderOptions words() {
  RecorderOptions options;
  options.token_bytes = [](std::int32_t id) { return "<" + std::to_string(id) + ">"; };
  return options;
}

// Delivers `total` tokens of one sequence in blocks of `step`, beginning at token `first`.
void deliver(Recorder& recorder, const Shape& shape, const CaptureRequest& probes, int total, int step,
             int first = 0) {
  for (int done = 0; done < total; done += step) {
    const int tokens = std::min(step, total - done);
    ASSERT_OK(recorder.deliver(
        make_block(shape, probes, {first + done, tokens, 0, first + done}, recorder.acquire())));
  }
}

struct Recorded {
  std::filesystem::path file;
  std::int64_t run = 0;
};

Recorded record(const TemporaryFolder& folder, int tokens, int step,
                const CaptureRequest& probes = CaptureRequest::standard()) {
  const Shape shape;
  Recorded recorded{folder / "trace.db", 0};
  auto recorder = value_of(Recorder::start(recorded.file, run_info(shape, probes), words()));
  deliver(*recorder, shape, probes, tokens, step);
  EXPECT_OK(recorder->finish("finished"));
  recorded.run = recorder->run_id();
  return recorded;
}

TEST(Trace, KeepsWhatARunWasMadeWith) {
  const TemporaryFolder folder;
  const Shape shape;
  RunInfo info = run_info(shape);
  info.kind = "generate";
  info.prompt = "In the beginning";
  info.sampling = R"({"temperature":0})";
  auto recorder = value_of(Recorder::start(folder / "t.db", info));
  EXPECT_OK(recorder->finish("stopped", "by the user", "God created"));

  const auto run = value_of(open_trace(folder / "t.db")->run(recorder->run_id()));
  EXPECT_EQ(run.kind, "generate");
  EXPECT_EQ(run.status, "stopped");
  EXPECT_EQ(run.message, "by the user");
  EXPECT_EQ(run.text, "God created");
  EXPECT_EQ(run.prompt, "In the beginning");
  EXPECT_EQ(run.sampling, R"({"temperature":0})");
  EXPECT_EQ(run.model.path, "/models/synthetic");
  EXPECT_EQ(run.model.name, "synthetic");
  EXPECT_EQ(run.model.config_sha256, "c0ffee");
  EXPECT_EQ(run.model.tensor_count, 42);
  EXPECT_EQ(run.model.total_bytes, 123456);
  EXPECT_EQ(run.architecture, "Qwen3MoeForCausalLM");
  EXPECT_EQ(run.layers, 3);
  EXPECT_EQ(run.experts, 6);
  EXPECT_EQ(run.top_k, 2);
  EXPECT_EQ(run.hidden_size, 64);
  EXPECT_EQ(run.moe_layer, shape.moe_layer);
  EXPECT_EQ(run.program_version, "0.1.0");
  EXPECT_EQ(run.backend, "CPU f32 (test)");
  EXPECT_EQ(run.backend_reason, "asked for");
  EXPECT_EQ(run.math, "f32");
  EXPECT_EQ(run.dataset, "data.txt");
  EXPECT_EQ(run.dataset_sha256, "da7a");
  EXPECT_TRUE(run.probes.routing && run.probes.expert_output && run.probes.hidden && run.probes.entropy &&
              run.probes.log_prob);
  EXPECT_FALSE(run.probes.router_logits);
  EXPECT_EQ(run.tokens, 0);
  EXPECT_EQ(run.started_at.size(), std::string("2026-01-01T00:00:00Z").size());
}

TEST(Trace, GivesBackEveryTokenAndSlot) {
  const TemporaryFolder folder;
  const Shape shape;
  const auto [file, run] = record(folder, 600, 100);
  const auto trace = open_trace(file);

  const auto tokens = value_of(trace->tokens(run, {}));
  ASSERT_EQ(tokens.size(), 600u);
  for (int t = 0; t < 600; ++t) {
    const TokenRow& row = tokens[static_cast<std::size_t>(t)];
    ASSERT_EQ(row.index, t);
    ASSERT_EQ(row.position, t);
    ASSERT_EQ(row.sequence, 0);
    ASSERT_EQ(row.id, t % 97);
    ASSERT_EQ(row.bytes, "<" + std::to_string(t % 97) + ">");
    ASSERT_EQ(row.log_prob, log_prob_of(t));
    ASSERT_FALSE(row.generated);
  }
  for (const int token : {0, 255, 256, 599}) {
    const auto slots = value_of(trace->token_slots(run, token));
    ASSERT_EQ(slots.size(), 4u);
    for (int i = 0; i < 4; ++i) {
      const SlotRow& row = slots[static_cast<std::size_t>(i)];
      const int moe = i / 2;
      const int slot = i % 2;
      EXPECT_EQ(row.layer, moe * 2);
      EXPECT_EQ(row.slot, slot);
      EXPECT_EQ(row.expert, expert_of(shape, token, moe, slot));
      EXPECT_EQ(row.weight, weight_of(token, moe, slot));
      EXPECT_EQ(row.probability, probability_of(token, moe, slot));
      EXPECT_EQ(row.output_norm, norm_of(token, moe, slot));
      EXPECT_EQ(row.output_max, output_max_of(token, moe, slot));
      EXPECT_EQ(row.output_channel, channel_of(shape, token, moe, slot));
    }
  }
  EXPECT_TRUE(value_of(trace->token_slots(run, 600)).empty());
  EXPECT_TRUE(value_of(trace->token_slots(run, -1)).empty());
}

TEST(Trace, AggregatesAreTheSumsOverTheTokens) {
  const TemporaryFolder folder;
  const Shape shape;
  const auto [file, run] = record(folder, 700, 64);
  const ExpertTable table = value_of(open_trace(file)->expert_table(run));
  EXPECT_EQ(table.tokens, 700);
  for (int moe = 0; moe < 2; ++moe) {
    for (int expert = 0; expert < shape.experts; ++expert) {
      ExpertStats want;
      bool seen = false;
      for (int t = 0; t < 700; ++t) {
        for (int s = 0; s < 2; ++s) {
          if (expert_of(shape, t, moe, s) != expert) continue;
          ++want.count;
          want.weight_sum += weight_of(t, moe, s);
          want.probability_sum += probability_of(t, moe, s);
          want.norm_sum += norm_of(t, moe, s);
          want.weighted_norm_sum += double{weight_of(t, moe, s)} * double{norm_of(t, moe, s)};
          const double value = output_max_of(t, moe, s);
          if (!seen) want.first_row_max = value;
          seen = true;
          if (value > want.output_max) {
            want.output_max = value;
            want.output_token = t;
            want.output_channel = channel_of(shape, t, moe, s);
          }
        }
      }
      SCOPED_TRACE("layer " + std::to_string(2 * moe) + ", expert " + std::to_string(expert));
      const ExpertStats& got = table.at(2 * moe, expert);
      EXPECT_EQ(got.count, want.count);
      EXPECT_DOUBLE_EQ(got.weight_sum, want.weight_sum);
      EXPECT_DOUBLE_EQ(got.probability_sum, want.probability_sum);
      EXPECT_DOUBLE_EQ(got.norm_sum, want.norm_sum);
      EXPECT_DOUBLE_EQ(got.weighted_norm_sum, want.weighted_norm_sum);
      EXPECT_EQ(got.output_max, want.output_max);
      EXPECT_EQ(got.output_token, want.output_token);
      EXPECT_EQ(got.output_channel, want.output_token < 0 ? -1 : want.output_channel);
      EXPECT_EQ(got.first_row_max, want.first_row_max);
    }
  }
  for (int expert = 0; expert < shape.experts; ++expert)
    EXPECT_EQ(table.at(1, expert).count, 0);
}

TEST(Trace, SumsOverTheBlobsEqualTheAggregatesToTheLastBit) {
  const TemporaryFolder folder;
  const auto [file, run] = record(folder, 1000, 33);
  const auto trace = open_trace(file);
  expect_same_table(value_of(trace->expert_table(run)), value_of(trace->expert_table(run, TokenRange{})));
}

TEST(Trace, ARangeCutsInsideABlock) {
  const TemporaryFolder folder;
  const Shape shape;
  const auto [file, run] = record(folder, 600, 256);
  const auto trace = open_trace(file);
  const ExpertTable part = value_of(trace->expert_table(run, {200, 531}));
  EXPECT_EQ(part.tokens, 331);
  std::map<int, std::int64_t> count;
  for (int t = 200; t < 531; ++t) {
    for (int s = 0; s < 2; ++s)
      ++count[expert_of(shape, t, 1, s)];
  }
  for (int e = 0; e < shape.experts; ++e)
    EXPECT_EQ(part.at(2, e).count, count[e]) << "expert " << e;

  EXPECT_EQ(value_of(trace->expert_table(run, {100, 100})).tokens, 0);
  EXPECT_EQ(value_of(trace->expert_table(run, {5000, 6000})).tokens, 0);
  EXPECT_EQ(value_of(trace->expert_table(run, {300, 100})).tokens, 0);
  EXPECT_EQ(value_of(trace->expert_table(run, {INT64_MIN, 10})).tokens, 10);
  EXPECT_EQ(value_of(trace->tokens(run, {590, 1000})).size(), 10u);
}

TEST(Trace, FirstRowMaxCountsTheFirstTokenOfEachSequence) {
  // One expert, three sequences in two cache slots: the largest first row wins, the largest row does not.
  const TemporaryFolder folder;
  Shape shape;
  shape.moe_layer = {1};
  shape.experts = 2;
  shape.slots = 1;
  const CaptureRequest probes = CaptureRequest::standard();
  auto recorder = value_of(Recorder::start(folder / "t.db", run_info(shape)));
  auto block = make_block(shape, probes, {0, 6, 0, 0});
  block->sequence = {0, 0, 1, 1, 0, 0};
  block->position = {0, 1, 0, 1, 0, 1};
  block->expert = {0, 0, 1, 0, 0, 0};
  block->output_max = {3, 90, 50, 4, 5, 80};
  ASSERT_OK(recorder->deliver(std::move(block)));
  ASSERT_OK(recorder->finish("finished"));

  const auto trace = open_trace(folder / "t.db");
  const ExpertTable table = value_of(trace->expert_table(1));
  EXPECT_EQ(table.at(0, 0).output_max, 90);
  EXPECT_EQ(table.at(0, 0).first_row_max, 5);
  EXPECT_EQ(table.at(0, 0).first_row_token, 4);
  EXPECT_EQ(table.at(0, 1).first_row_max, 50);
  expect_same_table(table, value_of(trace->expert_table(1, TokenRange{})));
  EXPECT_EQ(value_of(trace->sequences(1)).size(), 3u);
}

TEST(Trace, VisitsTheSlotsOfAnExpertInOrderAndStops) {
  const TemporaryFolder folder;
  const Shape shape;
  const auto [file, run] = record(folder, 400, 50);
  const auto trace = open_trace(file);
  std::vector<std::int64_t> want;
  for (int t = 100; t < 300; ++t) {
    for (int s = 0; s < 2; ++s) {
      if (expert_of(shape, t, 1, s) == 3) want.push_back(t);
    }
  }
  std::vector<std::int64_t> got;
  EXPECT_OK(trace->visit_expert(run, 2, 3, {100, 300}, [&](std::int64_t token, const SlotRow& row) {
    EXPECT_EQ(row.layer, 2);
    EXPECT_EQ(row.expert, 3);
    EXPECT_EQ(row.weight, weight_of(static_cast<int>(token), 1, row.slot));
    got.push_back(token);
    return true;
  }));
  EXPECT_EQ(got, want);
  int visits = 0;
  EXPECT_OK(trace->visit_expert(run, 2, 3, {}, [&](std::int64_t, const SlotRow&) { return ++visits < 5; }));
  EXPECT_EQ(visits, 5);
}

TEST(Trace, GivesEntropyAndHiddenMaximaOfARange) {
  const TemporaryFolder folder;
  const auto [file, run] = record(folder, 520, 260);
  const auto trace = open_trace(file);
  const auto entropy = value_of(trace->entropy(run, 2, {250, 270}));
  const auto hidden = value_of(trace->hidden_max(run, 1, {250, 270}));
  ASSERT_EQ(entropy.size(), 20u);
  ASSERT_EQ(hidden.size(), 20u);
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(entropy[static_cast<std::size_t>(i)], entropy_of(250 + i, 1));
    EXPECT_EQ(hidden[static_cast<std::size_t>(i)], hidden_max_of(250 + i, 1));
  }
  const auto dense = value_of(trace->entropy(run, 1, {0, 3}));
  ASSERT_EQ(dense.size(), 3u);
  EXPECT_TRUE(std::isnan(dense[0]));
}

TEST(Trace, KeepsFullRouterLogitsOnRequest) {
  const TemporaryFolder folder;
  CaptureRequest probes;
  probes.router_logits = true;
  const auto [file, run] = record(folder, 300, 300, probes);
  const auto trace = open_trace(file);
  const auto logits = value_of(trace->router_logits(run, 2, 290));
  ASSERT_EQ(logits.size(), 6u);
  for (int e = 0; e < 6; ++e)
    EXPECT_EQ(logits[static_cast<std::size_t>(e)], 2900.5f + static_cast<float>(e));
  EXPECT_TRUE(value_of(trace->router_logits(run, 1, 290)).empty());
  EXPECT_TRUE(value_of(trace->router_logits(run, 2, 300)).empty());
}

TEST(Trace, ProbesThatDidNotRunLeaveNothing) {
  const TemporaryFolder folder;
  CaptureRequest probes;
  probes.routing = true;
  const auto [file, run] = record(folder, 300, 10, probes);
  const auto trace = open_trace(file);
  const ExpertTable table = value_of(trace->expert_table(run));
  EXPECT_GT(table.at(0, 0).count, 0);
  EXPECT_GT(table.at(0, 0).weight_sum, 0);
  EXPECT_EQ(table.at(0, 0).norm_sum, 0);
  EXPECT_EQ(table.at(0, 0).output_channel, -1);
  EXPECT_TRUE(std::isnan(value_of(trace->entropy(run, 0, {}))[0]));
  EXPECT_FALSE(value_of(trace->tokens(run, {}))[0].log_prob.has_value());
  expect_same_table(table, value_of(trace->expert_table(run, TokenRange{})));
}

TEST(Trace, LeavesEmptySlotsOut) {
  const TemporaryFolder folder;
  const Shape shape;
  auto recorder = value_of(Recorder::start(folder / "t.db", run_info(shape)));
  auto block = make_block(shape, CaptureRequest::standard(), {0, 3, 0, 0});
  block->expert[block->slot_index(1, 1, 0)] = kNoExpert;
  ASSERT_OK(recorder->deliver(std::move(block)));
  ASSERT_OK(recorder->finish("finished"));
  const auto trace = open_trace(folder / "t.db");
  EXPECT_EQ(value_of(trace->token_slots(1, 1)).size(), 3u);
  EXPECT_EQ(value_of(trace->token_slots(1, 1))[2].slot, 1);
}

TEST(Trace, SlotsPerTokenMayChangeInTheMiddle) {
  const TemporaryFolder folder;
  Shape two;
  Shape four;
  four.slots = 4;
  const CaptureRequest probes = CaptureRequest::standard();
  auto recorder = value_of(Recorder::start(folder / "t.db", run_info(two)));
  deliver(*recorder, two, probes, 10, 1);
  deliver(*recorder, four, probes, 300, 20, 10);
  deliver(*recorder, two, probes, 5, 5, 310);
  ASSERT_OK(recorder->finish("finished"));
  const auto trace = open_trace(folder / "t.db");
  EXPECT_EQ(value_of(trace->token_slots(1, 9)).size(), 4u);
  EXPECT_EQ(value_of(trace->token_slots(1, 10)).size(), 8u);
  EXPECT_EQ(value_of(trace->token_slots(1, 314)).size(), 4u);
  EXPECT_EQ(value_of(trace->tokens(1, {})).size(), 315u);
  expect_same_table(value_of(trace->expert_table(1)), value_of(trace->expert_table(1, TokenRange{})));
}

TEST(Trace, MarksPolicyChangesWithTheirFirstToken) {
  const TemporaryFolder folder;
  const Shape shape;
  const CaptureRequest probes = CaptureRequest::standard();
  const std::string prune = R"({"version":1,"edits":[{"op":"prune","layer":0,"expert":3,"mode":"mask"}]})";
  const std::string none = R"({"version":1,"edits":[]})";
  auto recorder = value_of(Recorder::start(folder / "t.db", run_info(shape)));
  const auto deliver_with = [&](int first, int tokens, std::shared_ptr<const RoutingTable> table) {
    auto block = make_block(shape, probes, {first, tokens, 0, first}, recorder->acquire());
    block->table = std::move(table);
    ASSERT_OK(recorder->deliver(std::move(block)));
  };
  deliver_with(0, 4, nullptr);
  deliver_with(4, 1, table_of(""));  // the model's own routing under another name: no change
  deliver_with(5, 3, table_of(prune));
  deliver_with(8, 1, table_of(prune));  // compiled again, the same policy: no change
  deliver_with(9, 1, table_of(none));
  ASSERT_OK(recorder->finish("finished"));
  const auto changes = value_of(open_trace(folder / "t.db")->policy_changes(1));
  ASSERT_EQ(changes.size(), 2u);
  EXPECT_EQ(changes[0].token, 5);
  EXPECT_EQ(changes[0].policy_json, prune);
  EXPECT_EQ(changes[1].token, 9);
  EXPECT_EQ(changes[1].policy_json, none);
}

TEST(Trace, MarksGeneratedTokensAndSequences) {
  const TemporaryFolder folder;
  const Shape shape;
  const CaptureRequest probes = CaptureRequest::standard();
  auto recorder = value_of(Recorder::start(folder / "t.db", run_info(shape)));
  recorder->set_domain(0, "prose");
  ASSERT_OK(recorder->deliver(make_block(shape, probes, {0, 5, 0, 0})));
  recorder->mark_generated();
  ASSERT_OK(recorder->deliver(make_block(shape, probes, {5, 1, 0, 5})));
  recorder->set_domain(0, "code");
  ASSERT_OK(recorder->deliver(make_block(shape, probes, {6, 2, 0, 0})));
  ASSERT_OK(recorder->finish("finished"));
  const auto trace = open_trace(folder / "t.db");
  const auto tokens = value_of(trace->tokens(1, {}));
  ASSERT_EQ(tokens.size(), 8u);
  EXPECT_FALSE(tokens[4].generated);
  EXPECT_TRUE(tokens[5].generated);
  EXPECT_EQ(tokens[5].sequence, 0);
  EXPECT_EQ(tokens[6].sequence, 1);
  const auto sequences = value_of(trace->sequences(1));
  ASSERT_EQ(sequences.size(), 2u);
  EXPECT_EQ(sequences[0].domain, "prose");
  EXPECT_EQ(sequences[1].domain, "code");
  EXPECT_EQ(sequences[1].first_token, 6);
}

TEST(Trace, HoldsManyRuns) {
  const TemporaryFolder folder;
  const Shape shape;
  for (int i = 1; i <= 3; ++i) {
    auto recorder = value_of(Recorder::start(folder / "t.db", run_info(shape)));
    deliver(*recorder, shape, CaptureRequest::standard(), 10 * i, 10);
    ASSERT_OK(recorder->finish("finished"));
    EXPECT_EQ(recorder->run_id(), i);
  }
  const auto trace = open_trace(folder / "t.db");
  const auto runs = value_of(trace->runs());
  ASSERT_EQ(runs.size(), 3u);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(runs[i].tokens, static_cast<std::int64_t>(10 * (i + 1)));
    EXPECT_EQ(value_of(trace->tokens(runs[i].id, {})).size(), 10 * (i + 1));
  }
  const auto missing = trace->run(9);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::invalid_argument);
  EXPECT_NE(missing.error().message.find("no run 9"), std::string::npos);
}

TEST(Trace, ReadingLeavesNothingBesideTheFile) {
  const TemporaryFolder folder;
  const auto [file, run] = record(folder, 300, 300);
  {
    const auto first = open_trace(file);
    const auto second = open_trace(file);
    EXPECT_EQ(value_of(second->tokens(run, {})).size(), 300u);
  }
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path()))
    names.push_back(entry.path().filename().string());
  EXPECT_EQ(names, std::vector<std::string>{file.filename().string()});
}

TEST(Trace, ASnapshotSeesOneStateAlthoughARunIsAdded) {
  const TemporaryFolder folder;
  const Shape shape;
  const auto record_run = [&] {
    auto recorder = value_of(Recorder::start(folder / "t.db", run_info(shape)));
    deliver(*recorder, shape, CaptureRequest::standard(), 10, 10);
    ASSERT_OK(recorder->finish("finished"));
  };
  record_run();
  const auto trace = open_trace(folder / "t.db");
  {
    const TraceReader::Snapshot one_state(*trace);
    EXPECT_EQ(value_of(trace->runs()).size(), 1u);
    record_run();
    const TraceReader::Snapshot inner(*trace);
    EXPECT_EQ(value_of(trace->runs()).size(), 1u);
  }
  EXPECT_EQ(value_of(trace->runs()).size(), 2u);
}

TEST(Trace, TokensDecodedOneByOneEndUpInFullBlocks) {
  // Committed after nearly every token, as a slow generation is; what is left is as if written at once.
  const TemporaryFolder folder;
  const Shape shape;
  RecorderOptions options;
  options.commit_interval = std::chrono::milliseconds(0);
  auto recorder = value_of(Recorder::start(folder / "slow.db", run_info(shape), options));
  deliver(*recorder, shape, CaptureRequest::standard(), 300, 1);
  ASSERT_OK(recorder->finish("finished"));
  const auto [file, run] = record(folder, 300, 300);
  const auto slow = open_trace(folder / "slow.db");
  const auto quick = open_trace(file);
  expect_same_table(value_of(slow->expert_table(1)), value_of(quick->expert_table(run)));
  expect_same_table(value_of(slow->expert_table(1)), value_of(slow->expert_table(1, TokenRange{})));
  EXPECT_EQ(value_of(slow->tokens(1, {})).size(), 300u);
}

TEST(Trace, IsReadWhileItIsRecorded) {
  const TemporaryFolder folder;
  const Shape shape;
  RecorderOptions options;
  options.commit_interval = std::chrono::milliseconds(1);
  auto recorder = value_of(Recorder::start(folder / "t.db", run_info(shape), options));
  const auto trace = open_trace(folder / "t.db");
  EXPECT_EQ(value_of(trace->run(1)).status, "recording");
  for (int i = 0; i < 60; ++i) {
    deliver(*recorder, shape, CaptureRequest::standard(), 20, 3, 20 * i);
    const auto table = trace->expert_table(1, TokenRange{});
    ASSERT_OK(table);
    EXPECT_EQ(static_cast<std::int64_t>(value_of(trace->entropy(1, 0, {0, table->tokens})).size()),
              table->tokens);
  }
  ASSERT_OK(recorder->finish("finished"));
  EXPECT_EQ(value_of(trace->run(1)).status, "finished");
  EXPECT_EQ(value_of(trace->expert_table(1)).tokens, 1200);
}

TEST(Trace, CommitsAlsoWhenNothingMoreArrives) {
  const TemporaryFolder folder;
  const Shape shape;
  auto recorder = value_of(Recorder::start(folder / "t.db", run_info(shape)));
  deliver(*recorder, shape, CaptureRequest::standard(), 5, 5);
  const auto trace = open_trace(folder / "t.db");
  // Waits for the recorder's clock; a trace that never commits fails by the count below.
  for (int i = 0; i < 1000 && value_of(trace->run(1)).tokens < 5; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_EQ(value_of(trace->tokens(1, {})).size(), 5u);
  ASSERT_OK(recorder->finish("finished"));
}

}  // namespace
}  // namespace expertscope::testing
