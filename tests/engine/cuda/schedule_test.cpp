// SPDX-License-Identifier: GPL-3.0-or-later
// What must not depend on chance: the order in which a GPU runs threads, blocks and copies, whether probes
// are on, what was edited before. And what decoding promises: one graph for each bucket, whatever changes.
#include <gmock/gmock.h>

#include "tests/engine/cuda/backend_fixture.h"

namespace expertscope::cuda {
namespace {

std::unique_ptr<Session> open(MathMode math, const ModelShape& config = odd_config()) {
  return must(open_cuda(make_model(config, {FormatId::bf16}), small_options(math)));
}

/// A prompt, graphs of two sizes, a prompt beside a token.
const std::vector<Counts> kSteps = {{{0, 19}, {1, 1}}, {{0, 1}}, {{0, 1}, {1, 1}, {2, 1}}, {{0, 3}, {1, 1}}};

void forget(Session& session) {
  for (int sequence = 0; sequence < session.options().max_sequences; ++sequence)
    ASSERT_TRUE(session.truncate(sequence, 0));
}

class Schedule : public ::testing::TestWithParam<MathMode> {
 protected:
  simt::Emulation emulation_;
};

TEST_P(Schedule, OfThreadsBlocksAndCopiesChangesNoBit) {
  const auto session = open(GetParam());
  const Watched expected = watch(*session, all_kinds_of_steps(), parity::all_probes());
  struct {
    simt::Order order;
    simt::Async async;
    std::uint64_t seed;
    int workers;
  } const schedules[] = {{simt::Order::reverse, simt::Async::eager, 1, 1},
                         {simt::Order::random, simt::Async::random, 7, 1},
                         {simt::Order::random, simt::Async::random, 8, 3}};
  for (const auto& [order, async, seed, workers] : schedules) {
    SCOPED_TRACE(seed);
    simt::change_schedule(order, async, seed, workers);
    forget(*session);
    expect_identical(watch(*session, all_kinds_of_steps(), parity::all_probes()), expected);
  }
}

TEST_P(Schedule, ProbesChangeNoLogitTogetherNorAlone) {
  const auto session = open(GetParam());
  const Watched all = watch(*session, kSteps, parity::all_probes());
  bool CaptureRequest::*const probes[] = {&CaptureRequest::routing,      &CaptureRequest::expert_output,
                                          &CaptureRequest::hidden,       &CaptureRequest::entropy,
                                          &CaptureRequest::log_prob,     &CaptureRequest::attention,
                                          &CaptureRequest::router_logits};
  forget(*session);
  expect_identical(watch(*session, kSteps, {}), all);
  for (const auto probe : probes) {
    CaptureRequest request;
    request.*probe = true;
    forget(*session);
    expect_identical(watch(*session, kSteps, request), all);
  }
}

INSTANTIATE_TEST_SUITE_P(Modes, Schedule, ::testing::Values(MathMode::f32, MathMode::bf16),
                         [](const auto& test) { return test.param == MathMode::f32 ? "f32" : "bf16"; });

class Graphs : public ::testing::Test {
 protected:
  int recorded() const { return simt::calls("cudaGraphInstantiate"); }

  simt::Emulation emulation_;
};

TEST_F(Graphs, OneServesABucketWhateverIsEditedAndWatched) {
  const auto session = open(MathMode::f32);
  const ModelConfig& config = session->model().config();
  watch(*session, {{{0, 5}, {1, 1}}, {{0, 1}}}, {});
  EXPECT_EQ(recorded(), 1);
  for (const char* policy :
       {R"({"version":1,"edits":[{"op":"top_k","layer":"*","k":5}]})",
        R"({"version":1,"edits":[{"op":"prune","layer":0,"expert":1,"mode":"zero"}]})",
        R"({"version":1,"edits":[{"op":"top_k","layer":"*","k":4},{"op":"top_p","layer":1,"p":0.5}]})"}) {
    session->set_routing(table_of(policy, config));
    watch(*session, {{{0, 1}}}, parity::all_probes());
    watch(*session, {{{0, 1}}}, {});
  }
  EXPECT_EQ(recorded(), 1);
  watch(*session, {{{0, 1}, {1, 1}}, {{0, 1}, {1, 1}}}, CaptureRequest::standard());
  EXPECT_EQ(recorded(), 2) << "a second token makes a second graph";
}

TEST_F(Graphs, ThreeAndFourTokensShareOne) {
  const auto session = open(MathMode::bf16);
  watch(*session, {{{0, 1}, {1, 1}, {2, 1}}, {{0, 1}, {1, 1}, {2, 1}, {3, 1}}, {{1, 1}, {2, 1}, {3, 1}}}, {});
  EXPECT_EQ(recorded(), 1);
}

TEST_F(Graphs, OfManySequencesServeTheirBucketWhateverIsEditedAndWatched) {
  const auto session =
      must(open_cuda(make_model(odd_config(), {FormatId::bf16}), many_sequences(MathMode::bf16)));
  watch(*session, {one_each(9)}, {});
  EXPECT_EQ(recorded(), 1);
  for (const char* policy :
       {R"({"version":1,"edits":[{"op":"top_k","layer":"*","k":1}]})",
        R"({"version":1,"edits":[{"op":"prune","layer":0,"expert":1,"mode":"zero"}]})"}) {
    session->set_routing(table_of(policy, session->model().config()));
    watch(*session, {one_each(16), one_each(10)}, parity::all_probes());
    watch(*session, {one_each(11)}, {});
  }
  EXPECT_EQ(recorded(), 1);
  watch(*session, {one_each(8), one_each(17), one_each(40)}, {});
  EXPECT_EQ(recorded(), 4) << "8, 32 and 64";
}

TEST_F(Graphs, AreNotAskedForMoreSlotsThanTheModelHas) {
  const auto session =
      must(open_cuda(make_model(odd_config(), {FormatId::bf16}), many_sequences(MathMode::bf16)));
  session->set_routing(
      table_of(R"({"version":1,"edits":[{"op":"top_k","layer":0,"k":3}]})", session->model().config()));
  watch(*session, {one_each(9)}, {});
  EXPECT_EQ(recorded(), 0);
}

TEST_F(Graphs, AnEditDoesTheSameInAGraphThatIsThereAsInANewOne) {
  const auto session = open(MathMode::f32);
  const auto table = table_of(
      R"({"version":1,"edits":[{"op":"top_k","layer":"*","k":5},{"op":"reroute","layer":1,"from":0,"to":2}]})",
      session->model().config());
  const std::vector<Counts> steps = {{{0, 1}}, {{0, 1}}, {{0, 1}, {1, 1}}};
  watch(*session, steps, {});
  forget(*session);
  session->set_routing(table);
  const Watched edited = watch(*session, steps, parity::all_probes());
  const auto fresh = open(MathMode::f32);
  fresh->set_routing(table);
  expect_identical(edited, watch(*fresh, steps, parity::all_probes()));
}

TEST_F(Graphs, NothingOfAnEditRemains) {
  const auto session = open(MathMode::f32);
  const std::vector<Counts> steps = {{{0, 9}}, {{0, 1}}, {{0, 1}, {1, 1}}};
  const Watched before = watch(*session, steps, parity::all_probes());
  session->set_routing(table_of(R"({"version":1,"edits":[{"op":"force","layer":"*","expert":4}]})",
                                session->model().config()));
  forget(*session);
  const Watched edited = watch(*session, steps, parity::all_probes());
  EXPECT_NE(edited.logits, before.logits);
  session->set_routing(nullptr);
  forget(*session);
  expect_identical(watch(*session, steps, parity::all_probes()), before);
}

TEST_F(Graphs, GoOnAfterASequenceWasShortened) {
  const auto session = open(MathMode::f32);
  watch(*session, {{{0, 9}}, {{0, 1}}, {{0, 1}}, {{0, 1}}}, {});
  ASSERT_TRUE(session->truncate(0, 10));
  const Watched again = watch(*session, {{{0, 1}}}, {});
  forget(*session);
  const Watched straight = watch(*session, {{{0, 9}}, {{0, 1}}, {{0, 1}}}, {});
  EXPECT_EQ(again.logits[0], straight.logits[2]);
}

}  // namespace
}  // namespace expertscope::cuda
