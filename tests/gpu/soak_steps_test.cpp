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

TEST(SelectionMargin, IsTheGapBehindTheLastSelectedLogitOfThatSequence) {
  testing::ModelShape config = tiny_config();
  config.num_hidden_layers = 1;
  config.moe_layer = {1};
  config.num_experts = 4;
  auto table = std::make_shared<RoutingTable>();
  LayerRouting routing;
  routing.top_k = 2;
  routing.logit_bias = {0, 0, 0, 0.5f};
  routing.force = {0, 0, 0, 0};
  table->layers = {routing};
  CaptureBlock block;
  block.tokens = 2;
  block.experts = 4;
  block.sequence = {0, 1};
  block.router_logits = {4, 1, 3, 2, /* the other sequence */ 1, 1, 1, 1};
  block.table = table;
  EXPECT_FLOAT_EQ(selection_margin(block, config, 0), 0.5f);  // 4 and 3 against 2 + 0.5
  table->layers[0].force[1] = 1;                              // one place less to compete for
  EXPECT_FLOAT_EQ(selection_margin(block, config, 0), 1.0f);
}

}  // namespace
}  // namespace expertscope::testing
