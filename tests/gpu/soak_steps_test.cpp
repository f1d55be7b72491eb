// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/gpu/soak_steps.h"

#include <gtest/gtest.h>

#include "tests/support/random_model.h"

namespace expertscope::testing {
namespace {

BackendOptions options_of_a_soak() {
  BackendOptions options;
  options.max_sequences = 4;
  options.max_context = 40;
  options.max_batch = 24;
  return options;
}

/// What a session does to the lengths of its sequences.
void follow(const SoakStep& step, std::vector<int>& lengths) {
  for (const int s : step.ended)
    lengths[static_cast<std::size_t>(s)] = 0;
  if (step.cut >= 0) lengths[static_cast<std::size_t>(step.cut)] = step.keep;
  for (const SequenceChunk& chunk : step.batch.chunks)
    lengths[static_cast<std::size_t>(chunk.sequence)] += chunk.count;
}

TEST(SoakSteps, EveryStepFitsTheSession) {
  const testing::ModelShape config = tiny_config();
  const BackendOptions options = options_of_a_soak();
  Dice dice(3);
  std::vector<int> lengths(4, 0);
  for (int i = 0; i < 3000; ++i) {
    const SoakStep step = next_step(dice, config, options, lengths, true);
    if (step.cut >= 0) {
      ASSERT_LT(step.keep, lengths[static_cast<std::size_t>(step.cut)]);
    }
    follow(step, lengths);
    std::size_t tokens = 0;
    for (const SequenceChunk& chunk : step.batch.chunks)
      tokens += static_cast<std::size_t>(chunk.count);
    ASSERT_GT(tokens, 0u);
    ASSERT_EQ(tokens, step.batch.tokens.size());
    ASSERT_LE(tokens, static_cast<std::size_t>(options.max_batch));
    for (const int length : lengths)
      ASSERT_LE(length, options.max_context);
  }
}

TEST(SoakSteps, SequencesDecodeTogetherEndAndBeginAgain) {
  const BackendOptions options = options_of_a_soak();
  Dice dice(4);
  std::vector<int> lengths(4, 0);
  int decoding = 0;
  int ended = 0;
  int policies = 0;
  for (int i = 0; i < 1000; ++i) {
    const SoakStep step = next_step(dice, tiny_config(), options, lengths, true);
    follow(step, lengths);
    ended += static_cast<int>(step.ended.size());
    decoding += step.batch.chunks.size() > 1 && step.batch.tokens.size() == step.batch.chunks.size() ? 1 : 0;
    policies += step.changes_policy && step.policy.compile(tiny_config()) ? 1 : 0;
  }
  EXPECT_GT(decoding, 50);
  EXPECT_GT(ended, 50);
  EXPECT_GT(policies, 50);
}

TEST(SoakSteps, ASeedRepeatsThem) {
  const std::vector<int> lengths = {0, 12, 3, 0};
  Dice first(9);
  Dice second(9);
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(next_step(first, tiny_config(), options_of_a_soak(), lengths, true).batch.tokens,
              next_step(second, tiny_config(), options_of_a_soak(), lengths, true).batch.tokens);
  }
}

/// One layer of four experts, of which two are selected; two tokens of different sequences.
class SelectionMargin : public ::testing::Test {
 protected:
  SelectionMargin() {
    shape_.num_hidden_layers = 1;
    shape_.moe_layer = {1};
    shape_.num_experts = 4;
    weights_.layers.resize(1);
    routing_.model.experts = 4;
    routing_.top_k = 2;
    routing_.logit_bias = {0, 0, 0, 0};
    routing_.remap = {0, 1, 2, 3};
    routing_.output_scale = {1, 1, 1, 1};
    routing_.drop = routing_.force = {0, 0, 0, 0};
    block_.tokens = 2;
    block_.experts = 4;
    block_.sequence = {0, 1};
    block_.router_logits = {4, 1, 3, 2, /* the other sequence */ 1, 1, 1, 1};
  }
  float margin() {
    auto table = std::make_shared<RoutingTable>();
    table->layers = {routing_};
    block_.table = std::move(table);
    return selection_margin(block_, shape_, weights_, 0);
  }

  testing::ModelShape shape_ = tiny_config();
  Weights weights_;
  LayerRouting routing_;
  CaptureBlock block_;
};

TEST_F(SelectionMargin, IsTheGapBehindTheLastSelectedLogitOfThatSequence) {
  EXPECT_FLOAT_EQ(margin(), 1.0f);  // 4 and 3 against 2
  routing_.edited = true;
  routing_.logit_bias[3] = 0.5f;
  EXPECT_FLOAT_EQ(margin(), 0.5f);
  routing_.force[1] = 1;  // one place less to compete for
  EXPECT_FLOAT_EQ(margin(), 1.0f);
}

TEST_F(SelectionMargin, IsThatOfTheScoresWhereExpertsRankByThem) {
  routing_.model.score = RouterSpec::Score::sigmoid;
  routing_.model.correction_bias = true;
  block_.router_logits = {0, 0, 0, 0, 1, 1, 1, 1};  // sigmoids of 0.5
  weights_.layers[0].correction_bias = {0.3f, 0, 0.2f, 0.125f};
  EXPECT_FLOAT_EQ(margin(), 0.075f);
}

TEST_F(SelectionMargin, IsThatOfTheGroupsWhereTheyAreCloser) {
  routing_.model.score = RouterSpec::Score::sigmoid;
  routing_.model.correction_bias = true;
  routing_.model.groups = 2;
  routing_.model.top_groups = 1;
  routing_.model.group_rank = RouterSpec::GroupRank::sum_of_two;
  routing_.top_k = 1;
  block_.router_logits = {0, 0, 0, 0, 1, 1, 1, 1};
  weights_.layers[0].correction_bias = {0.5f, 0, 0.25f, 0.1875f};
  EXPECT_FLOAT_EQ(margin(), 0.0625f) << "1.5 against 1.4375; inside the first group 1 against 0.5";
}

}  // namespace
}  // namespace expertscope::testing
