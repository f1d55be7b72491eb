// SPDX-License-Identifier: GPL-3.0-or-later
// One query, one consistent answer; what cannot have changed is not read twice.
#include "views/models/trace_view.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "tests/gui/models/trace_file.h"

namespace expertscope::testing {
namespace {

class TraceViewTest : public ::testing::Test {
 protected:
  std::filesystem::path file() const { return folder_ / "trace.db"; }
  TraceView read(const TraceQuery& query, const TraceView* previous = nullptr) {
    return value_of(read_trace_view(*open_trace(file()), query, previous));
  }
  TemporaryFolder folder_;
  const Shape shape_;
};

TEST_F(TraceViewTest, ShowsTheNewestRunUnlessAskedForAnother) {
  const std::int64_t first = record_run(file(), 10);
  const std::int64_t second = record_run(file(), 20);
  const TraceView newest = read({});
  ASSERT_EQ(newest.runs->size(), 2u);
  EXPECT_EQ(newest.runs->front().id, second);
  EXPECT_EQ(newest.run->run.id, second);
  EXPECT_EQ(newest.run->table.tokens, 20);
  TraceQuery query;
  query.run = first;
  EXPECT_EQ(read(query).run->run.id, first);
  query.run = 99;
  EXPECT_EQ(read(query).run, nullptr);
}

TEST_F(TraceViewTest, AnswersWithTheAnalysesOfTheRun) {
  record_run(file(), 20);
  const TraceView view = read({});
  ASSERT_EQ(view.run->load.layers.size(), 2u);
  EXPECT_EQ(view.run->load.layers[1].layer, 2);
  EXPECT_EQ(view.run->load.layers[0].dead_experts, 1);
  EXPECT_EQ(view.run->entropy.layers.size(), 2u);
  EXPECT_FALSE(view.run->super_experts.ranking.empty());
  EXPECT_EQ(view.expert, nullptr);
  EXPECT_EQ(view.token, nullptr);
  EXPECT_EQ(view.baseline, nullptr);
}

TEST_F(TraceViewTest, TheTimeFilterNarrowsTheTableAndTheExpert) {
  record_run(file(), 40);
  TraceQuery query;
  query.range = {10, 15};
  query.cell = {0, 0};
  const TraceView view = read(query);
  EXPECT_EQ(view.run->table.tokens, 5);
  EXPECT_EQ(view.expert->covered.begin, 10);
  EXPECT_EQ(view.expert->covered.end, 15);
  EXPECT_EQ(view.expert->load_in_time.size(), 5u);
  for (const RoutedToken& routed : view.expert->top) {
    EXPECT_GE(routed.token, 10);
    EXPECT_LT(routed.token, 15);
  }
  EXPECT_EQ(view.tokens->tokens.size(), 40u) << "the strip shows the whole run";
}

TEST_F(TraceViewTest, AnExpertsDetailsFollowFromItsSlots) {
  record_run(file(), 40);
  TraceQuery query;
  query.cell = {2, 3};
  const auto expert = read(query).expert;
  ASSERT_NE(expert, nullptr);
  std::vector<float> weights(40, 0.0f);
  for (int token = 0; token < 40; ++token) {
    for (int slot = 0; slot < 2; ++slot) {
      if (expert_of(shape_, token, 1, slot) == 3) weights[token] += weight_of(token, 1, slot);
    }
  }
  EXPECT_EQ(expert->first_token, 0);
  EXPECT_EQ(expert->weights, weights);
  EXPECT_EQ(expert->stats.count,
            std::count_if(weights.begin(), weights.end(), [](float w) { return w > 0; }));
  EXPECT_DOUBLE_EQ(expert->share, static_cast<double>(expert->stats.count) / 80);
  ASSERT_EQ(expert->load_in_time.size(), 40u);
  EXPECT_FLOAT_EQ(std::accumulate(expert->load_in_time.begin(), expert->load_in_time.end(), 0.0f),
                  static_cast<float>(expert->stats.count));
}

TEST_F(TraceViewTest, TheTopTokensComeByWeightWithTheTextAroundThem) {
  record_run(file(), 60);
  TraceQuery query;
  query.cell = {0, 1};
  const auto expert = read(query).expert;
  ASSERT_EQ(expert->top.size(), 12u);
  EXPECT_TRUE(std::is_sorted(expert->top.begin(), expert->top.end(),
                             [](const auto& a, const auto& b) { return a.slot.weight > b.slot.weight; }));
  const float heaviest = *std::max_element(expert->weights.begin(), expert->weights.end());
  EXPECT_EQ(expert->top.front().slot.weight, heaviest);
  for (const RoutedToken& routed : expert->top) {
    EXPECT_EQ(routed.bytes, std::to_string(routed.token) + " ");
    if (routed.token >= 6) {
      EXPECT_EQ(routed.before.substr(0, routed.before.find(' ')), std::to_string(routed.token - 6));
    }
  }
}

TEST_F(TraceViewTest, RanksAnExpertAmongItsNeighbours) {
  record_run(file(), 40);
  TraceQuery query;
  query.cell = {0, 5};
  const auto last = read(query).expert;
  EXPECT_EQ(last->rank, 6) << "expert 5 is never used";
  EXPECT_EQ(last->experts, 6);
  EXPECT_EQ(last->neighbours.size(), 5u);
  EXPECT_EQ(last->neighbours.back(), 5);
  EXPECT_EQ(last->stats.output_channel, -1);
  EXPECT_TRUE(last->top.empty());
}

TEST_F(TraceViewTest, TheOutlierNamesItsToken) {
  record_run(file(), 40);
  TraceQuery query;
  query.cell = {0, 2};
  const auto expert = read(query).expert;
  ASSERT_GE(expert->stats.output_token, 0);
  EXPECT_EQ(expert->output_token_bytes, std::to_string(expert->stats.output_token) + " ");
}

TEST_F(TraceViewTest, ACellWithoutARouterHasNoDetails) {
  record_run(file(), 10);
  TraceQuery query;
  for (const Cell cell : {Cell{1, 0}, Cell{0, 6}, Cell{7, 0}}) {
    query.cell = cell;
    EXPECT_EQ(read(query).expert, nullptr);
  }
}

TEST_F(TraceViewTest, ASharedExpertsDetailsAreThoseOfItsOutputs) {
  Shape shape;
  shape.shared_layer = {1, 0, 0};
  auto recorder = value_of(Recorder::start(file(), run_info(shape), readable_tokens()));
  ASSERT_OK(recorder->deliver(make_block(shape, CaptureRequest::standard(), {0, 40, 0, 0})));
  ASSERT_OK(recorder->finish("finished"));
  TraceQuery query;
  query.cell = {0, kSharedExpert};
  query.token = 7;
  const TraceView view = read(query);
  ASSERT_NE(view.expert, nullptr);
  EXPECT_EQ(view.expert->stats.count, 40);
  EXPECT_TRUE(view.expert->load_in_time.empty());
  EXPECT_TRUE(view.expert->neighbours.empty());
  ASSERT_EQ(view.expert->top.size(), 12u);
  EXPECT_EQ(view.expert->top[0].token, view.expert->stats.output_token) << "the largest output comes first";
  EXPECT_GE(view.expert->top[0].slot.output_max, view.expert->top[1].slot.output_max);
  EXPECT_EQ(view.expert->weights[7], shared_max_of(7, 0)) << "what the strip is coloured by";
  EXPECT_EQ(view.token->slots.size(), 5u);
  query.cell = {2, kSharedExpert};
  EXPECT_EQ(read(query).expert, nullptr) << "a layer without one";
}

TEST_F(TraceViewTest, ATokenShowsItsSlotsInEveryLayer) {
  record_run(file(), 10);
  TraceQuery query;
  query.token = 7;
  const auto token = read(query).token;
  ASSERT_NE(token, nullptr);
  EXPECT_EQ(token->token.id, 7);
  ASSERT_EQ(token->slots.size(), 4u);
  EXPECT_EQ(token->slots[0].expert, expert_of(shape_, 7, 0, 0));
  EXPECT_EQ(token->slots[3].layer, 2);
  EXPECT_EQ(token->slots[3].expert, expert_of(shape_, 7, 1, 1));
  query.token = 10;
  EXPECT_EQ(read(query).token, nullptr);
}

TEST_F(TraceViewTest, TheStripShowsTheEndOfALongRunOrThePageAskedFor) {
  record_run(file(), 2500);
  const TraceView end = read({});
  EXPECT_EQ(end.tokens->total, 2500);
  ASSERT_EQ(end.tokens->tokens.size(), 2000u);
  EXPECT_EQ(end.tokens->tokens.front().index, 500);
  TraceQuery query;
  query.page = 100;
  query.cell = {0, 0};
  const TraceView page = read(query);
  EXPECT_EQ(page.tokens->tokens.front().index, 100);
  EXPECT_EQ(page.expert->first_token, 100);
  EXPECT_EQ(page.expert->weights.size(), 2000u);
}

TEST_F(TraceViewTest, PartsOfAFinishedRunAreShared) {
  record_run(file(), 40);
  TraceQuery query;
  query.cell = {0, 1};
  const TraceView first = read(query);
  query.token = 5;
  const TraceView second = read(query, &first);
  EXPECT_EQ(second.run, first.run);
  EXPECT_EQ(second.tokens, first.tokens);
  EXPECT_EQ(second.expert, first.expert);
  query.cell = {0, 2};
  EXPECT_NE(read(query, &second).expert, first.expert);
}

TEST_F(TraceViewTest, ARunThatGrewIsReadAgainButItsOldTokensAreNot) {
  auto recorder = start_run(file());
  deliver_tokens(*recorder, 0, 10);
  ASSERT_OK(recorder->finish("finished"));
  const TraceView first = read({});
  const std::int64_t second_run = record_run(file(), 30);
  TraceQuery query;
  query.baseline = first.run->run.id;
  const TraceView second = read(query, &first);
  EXPECT_EQ(second.run->run.id, second_run);
  EXPECT_EQ(second.tokens->tokens.size(), 30u);
  ASSERT_NE(second.baseline, nullptr);
  EXPECT_EQ(second.baseline->tokens, 10);
  EXPECT_EQ(read(query, &second).baseline, second.baseline);
}

TEST_F(TraceViewTest, ARunIsNoBaselineOfItself) {
  const std::int64_t first = record_run(file(), 10);
  const std::int64_t second = record_run(file(), 20);
  TraceQuery query;
  query.baseline = second;
  EXPECT_EQ(read(query).baseline, nullptr);
  query.run = first;
  EXPECT_NE(read(query).baseline, nullptr);
}

TEST_F(TraceViewTest, ABaselineThatHasGrownIsReadAgain) {
  TraceQuery query;
  query.baseline = record_run(file(), 10);
  record_run(file(), 30);
  TraceView before = read(query);
  EXPECT_EQ(read(query, &before).baseline, before.baseline);
  auto runs = *before.runs;
  runs.back().tokens = 4;
  runs.back().status = "recording";
  before.runs = std::make_shared<const std::vector<RunInfo>>(std::move(runs));
  EXPECT_NE(read(query, &before).baseline, before.baseline);
}

}  // namespace
}  // namespace expertscope::testing
