// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/run/generate.h"

#include <gmock/gmock.h>

#include <cmath>

#include "tests/support/random_model.h"

namespace expertscope {
namespace {

using ::testing::ElementsAre;
using Ids = std::vector<std::int32_t>;

std::unique_ptr<Session> make_session(const ModelConfig& config = testing::tiny_config(), int context = 64) {
  BackendOptions options;
  options.math = MathMode::f32;
  options.threads = 1;
  options.max_context = context;
  options.max_batch = 8;
  auto session = Session::create(testing::random_model(config, FormatId::f32, 3), options);
  EXPECT_TRUE(session) << (session ? "" : session.error().message);
  return std::move(*session);
}

const Ids kPrompt = {3, 1, 4, 1, 5};

GenerateOptions up_to(int tokens) {
  GenerateOptions options;
  options.max_tokens = tokens;
  return options;
}

TEST(Generate, GivesAsManyTokensAsAskedForInOrder) {
  const auto session = make_session();
  std::vector<int> order;
  Ids seen;
  const auto result = generate(*session, kPrompt, up_to(6), [&](const GeneratedToken& token) {
    order.push_back(token.index);
    seen.push_back(token.id);
    EXPECT_LE(token.log_prob, 0.0f);
  });
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_THAT(order, ElementsAre(0, 1, 2, 3, 4, 5));
  EXPECT_EQ(result->ids, seen);
  EXPECT_EQ(result->reason, FinishReason::length);
  EXPECT_GE(result->prefill_seconds, 0);
  EXPECT_TRUE(result->text.empty()) << "a model without a tokenizer has no text";
}

TEST(Generate, StartsOverEachTime) {
  const auto session = make_session();
  const auto first = generate(*session, kPrompt, up_to(8));
  const auto second = generate(*session, kPrompt, up_to(8));
  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->ids, second->ids);
}

TEST(Generate, TheSameSeedGivesTheSameTokensAnotherSeedOthers) {
  const auto session = make_session();
  GenerateOptions options = up_to(24);
  options.sampling.temperature = 1.5f;
  options.sampling.seed = 1;
  const auto first = generate(*session, kPrompt, options)->ids;
  EXPECT_EQ(generate(*session, kPrompt, options)->ids, first);
  options.sampling.seed = 2;
  EXPECT_NE(generate(*session, kPrompt, options)->ids, first);
}

TEST(Generate, EndsAtAnEndOfTextTokenUnlessToldNotTo) {
  const Ids plain = generate(*make_session(), kPrompt, up_to(4))->ids;
  ModelConfig config = testing::tiny_config();
  config.eos_token_ids = {plain[2]};
  const auto session = make_session(config);
  const auto ended = generate(*session, kPrompt, up_to(4));
  ASSERT_TRUE(ended);
  const auto first_end = std::find(plain.begin(), plain.end(), plain[2]);
  EXPECT_EQ(ended->ids, Ids(plain.begin(), first_end + 1));
  EXPECT_EQ(ended->reason, FinishReason::eos);
  GenerateOptions options = up_to(4);
  options.stop_at_eos = false;
  EXPECT_EQ(generate(*session, kPrompt, options)->ids, plain);
}

TEST(Generate, EndsWhenTheContextIsFull) {
  const auto session = make_session(testing::tiny_config(), 8);
  const auto result = generate(*session, kPrompt, up_to(50));
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(result->ids.size(), 4u) << "three more fit behind the prompt, the last one is never fed back";
  EXPECT_EQ(result->reason, FinishReason::context);
}

TEST(Generate, StopsBetweenTokensAndKeepsWhatThereIs) {
  const auto session = make_session();
  std::stop_source stop;
  const auto result = generate(
      *session, kPrompt, up_to(50),
      [&](const GeneratedToken& token) {
        if (token.index == 2) stop.request_stop();
      },
      stop.get_token());
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(result->ids.size(), 3u);
  EXPECT_EQ(result->reason, FinishReason::stopped);
}

TEST(Generate, StoppedBeforeThePromptHasRunIsNoError) {
  const auto session = make_session();
  std::stop_source stop;
  stop.request_stop();
  const auto result = generate(*session, kPrompt, up_to(5), {}, stop.get_token());
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_TRUE(result->ids.empty());
  EXPECT_EQ(result->reason, FinishReason::stopped);
}

TEST(Generate, TheTokenIsReportedBeforeItIsFedBack) {
  const auto session = make_session();
  std::vector<int> lengths;
  ASSERT_TRUE(generate(*session, kPrompt, up_to(3),
                       [&](const GeneratedToken&) { lengths.push_back(session->length(0)); }));
  EXPECT_THAT(lengths, ElementsAre(5, 6, 7)) << "an edit made in the callback holds for the next token";
}

TEST(Generate, RefusesAnEmptyPromptAndOneThatDoesNotFit) {
  const auto session = make_session(testing::tiny_config(), 4);
  EXPECT_FALSE(generate(*session, {}, up_to(1)));
  const auto result = generate(*session, kPrompt, up_to(1));
  ASSERT_FALSE(result);
  EXPECT_THAT(result.error().message, ::testing::HasSubstr("do not fit into the context of 4"));
  EXPECT_EQ(check_prompt(*session, kPrompt).error().message, result.error().message)
      << "known before a recording begins";
  EXPECT_TRUE(check_prompt(*session, std::span(kPrompt).first(4)));
}

TEST(Generate, NoTokensAskedForRunsThePromptOnly) {
  const auto session = make_session();
  const auto result = generate(*session, kPrompt, up_to(0));
  ASSERT_TRUE(result);
  EXPECT_TRUE(result->ids.empty());
  EXPECT_EQ(session->length(0), 5);
}

}  // namespace
}  // namespace expertscope
