// SPDX-License-Identifier: GPL-3.0-or-later
// What a step gives instead of logits must be what the logits would have said.
#include <gmock/gmock.h>

#include <cmath>
#include <memory>
#include <vector>

#include "engine/backend/candidates.h"
#include "engine/backend/log_prob.h"
#include "engine/run/generate.h"
#include "engine/run/session.h"
#include "tests/support/random_model.h"

namespace expertscope {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Ids = std::vector<std::int32_t>;

/// More tokens a step than the head computes at a time.
std::unique_ptr<Session> make_session(int batch = 200, MathMode math = MathMode::f32) {
  BackendOptions options;
  options.math = math;
  options.threads = 2;
  options.max_sequences = 3;
  options.max_context = 256;
  options.max_batch = batch;
  static const auto model = testing::random_model(testing::tiny_config(), FormatId::bf16, 4);
  auto session = Session::create(model, options);
  EXPECT_TRUE(session) << (session ? "" : session.error().message);
  return std::move(*session);
}

Ids text(int count) {
  Ids ids;
  for (int i = 0; i < count; ++i)
    ids.push_back((i * i * 31 + 7 * i + 2) % 97);
  return ids;
}

/// The token after each; -1 after the last.
Ids next_of(const Ids& ids) {
  Ids targets(ids.begin() + 1, ids.end());
  targets.push_back(-1);
  return targets;
}

Batch scoring(const Ids& ids, const Ids& targets, int sequence = 0) {
  return {ids, {{sequence, 0, static_cast<int>(ids.size())}}, LogitsWanted::log_probs, targets};
}

Batch deciding(const Ids& ids, int count, int sequence = 0) {
  return {ids, {{sequence, 0, static_cast<int>(ids.size())}}, LogitsWanted::candidates, {}, count};
}

std::string error_of(Session& session, Batch batch) {
  const auto output = session.run(std::move(batch));
  return output ? "accepted" : output.error().message;
}

class Keeper final : public CaptureSink {
 public:
  std::unique_ptr<CaptureBlock> acquire() override { return std::make_unique<CaptureBlock>(); }
  Status deliver(std::unique_ptr<CaptureBlock> block) override {
    log_probs.insert(log_probs.end(), block->log_prob.begin(), block->log_prob.end());
    return {};
  }
  std::vector<float> log_probs;  ///< of all blocks, one after the other
};

/// log p of every token of `ids` given those before it, from all logits; the first has none.
std::vector<float> reference(const Ids& ids) {
  const auto session = make_session();
  const int count = static_cast<int>(ids.size());
  const auto logits = session->step({ids, {{0, 0, count}}, LogitsWanted::all});
  std::vector<float> result = {std::nanf("")};
  for (std::size_t t = 1; t < ids.size(); ++t)
    result.push_back(static_cast<float>(log_probability(logits->subspan((t - 1) * 97, 97), ids[t])));
  return result;
}

void expect_same(const std::vector<float>& actual, const std::vector<float>& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i) {
    if (std::isnan(expected[i])) {
      EXPECT_TRUE(std::isnan(actual[i])) << i;
    } else {
      EXPECT_NEAR(actual[i], expected[i], 1e-5f) << i;
    }
  }
}

TEST(StepLogProbs, AreThoseOfAllLogitsToTheBit) {
  for (const MathMode math : {MathMode::f32, MathMode::bf16}) {
    const auto whole = make_session(200, math);
    const auto scored = make_session(200, math);
    const Ids ids = text(150);
    const Ids targets = next_of(ids);
    const auto logits = whole->step({ids, {{0, 0, 150}}, LogitsWanted::all});
    const auto output = scored->run(scoring(ids, targets));
    ASSERT_TRUE(logits && output);
    EXPECT_TRUE((*output)->logits.empty()) << "they do not leave the backend";
    for (std::size_t t = 0; t + 1 < ids.size(); ++t) {
      const auto row = logits->subspan(t * 97, 97);
      EXPECT_EQ((*output)->log_probs[t], static_cast<float>(log_probability(row, targets[t]))) << t;
    }
    EXPECT_TRUE(std::isnan((*output)->log_probs.back()));
  }
}

TEST(StepLogProbs, AreNaNWhereNoneIsWanted) {
  const auto session = make_session();
  const Ids ids = text(5);
  const auto all = session->run(scoring(ids, {1, 2, 3, 4, 5}));
  ASSERT_TRUE(all);
  const std::vector<float> expected = (*all)->log_probs;
  ASSERT_TRUE(session->truncate(0, 0));
  const auto some = session->run(scoring(ids, {-1, 2, -1, -1, 5}));
  ASSERT_TRUE(some);
  const auto& log_probs = (*some)->log_probs;
  EXPECT_THAT(std::vector({log_probs[1], log_probs[4]}), ElementsAre(expected[1], expected[4]));
  for (const std::size_t t : {0, 2, 3})
    EXPECT_TRUE(std::isnan(log_probs[t])) << t;
  ASSERT_TRUE(session->truncate(0, 0));
  const auto none = session->run(scoring(ids, Ids(5, -1)));
  ASSERT_TRUE(none);
  EXPECT_EQ((*none)->log_probs.size(), 5u);
}

TEST(StepLogProbs, TargetsThatMakeNoSenseAreRefused) {
  const auto session = make_session();
  EXPECT_EQ(error_of(*session, scoring({1, 2}, {1})), "1 targets for 2 tokens");
  EXPECT_THAT(error_of(*session, scoring({1, 2}, {1, 97})), HasSubstr("target id 97 is outside"));
  EXPECT_THAT(error_of(*session, scoring({1, 2}, {-2, 1})), HasSubstr("target id -2 is outside"));
  EXPECT_EQ(session->length(0), 0);
}

TEST(StepCandidates, AreThoseOfTheLogitsOfEachChunk) {
  const auto whole = make_session();
  const auto few = make_session();
  Batch batch{{5, 6, 7, 8, 9}, {{0, 0, 2}, {2, 0, 3}}};
  const auto logits = whole->step(batch);
  batch.logits = LogitsWanted::candidates;
  batch.candidates = 10;
  const auto output = few->run(batch);
  ASSERT_TRUE(logits && output);
  ASSERT_EQ((*output)->candidates.size(), 2u);
  for (std::size_t chunk = 0; chunk < 2; ++chunk) {
    TokenCandidates expected;
    select_candidates(logits->subspan(chunk * 97, 97), 10, expected);
    EXPECT_EQ((*output)->candidates[chunk].best, expected.best);
    EXPECT_DOUBLE_EQ((*output)->candidates[chunk].log_sum_exp, expected.log_sum_exp);
  }
}

TEST(StepCandidates, AtLeastOneIsNeeded) {
  const auto session = make_session();
  EXPECT_EQ(error_of(*session, deciding({1}, 0)), "at least one candidate is needed, not 0");
}

TEST(StepCandidates, APromptInSeveralStepsGivesThoseOfItsEnd) {
  const auto session = make_session(4);
  const auto logits = session->prefill(0, text(11));
  TokenCandidates expected;
  select_candidates(*logits, 3, expected);
  const auto actual = session->prefill_candidates(1, text(11), 3);
  ASSERT_TRUE(actual);
  EXPECT_EQ((*actual)->best, expected.best);
}

TEST(RecordedLogProbs, GoOnAcrossTheStepsOfASequence) {
  const Ids ids = text(30);
  const Ids targets = next_of(ids);
  const auto session = make_session();
  Keeper keeper;
  session->set_capture({.log_prob = true}, &keeper);
  for (std::size_t at = 0; at < ids.size(); at += 7) {
    const auto end = std::min(at + 7, ids.size());
    const auto part = [&](const Ids& all) {
      return Ids(all.begin() + static_cast<std::ptrdiff_t>(at),
                 all.begin() + static_cast<std::ptrdiff_t>(end));
    };
    ASSERT_TRUE(session->run(scoring(part(ids), part(targets))));
  }
  expect_same(keeper.log_probs, reference(ids));
}

TEST(RecordedLogProbs, ATokenThatIsNotTheOneScoredHasNone) {
  const auto session = make_session();
  Keeper keeper;
  session->set_capture({.log_prob = true}, &keeper);
  ASSERT_TRUE(session->run(scoring({1, 2, 3}, {2, 50, 60})));
  ASSERT_TRUE(session->run(scoring({4}, {-1})));
  EXPECT_FALSE(std::isnan(keeper.log_probs[1]));
  EXPECT_TRUE(std::isnan(keeper.log_probs[2])) << "50 was scored after 2, and 3 came";
  EXPECT_TRUE(std::isnan(keeper.log_probs[3])) << "60 was scored after 3, and 4 came";
}

TEST(RecordedLogProbs, SurviveStepsOfOtherSequences) {
  const Ids ids = text(6);
  for (const LogitsWanted wanted : {LogitsWanted::last_of_each_chunk, LogitsWanted::candidates}) {
    const auto session = make_session();
    Keeper keeper;
    session->set_capture({.log_prob = true}, &keeper);
    for (const std::int32_t id : ids) {
      Batch batch = deciding({id}, 97);
      batch.logits = wanted;
      ASSERT_TRUE(session->run(batch));
      batch.chunks[0].sequence = 1;
      batch.tokens = {(id + 1) % 97};
      ASSERT_TRUE(session->run(std::move(batch)));
    }
    std::vector<float> own;
    for (std::size_t i = 0; i < keeper.log_probs.size(); i += 2)
      own.push_back(keeper.log_probs[i]);
    expect_same(own, reference(ids));
  }
}

TEST(RecordedLogProbs, OfAGenerationAreThoseItReports) {
  for (const float penalty : {1.0f, 1.1f}) {  // through candidates and through all logits
    const auto session = make_session();
    Keeper keeper;
    session->set_capture({.log_prob = true}, &keeper);
    GenerateOptions options;
    options.max_tokens = 8;
    options.sampling = {.temperature = 1.0f, .top_k = 20, .repetition_penalty = penalty, .seed = 3};
    std::vector<float> reported;
    const auto result = generate(*session, text(3), options,
                                 [&](const GeneratedToken& token) { reported.push_back(token.log_prob); });
    ASSERT_TRUE(result);
    reported.pop_back();  // the last token is not run
    const std::vector<float> recorded(keeper.log_probs.begin() + 3, keeper.log_probs.end());
    EXPECT_EQ(recorded, reported);
  }
}

TEST(Generate, ThroughCandidatesGivesTheTokensOfAllLogits) {
  const auto session = make_session();
  for (const std::uint64_t seed : {1, 2, 3}) {
    GenerateOptions options;
    options.max_tokens = 20;
    options.sampling = {.temperature = 1.5f, .top_k = 30, .top_p = 0.95f, .seed = seed};
    std::vector<float> log_probs;
    const auto result = generate(*session, text(4), options,
                                 [&](const GeneratedToken& token) { log_probs.push_back(token.log_prob); });
    ASSERT_TRUE(result);
    Sampler sampler(options.sampling);
    ASSERT_TRUE(session->truncate(1, 0));
    Ids next = text(4);
    for (std::size_t i = 0; i < result->ids.size(); ++i) {
      const auto logits = session->prefill(1, next);
      ASSERT_TRUE(logits);
      next = {sampler.sample(*logits, {})};
      EXPECT_EQ(result->ids[i], next[0]) << "seed " << seed << " token " << i;
      EXPECT_EQ(log_probs[i], static_cast<float>(log_probability(*logits, next[0])));
    }
  }
}

}  // namespace
}  // namespace expertscope
