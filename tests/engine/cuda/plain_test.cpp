// SPDX-License-Identifier: GPL-3.0-or-later
// The plain path on the emulated GPU: which models it runs and what it says of itself, and that it gives what
// the reference of the CPU gives. Every intermediate of every family and feature is compared in tests/parity.
#include <gmock/gmock.h>

#include <limits>

#include "engine/cuda/cuda_backend.h"
#include "engine/cuda/weights/memory_plan.h"
#include "tests/engine/cuda/backend_fixture.h"

namespace expertscope::cuda {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

BackendOptions plain_options(MathMode math = MathMode::f32) {
  BackendOptions options = small_options(math);
  options.plain = true;
  return options;
}

class Plain : public ::testing::Test {
 protected:
  simt::Emulation emulation_;
};

TEST_F(Plain, SaysWhatRunsAndThatItIsInF32) {
  const auto session = must(open_cuda(make_model(odd_config()), plain_options(MathMode::bf16)));
  EXPECT_EQ(session->backend_description(), "CUDA plain f32 (Emulated GPU)");
  EXPECT_EQ(session->backend_info().kind, BackendKind::cuda);
  EXPECT_EQ(session->backend_info().reason, "emulated");
  EXPECT_EQ(session->backend_info().device.name, "Emulated GPU");
  EXPECT_EQ(session->options().math, MathMode::f32);
}

struct Lacking {
  const char* reason;
  void (*change)(ModelShape&);
};

TEST_F(Plain, RunsWhatTheTunedPathHasNoRoomForAndSaysWhy) {
  const Lacking cases[] = {
      {"head_dim = 258", [](ModelShape& c) { c.head_dim = 258; }},
      {"head_dim = 13", [](ModelShape& c) { c.head_dim = 13; }},
      {"num_experts = 1025",
       [](ModelShape& c) {
         c.num_experts = 1025;
         c.moe_intermediate_size = 1;
       }},
      {"hidden_size = 60000",
       [](ModelShape& c) {
         c.hidden_size = 60000;
         c.num_hidden_layers = 1;
         c.moe_layer = {1};
         c.moe_intermediate_size = 1;
       }},
      {"num_attention_heads = 60",
       [](ModelShape& c) {
         c.num_attention_heads = 60;  // three at a time, 20 times: a thread takes up to 16
         c.num_key_value_heads = 1;
         c.head_dim = 136;
       }},
      {"num_attention_heads = 1024",
       [](ModelShape& c) {
         c.num_attention_heads = 1024;
         c.num_key_value_heads = 1;
         c.head_dim = 2;
       }},
  };
  for (const Lacking& lacking : cases) {
    SCOPED_TRACE(lacking.reason);
    ModelShape config = odd_config();
    lacking.change(config);
    const auto model = make_model(config);
    const auto session = must(open_cuda(model, small_options(MathMode::f32)));
    EXPECT_EQ(session->backend_description(), "CUDA plain f32 (Emulated GPU)");
    EXPECT_THAT(session->backend_info().reason, AllOf(HasSubstr("emulated; "), HasSubstr(lacking.reason),
                                                      HasSubstr("the tuned path of CUDA")));
    EXPECT_EQ(plan_memory(*model, small_options(MathMode::f32))->device_total(),
              session->backend_info().memory.device_total());
  }
}

TEST_F(Plain, RunsWhatTheTunedPathDoesNotDoAndSaysWhy) {
  const auto whole = make_model(odd_config());
  ModelConfig config = whole->config();
  config.layers[1].attention.window = 8;
  const auto session =
      must(open_cuda(Model::from_memory(config, whole->weights(), whole), small_options(MathMode::f32)));
  const std::string why = "the tuned path of CUDA has no sliding windows (layer 1)";
  EXPECT_EQ(session->backend_info().reason, "emulated; " + why);
  EXPECT_EQ(plan_memory(session->model(), small_options(MathMode::f32))->plain_because, why);
}

TEST_F(Plain, GivesWhatTheReferenceGivesInEveryKindOfStep) {
  ModelShape biases = odd_config();
  biases.attention_bias = biases.tie_word_embeddings = true;
  ModelShape no_experts = odd_config();
  no_experts.moe_layer = {0, 0};
  no_experts.num_experts = no_experts.num_experts_per_tok = no_experts.moe_intermediate_size = 0;
  ModelShape odd_heads = odd_config();
  odd_heads.head_dim = 13;
  odd_heads.partial_rotary_factor = 0.5;
  const std::pair<ModelShape, Types> cases[] = {
      {odd_config(), {FormatId::f32}},
      {biases, {FormatId::bf16, FormatId::f32, FormatId::f16, FormatId::bf16}},
      {no_experts, {FormatId::f16}},
      {odd_heads, {FormatId::f32}},
  };
  for (const auto& [shape, types] : cases) {
    const auto model = make_model(shape, types);
    const auto session = must(open_cuda(model, plain_options()));
    const auto reference = must(open_cpu(model, plain_options()));
    expect_agreement(record(*session, all_kinds_of_steps()), record(*reference, all_kinds_of_steps()),
                     MathMode::f32);
  }
}

TEST_F(Plain, GivesWhatTheReferenceGivesUnderEveryEdit) {
  const auto model = make_model(odd_config());
  const auto session = must(open_cuda(model, plain_options()));
  const auto reference = must(open_cpu(model, plain_options()));
  const std::vector<Counts> steps = {{{0, 7}}, {{0, 1}, {1, 2}}};
  for (
      const std::string edits : {
          R"({"op":"prune","layer":0,"expert":1,"mode":"mask"},{"op":"prune","layer":"*","expert":2,"mode":"zero"},)"
          R"({"op":"prune","layer":1,"expert":3,"mode":"drop"})",
          R"({"op":"reroute","layer":"*","from":0,"to":4},{"op":"reroute","layer":"*","from":1,"to":4},)"
          R"({"op":"bias","layer":0,"expert":0,"logit":2.5},{"op":"force","layer":"*","expert":3})",
          R"({"op":"top_k","layer":0,"k":5},{"op":"top_p","layer":"*","p":0.6})",
      }) {
    SCOPED_TRACE(edits);
    const auto table = table_of(R"({"version":1,"edits":[)" + edits + "]}", model->config());
    for (Session* one : {session.get(), reference.get()}) {
      one->set_routing(table);
      for (const int sequence : {0, 1})
        ASSERT_TRUE(one->truncate(sequence, 0));
    }
    expect_agreement(record(*session, steps), record(*reference, steps), MathMode::f32);
  }
}

TEST_F(Plain, DependsOnNoScheduleAndLeavesNothing) {
  const auto run = [&](simt::Order order, simt::Async async) {
    simt::change_schedule(order, async);
    const auto session = must(open_cuda(make_model(odd_config()), plain_options()));
    return watch(*session, {{{0, 7}}, {{0, 1}, {1, 3}}}, parity::all_probes());
  };
  const Watched forward = run(simt::Order::forward, simt::Async::eager);
  expect_identical(run(simt::Order::reverse, simt::Async::late), forward);
  expect_identical(run(simt::Order::random, simt::Async::random), forward);
  EXPECT_EQ(simt::alive(), simt::Alive{});
}

TEST_F(Plain, ProbesAndCompanionsDoNotChangeALogit) {
  const auto model = make_model(odd_config());
  const std::vector<Counts> together = {{{0, 7}, {1, 3}}, {{0, 1}, {1, 2}}};
  const auto probed = watch(*must(open_cuda(model, plain_options())), together, parity::all_probes());
  expect_identical(watch(*must(open_cuda(model, plain_options())), together, {}), probed);
  const auto alone = watch(*must(open_cuda(model, plain_options())), {{{0, 7}}, {{0, 1}}}, {});
  for (std::size_t step = 0; step < 2; ++step)
    EXPECT_TRUE(
        std::equal(alone.logits[step].begin(), alone.logits[step].end(), probed.logits[step].begin()));
}

TEST_F(Plain, GivesLogProbabilitiesAndCandidatesAsTheReference) {
  const auto model = make_model(odd_config());
  const auto step = [&](Session& session, LogitsWanted wanted) {
    Batch batch = next_batch(session, {{0, 5}, {2, 3}}, wanted);
    batch.targets = {-1, 3, 0, 7, -1, 52, 1, -1};
    batch.candidates = 4;
    auto output = session.run(std::move(batch));
    EXPECT_TRUE(output) << (output ? "" : output.error().message);
    return **output;
  };
  const auto session = must(open_cuda(model, plain_options()));
  const auto reference = must(open_cpu(model, plain_options()));
  const auto scored = step(*session, LogitsWanted::log_probs);
  const auto expected = step(*reference, LogitsWanted::log_probs);
  ASSERT_EQ(scored.log_probs.size(), 8u);
  for (std::size_t t = 0; t < 8; ++t) {
    EXPECT_EQ(std::isnan(scored.log_probs[t]), std::isnan(expected.log_probs[t])) << t;
    if (!std::isnan(expected.log_probs[t])) {
      EXPECT_NEAR(scored.log_probs[t], expected.log_probs[t], 1e-5) << t;
    }
  }
  const auto chosen = step(*session, LogitsWanted::candidates);
  const auto wanted = step(*reference, LogitsWanted::candidates);
  ASSERT_EQ(chosen.candidates.size(), 2u);
  for (std::size_t c = 0; c < 2; ++c) {
    ASSERT_EQ(chosen.candidates[c].best.size(), wanted.candidates[c].best.size());
    for (std::size_t i = 0; i < wanted.candidates[c].best.size(); ++i)
      EXPECT_EQ(chosen.candidates[c].best[i].id, wanted.candidates[c].best[i].id);
    EXPECT_NEAR(chosen.candidates[c].log_sum_exp, wanted.candidates[c].log_sum_exp, 1e-5);
  }
}

TEST_F(Plain, SaysWhereNanCameUpAsTheReference) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  std::vector<float> head(53 * 37, nan);
  const std::function<void(Weights&)> changes[] = {
      [&](Weights& weights) { weights.layers[1].q_norm[3] = nan; },
      [&](Weights& weights) { weights.norm[0] = nan; },
      [&](Weights& weights) { weights.embed_tokens.data = head.data(); },
  };
  for (const auto& change : changes) {
    const auto model = make_model(odd_config(), {FormatId::f32}, change);
    const auto session = must(open_cuda(model, plain_options()));
    const auto reference = must(open_cpu(model, plain_options()));
    const auto actual = session->run(next_batch(*session, {{0, 3}}));
    const auto expected = reference->run(next_batch(*reference, {{0, 3}}));
    ASSERT_FALSE(actual);
    ASSERT_FALSE(expected);
    EXPECT_EQ(actual.error().code, ErrorCode::format);
    EXPECT_EQ(actual.error().message, expected.error().message);
  }
}

TEST_F(Plain, PlansWhatItTakesAndRefusesWhatDoesNotFit) {
  const auto model = make_model(odd_config(), {FormatId::bf16, FormatId::f32, FormatId::f16});
  const auto session = must(open_cuda(model, plain_options()));
  const MemoryPlan& plan = session->backend_info().memory;
  const auto taken = static_cast<std::int64_t>(simt::alive().device_bytes);
  EXPECT_EQ(taken, plan.device_total() - plan.capture);
  EXPECT_EQ(plan.resident_experts, 5);
  BackendOptions small = plain_options();
  small.device_memory = kReservedBytes + plan.device_total() - 1;
  const auto refused = open_cuda(model, small);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::out_of_memory);
  EXPECT_THAT(refused.error().message, HasSubstr("of GPU memory are needed"));
  BackendOptions huge = plain_options();
  huge.max_context = huge.max_sequences = huge.max_batch = std::numeric_limits<int>::max();
  const auto overflow = make_cuda_backend(model, huge, "test", {}, {});
  ASSERT_FALSE(overflow);
  EXPECT_EQ(overflow.error().code, ErrorCode::out_of_memory);
}

TEST_F(Plain, StopsLoadingWhenToldTo) {
  std::stop_source stop;
  const auto session = open_cuda(
      make_model(odd_config()), plain_options(), [&](const std::string&, double) { stop.request_stop(); },
      stop.get_token());
  ASSERT_FALSE(session);
  EXPECT_EQ(session.error().code, ErrorCode::cancelled);
  EXPECT_EQ(simt::alive(), simt::Alive{});
}

TEST_F(Plain, OpensWithAnErrorAtEveryCallThatFailsAndLeavesNothing) {
  const auto model = make_model(odd_config());
  for (const char* function : {"cudaMalloc", "cudaHostAlloc", "cudaStreamCreateWithFlags", "cudaMemcpyAsync",
                               "cudaStreamSynchronize"}) {
    int failed = 0;
    for (int nth = 1;; ++nth) {
      simt::reset();
      simt::fail_call(function, nth, cudaErrorUnknown);
      const auto session = open_cuda(model, plain_options());
      if (session) break;
      ++failed;
      EXPECT_EQ(session.error().code, ErrorCode::device) << function << " " << nth;
      EXPECT_EQ(simt::alive(), simt::Alive{});
    }
    EXPECT_GT(failed, 0) << function << " is not called";
  }
}

TEST_F(Plain, NamesOperationAndLayerOfAFailureAndGoesOnAfterIt) {
  const auto model = make_model(odd_config());
  const std::vector<Counts> steps = {{{0, 5}}};
  const Watched expected = watch(*must(open_cuda(model, plain_options())), steps, {});
  const auto session = must(open_cuda(model, plain_options()));
  simt::fail_call("cudaLaunchKernelEx", 20, cudaErrorUnknown);
  const auto failed = session->run(next_batch(*session, steps[0]));
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, ErrorCode::device);
  EXPECT_THAT(failed.error().message, HasSubstr("layer 0, experts failed on the GPU"));
  expect_identical(watch(*session, steps, {}), expected);
}

}  // namespace
}  // namespace expertscope::cuda
