// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/run/session.h"

#include <gmock/gmock.h>

#include <atomic>
#include <cmath>
#include <thread>

#include "engine/backend/log_prob.h"
#include "engine/run/routing_policy.h"
#include "tests/support/model_folder.h"
#include "tests/support/random_model.h"

namespace expertscope {
namespace {

using ::testing::HasSubstr;
using Ids = std::vector<std::int32_t>;

std::shared_ptr<const Model> model() {
  static const auto model = testing::random_model(testing::tiny_config(), FormatId::f32);
  return model;
}

std::unique_ptr<Session> make_session(BackendOptions options = {}) {
  auto session = Session::create(model(), options);
  EXPECT_TRUE(session) << (session ? "" : session.error().message);
  return std::move(*session);
}

BackendOptions small(int sequences = 2, int context = 32, int batch = 8) {
  BackendOptions options;
  options.math = MathMode::f32;
  options.threads = 2;
  options.max_sequences = sequences;
  options.max_context = context;
  options.max_batch = batch;
  return options;
}

Ids tokens(int count) {
  Ids ids;
  for (int i = 0; i < count; ++i)
    ids.push_back((i * 37 + 5) % 97);
  return ids;
}

std::vector<float> copy(std::span<const float> values) {
  return {values.begin(), values.end()};
}

std::string step_error(Session& session, Batch batch) {
  const auto result = session.step(std::move(batch));
  return result ? "accepted" : result.error().message;
}

/// Keeps every block.
class Keeper final : public CaptureSink {
 public:
  std::unique_ptr<CaptureBlock> acquire() override { return std::make_unique<CaptureBlock>(); }
  Status deliver(std::unique_ptr<CaptureBlock> block) override {
    blocks.push_back(std::move(block));
    return error;
  }
  std::vector<std::unique_ptr<CaptureBlock>> blocks;
  Status error;
};

std::shared_ptr<const RoutingTable> compile(const std::string& edit) {
  const auto policy = RoutingPolicy::from_json(R"({"version":1,"edits":[)" + edit + "]}", "test");
  const auto table = policy->compile(model()->config());
  EXPECT_TRUE(table) << (table ? "" : table.error().message);
  return *table;
}

TEST(Session, LowersTheContextToWhatTheModelWasMadeFor) {
  BackendOptions options = small();
  options.max_context = 100000;
  EXPECT_EQ(make_session(options)->options().max_context, 512);
}

TEST(Session, PrefillRunsLongPromptsInChunksWithTheSameResult) {
  const auto whole = make_session(small(1, 32, 32));
  const auto chunked = make_session(small(1, 32, 5));
  const auto expected = whole->prefill(0, tokens(23));
  const auto actual = chunked->prefill(0, tokens(23));
  ASSERT_TRUE(expected && actual);
  ASSERT_EQ(actual->size(), 97u);
  for (std::size_t i = 0; i < actual->size(); ++i)
    EXPECT_NEAR((*actual)[i], (*expected)[i], 1e-4f);
  EXPECT_EQ(chunked->length(0), 23);
}

TEST(Session, ALaterChunkContinuesWhereTheSequenceEnded) {
  const auto session = make_session(small());
  const auto all = tokens(6);
  const auto expected = copy(*session->prefill(0, all));
  ASSERT_TRUE(session->prefill(1, std::span(all).first(4)));
  const auto actual = session->prefill(1, std::span(all).subspan(4));
  ASSERT_TRUE(actual);
  for (std::size_t i = 0; i < expected.size(); ++i)
    EXPECT_NEAR((*actual)[i], expected[i], 1e-4f);
}

TEST(Session, TruncateForgetsTheEndOfASequence) {
  const auto session = make_session(small());
  const auto expected = copy(*session->prefill(0, tokens(5)));
  ASSERT_TRUE(session->prefill(0, Ids{90, 91}));
  ASSERT_TRUE(session->truncate(0, 4));
  EXPECT_EQ(session->length(0), 4);
  const auto again = session->prefill(0, Ids{tokens(5).back()});
  ASSERT_TRUE(again);
  for (std::size_t i = 0; i < expected.size(); ++i)
    EXPECT_NEAR((*again)[i], expected[i], 1e-4f);
}

TEST(Session, TruncateRefusesSequencesAndLengthsThatDoNotExist) {
  const auto session = make_session(small());
  EXPECT_THAT(session->truncate(2, 0).error().message, HasSubstr("sequence 2 does not exist"));
  EXPECT_THAT(session->truncate(0, 1).error().message, HasSubstr("has 0 tokens"));
  EXPECT_FALSE(session->truncate(0, -1));
}

TEST(Session, RecurrentLayersForgetAllOrNothing) {
  auto opened = Model::open(testing::data_folder() / "models" / "qwen3_next");
  ASSERT_TRUE(opened) << opened.error().message;
  auto session = Session::create(*opened, small());
  ASSERT_TRUE(session) << session.error().message;
  const auto expected = copy(*(*session)->prefill(0, Ids{1, 2, 3}));
  EXPECT_THAT((*session)->truncate(0, 2).error().message, HasSubstr("cannot go back from 3 tokens to 2"));
  EXPECT_TRUE((*session)->truncate(0, 3));
  EXPECT_TRUE((*session)->truncate(0, 0));
  EXPECT_EQ(copy(*(*session)->prefill(0, Ids{1, 2, 3})), expected);
}

TEST(Session, StopsBetweenChunksWhenAskedTo) {
  const auto session = make_session(small(1, 32, 4));
  std::stop_source stop;
  stop.request_stop();
  const auto result = session->prefill(0, tokens(20), stop.get_token());
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::cancelled);
  EXPECT_EQ(session->length(0), 0);
}

TEST(Session, RefusesBatchesThatMakeNoSense) {
  const auto session = make_session(small());
  EXPECT_THAT(step_error(*session, {{1}, {{5, 0, 1}}}),
              HasSubstr("sequence 5 does not exist, the session has 2"));
  EXPECT_THAT(step_error(*session, {{1, 2}, {{0, 0, 1}, {0, 0, 1}}}), HasSubstr("twice"));
  EXPECT_THAT(step_error(*session, {{}, {{0, 0, 0}}}), HasSubstr("empty chunk"));
  EXPECT_THAT(step_error(*session, {{1}, {{0, 0, 2}}}), HasSubstr("1 tokens whose chunks have 2"));
  EXPECT_THAT(step_error(*session, {}), HasSubstr("0 tokens"));
  EXPECT_THAT(step_error(*session, {{97}, {{0, 0, 1}}}),
              HasSubstr("token id 97 is outside the vocabulary of 97"));
  EXPECT_THAT(step_error(*session, {{-1}, {{0, 0, 1}}}), HasSubstr("token id -1"));
  EXPECT_THAT(step_error(*session, {tokens(9), {{0, 0, 9}}}),
              HasSubstr("a batch of 9 tokens, at most 8 fit"));
  EXPECT_EQ(session->length(0), 0);
}

TEST(Session, SaysWhenTheContextIsFull) {
  const auto session = make_session(small(1, 10, 8));
  ASSERT_TRUE(session->prefill(0, tokens(10)));
  const auto more = session->prefill(0, Ids{1});
  ASSERT_FALSE(more);
  EXPECT_THAT(more.error().message, HasSubstr("1 tokens after 10 do not fit into the context of 10 tokens"));
}

TEST(Session, APromptThatDoesNotFitIsRefusedBeforeItIsComputed) {
  const auto session = make_session(small(1, 32, 4));
  const auto whole = session->prefill(0, tokens(33));
  ASSERT_FALSE(whole);
  EXPECT_EQ(whole.error().message, "33 tokens do not fit into the context of 32 tokens");
  EXPECT_EQ(session->length(0), 0) << "none of its chunks has run";
  ASSERT_TRUE(session->prefill(0, tokens(3)));
  const auto rest = session->prefill(0, tokens(30));
  ASSERT_FALSE(rest);
  EXPECT_EQ(rest.error().message,
            "30 tokens after 3 do not fit into the context of 32 tokens: there is room for 29");
  EXPECT_EQ(session->length(0), 3);
  EXPECT_TRUE(session->prefill(0, tokens(29)));
}

TEST(Session, APromptWithAForeignTokenIsRefusedBeforeItIsComputed) {
  const auto session = make_session(small(1, 32, 4));
  Ids ids = tokens(20);
  ids.back() = 97;
  const auto refused = session->prefill(0, ids);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message, "token id 97 is outside the vocabulary of 97");
  EXPECT_EQ(session->length(0), 0);
}

TEST(Session, PrefillRefusesASequenceThatDoesNotExist) {
  const auto session = make_session(small(2));
  for (const int sequence : {-1, 2}) {
    const auto refused = session->prefill(sequence, tokens(3));
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().message, HasSubstr("does not exist, the session has 2"));
  }
}

TEST(SessionCapture, LogProbabilitiesCarryOverFromStepToStep) {
  const auto session = make_session(small());
  const Ids ids = tokens(4);
  Keeper keeper;
  session->set_capture(CaptureRequest::standard(), &keeper);
  std::vector<double> expected;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const auto logits = session->step({{ids[i]}, {{0, 0, 1}}});
    ASSERT_TRUE(logits);
    if (i + 1 < ids.size()) expected.push_back(log_probability(*logits, ids[i + 1]));
  }
  ASSERT_EQ(keeper.blocks.size(), 4u);
  EXPECT_TRUE(std::isnan(keeper.blocks[0]->log_prob[0]));
  for (std::size_t i = 1; i < 4; ++i)
    EXPECT_FLOAT_EQ(keeper.blocks[i]->log_prob[0], static_cast<float>(expected[i - 1]));
  ASSERT_TRUE(session->truncate(0, 2));
  ASSERT_TRUE(session->prefill(0, Ids{1}));
  EXPECT_TRUE(std::isnan(keeper.blocks.back()->log_prob[0])) << "the logits before it were forgotten";
}

TEST(SessionCapture, AreUnknownWhereNoLogitsWereComputed) {
  const auto session = make_session(small());
  Keeper keeper;
  session->set_capture(CaptureRequest::standard(), &keeper);
  ASSERT_TRUE(session->prefill(0, tokens(3)));
  for (const float value : keeper.blocks[0]->log_prob)
    EXPECT_TRUE(std::isnan(value));
}

TEST(SessionCapture, ABlockSaysWhichTokensItHolds) {
  const auto session = make_session(small());
  ASSERT_TRUE(session->prefill(1, Ids{9, 8}));
  Keeper keeper;
  session->set_capture({.routing = true}, &keeper);
  ASSERT_TRUE(session->step({{1, 2, 3}, {{0, 0, 2}, {1, 0, 1}}}));
  const CaptureBlock& block = *keeper.blocks[0];
  EXPECT_THAT(block.token_id, ::testing::ElementsAre(1, 2, 3));
  EXPECT_THAT(block.position, ::testing::ElementsAre(0, 1, 2));
  EXPECT_THAT(block.sequence, ::testing::ElementsAre(0, 0, 1));
  EXPECT_EQ(block.moe_layers, 2);
  EXPECT_EQ(block.slots, 2);
  EXPECT_EQ(block.table, session->routing());
}

TEST(SessionCapture, TheFirstTokenHasAllAttentionAndTheOthersAShareOfIt) {
  const auto session = make_session(small());
  Keeper keeper;
  session->set_capture({.attention = true}, &keeper);
  ASSERT_TRUE(session->prefill(0, tokens(5)));
  const auto& mass = keeper.blocks[0]->first_token_attention;
  ASSERT_EQ(mass.size(), 10u) << "2 layers, 5 tokens";
  for (const std::size_t layer : {0, 1}) {
    EXPECT_FLOAT_EQ(mass[layer * 5], 1.0f);
    for (std::size_t t = 1; t < 5; ++t) {
      EXPECT_GT(mass[layer * 5 + t], 0.0f);
      EXPECT_LT(mass[layer * 5 + t], 1.0f);
    }
  }
}

TEST(SessionCapture, AProbeThatIsOffFillsNothing) {
  const auto session = make_session(small());
  Keeper keeper;
  session->set_capture({.entropy = true}, &keeper);
  ASSERT_TRUE(session->prefill(0, tokens(3)));
  const CaptureBlock& block = *keeper.blocks[0];
  EXPECT_EQ(block.entropy.size(), 6u);
  EXPECT_TRUE(block.expert.empty() && block.weight.empty() && block.output_norm.empty());
  EXPECT_TRUE(block.hidden_max.empty() && block.router_logits.empty() && block.log_prob.empty());
  EXPECT_TRUE(block.first_token_attention.empty() && block.cache_hits.empty());
}

TEST(SessionCapture, AnErrorOfTheSinkStopsTheStep) {
  const auto session = make_session(small());
  Keeper keeper;
  keeper.error = fail(ErrorCode::disk_full, "trace.db: no room");
  session->set_capture(CaptureRequest::standard(), &keeper);
  const auto result = session->prefill(0, tokens(3));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::disk_full);
}

TEST(SessionRouting, AnEditTakesEffectAtTheNextStepAndNullTakesItBack) {
  const auto session = make_session(small());
  const auto plain = copy(*session->prefill(0, tokens(4)));
  session->set_routing(compile(R"({"op":"top_k","layer":"*","k":1})"));
  ASSERT_TRUE(session->truncate(0, 0));
  EXPECT_NE(copy(*session->prefill(0, tokens(4))), plain);
  session->set_routing(nullptr);
  ASSERT_TRUE(session->truncate(0, 0));
  EXPECT_EQ(copy(*session->prefill(0, tokens(4))), plain);
}

TEST(SessionRouting, MoreSlotsThanTheModelHasRunInSeveralRounds) {
  BackendOptions options = small(1, 32, 32);
  const auto wide = make_session(options);
  options.max_batch = 1;
  const auto narrow = make_session(options);
  const auto table = compile(R"({"op":"top_k","layer":"*","k":8})");
  wide->set_routing(table);
  narrow->set_routing(table);
  const auto expected = narrow->prefill(0, tokens(32));
  const auto actual = wide->prefill(0, tokens(32));
  ASSERT_TRUE(expected && actual);
  for (std::size_t i = 0; i < actual->size(); ++i)
    EXPECT_NEAR((*actual)[i], (*expected)[i], 1e-4f);
}

TEST(SessionRouting, TablesAreSwappedFromAnotherThreadWhileStepsRun) {
  const auto session = make_session(small(1, 512, 8));
  const auto one = compile(R"({"op":"prune","layer":0,"expert":1})");
  const auto other = compile(R"({"op":"reroute","layer":1,"from":2,"to":3})");
  std::atomic<bool> done{false};
  std::thread editor([&] {
    for (int i = 0; !done; ++i)
      session->set_routing(i % 2 != 0 ? one : other);
  });
  for (const std::int32_t id : tokens(200))
    EXPECT_TRUE(session->step({{id}, {{0, 0, 1}}}));
  done = true;
  editor.join();
}

TEST(SessionRouting, ATableOfAnotherModelIsRefused) {
  const auto session = make_session(small());
  testing::ModelShape config = testing::tiny_config();
  config.num_experts = 4;
  session->set_routing(*RoutingPolicy{}.compile(config));
  const auto result = session->prefill(0, tokens(2));
  ASSERT_FALSE(result);
  EXPECT_THAT(result.error().message, HasSubstr("another model"));
}

}  // namespace
}  // namespace expertscope
