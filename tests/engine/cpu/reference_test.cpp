// SPDX-License-Identifier: GPL-3.0-or-later
#include <gmock/gmock.h>

#include <cmath>
#include <functional>
#include <limits>

#include "engine/backend/activation.h"
#include "engine/cpu/can_run.h"
#include "engine/cpu/cpu_backend.h"
#include "engine/cpu/memory_plan.h"
#include "engine/cpu/reference_backend.h"
#include "engine/cpu/reference_math.h"
#include "engine/half.h"
#include "engine/run/routing_policy.h"
#include "engine/run/session.h"
#include "tests/support/random_model.h"

namespace expertscope {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatEq;
using ::testing::FloatNear;
using ::testing::HasSubstr;

BackendOptions small_options() {
  BackendOptions options;
  options.choice.kind = BackendKind::cpu;
  options.math = MathMode::f32;
  options.threads = 1;
  options.max_context = 64;
  options.max_batch = 64;
  options.max_sequences = 2;
  return options;
}

// Arithmetic, by hand.

TEST(ReferenceMath, RmsNormDividesByTheRootOfTheMeanSquare) {
  const NormSpec spec{.kind = NormSpec::Kind::rms, .eps = 0};
  cpu::Rows x(1, 2);
  x.values = {3, 4};  // mean square 12.5
  const float root = std::sqrt(12.5f);
  EXPECT_THAT(cpu::norm(spec, {1, 2}, {}, x).values, ElementsAre(FloatEq(3 / root), FloatEq(8 / root)));
}

TEST(ReferenceMath, LayerNormTakesTheMeanAwayAndAddsABias) {
  const NormSpec spec{.kind = NormSpec::Kind::layer, .eps = 0};
  cpu::Rows x(1, 2);
  x.values = {3, 7};  // mean 5, variance 4
  EXPECT_THAT(cpu::norm(spec, {1, 2}, {0.5f, 0}, x).values, ElementsAre(FloatEq(-0.5f), FloatEq(2)));
}

TEST(ReferenceMath, ANormOfAHeadTreatsEveryHeadByItself) {
  const NormSpec spec{.kind = NormSpec::Kind::rms, .eps = 0};
  cpu::Rows x(1, 4);
  x.values = {1, 1, 5, 5};
  EXPECT_THAT(cpu::norm(spec, {1, 1}, {}, x).values, ElementsAre(1, 1, 1, 1));
}

TEST(ReferenceMath, AProductTakesRowsOfWeightsOfEveryType) {
  cpu::Rows x(2, 2);
  x.values = {1, 2, 3, 4};
  const float f32[] = {1, 0.5f, -1, 2};
  std::uint16_t bf16[4], f16[4];
  for (int i = 0; i < 4; ++i) {
    bf16[i] = f32_to_bf16(f32[i]);
    f16[i] = f32_to_f16(f32[i]);
  }
  for (const Matrix& w :
       {Matrix{f32, &weight_format(FormatId::f32), 2, 2}, Matrix{bf16, &weight_format(FormatId::bf16), 2, 2},
        Matrix{f16, &weight_format(FormatId::f16), 2, 2}}) {
    EXPECT_THAT(cpu::product(w, {}, x).values, ElementsAre(2, 3, 5, 5)) << w.format->name;
    EXPECT_THAT(cpu::product(w, {10, 20}, x).values, ElementsAre(12, 23, 15, 25));
  }
}

TEST(ReferenceMath, Activations) {
  const auto activated = [](Activation activation, float x) {
    return rules::activation_of({.activation = activation}, x);
  };
  EXPECT_FLOAT_EQ(activated(Activation::silu, 1), 0.7310586f);
  EXPECT_FLOAT_EQ(activated(Activation::relu_squared, 3), 9);
  EXPECT_FLOAT_EQ(activated(Activation::relu_squared, -3), 0);
  EXPECT_THAT(activated(Activation::gelu_tanh, 1), FloatNear(0.841192f, 1e-6f));
}

TEST(ReferenceMath, AQuarterTurnSwapsThePairsOfAHead) {
  const float cosine[] = {0, 1};
  const float sine[] = {1, 0};
  std::vector<float> halves = {1, 2, 3, 4, 5};
  std::vector<float> pairs = {1, 2, 3, 4, 5};
  cpu::turn(halves, cosine, sine, false);
  cpu::turn(pairs, cosine, sine, true);
  EXPECT_THAT(halves, ElementsAre(-3, 2, 1, 4, 5));
  EXPECT_THAT(pairs, ElementsAre(-2, 1, 3, 4, 5));
}

TEST(ReferenceMath, TheLargestIsTheFirstOfEquals) {
  const std::vector<float> values = {1, -3, 3};
  EXPECT_EQ(cpu::largest(values), std::make_pair(3.0f, 1));
}

// Against the fast path.

std::vector<float> logits_of(Result<std::unique_ptr<Backend>> backend, std::shared_ptr<const Model> model) {
  EXPECT_TRUE(backend) << (backend ? "" : backend.error().message);
  auto session = Session::create(std::move(model), small_options(), std::move(*backend));
  EXPECT_TRUE(session) << (session ? "" : session.error().message);
  std::vector<float> all;
  const auto step = [&](Batch batch) {
    const auto logits = (*session)->step(std::move(batch));
    EXPECT_TRUE(logits) << (logits ? "" : logits.error().message);
    all.insert(all.end(), logits->begin(), logits->end());
  };
  step({{5, 9, 23, 41, 96, 0, 7}, {{0, 0, 4}, {1, 0, 3}}, LogitsWanted::all});
  step({{11, 12, 13}, {{1, 0, 2}, {0, 0, 1}}, LogitsWanted::last_of_each_chunk});
  return all;
}

TEST(Reference, GivesTheLogitsOfTheFastPath) {
  testing::ModelShape shape = testing::tiny_config();
  shape.moe_layer = {1, 0};
  for (const FormatId format : {FormatId::f32, FormatId::bf16, FormatId::f16, FormatId::q8_0}) {
    const auto model = testing::random_model(shape, format);
    const auto fast = logits_of(make_cpu_backend(model, small_options()), model);
    const auto reference = logits_of(make_reference_backend(model, small_options()), model);
    ASSERT_EQ(reference.size(), fast.size());
    float largest = 0;
    for (const float logit : fast)
      largest = std::max(largest, std::abs(logit));
    EXPECT_THAT(reference, ::testing::Pointwise(FloatNear(1e-5f * largest), fast))
        << weight_format(format).name;
  }
}

TEST(Reference, DescribesItself) {
  const auto model = testing::random_model(testing::tiny_config(), FormatId::f32);
  const auto backend = make_reference_backend(model, small_options());
  ASSERT_TRUE(backend);
  EXPECT_EQ((*backend)->description(), "CPU reference f32 (1 thread)");
  EXPECT_EQ((*backend)->info().kind, BackendKind::cpu);
  EXPECT_GT((*backend)->info().memory.workspace, 0);
}

TEST(Reference, ASessionSaysThatItComputesInF32) {
  const auto model = testing::random_model(testing::tiny_config(), FormatId::bf16);
  BackendOptions bf16 = small_options();
  bf16.math = MathMode::bf16;
  EXPECT_EQ((*Session::create(model, bf16))->options().math, MathMode::bf16);
  const auto session = Session::create(model, bf16, *make_reference_backend(model, bf16));
  ASSERT_TRUE(session);
  EXPECT_EQ((*session)->options().math, MathMode::f32);
}

TEST(Reference, NamesTheWeightThatIsNotFinite) {
  auto whole = testing::random_model(testing::tiny_config(), FormatId::f32);
  Weights weights = whole->weights();
  weights.layers[1].input_layernorm[3] = std::numeric_limits<float>::quiet_NaN();
  const auto model = Model::from_memory(whole->config(), std::move(weights), whole);
  auto session = Session::create(model, small_options(), *make_reference_backend(model, small_options()));
  ASSERT_TRUE(session);
  const auto logits = (*session)->step({{1, 2}, {{0, 0, 2}}, LogitsWanted::all});
  ASSERT_FALSE(logits);
  EXPECT_THAT(logits.error().message, HasSubstr("layer 1: NaN or infinity in the hidden state"));
  EXPECT_THAT(logits.error().message, HasSubstr("model.layers.1.input_layernorm.weight"));
}

// Which of the two runs a model.

TEST(CanRun, TheFastPathRunsPlainAttention) {
  EXPECT_TRUE(cpu::can_run(ModelConfig(testing::tiny_config())));
}

TEST(CanRun, TheFastPathRunsEveryRuleOfRoutingAndSharedExperts) {
  ModelConfig config = testing::tiny_config();
  config.layers[0].router.score = RouterSpec::Score::softmax_of_chosen;
  RouterSpec& router = config.layers[1].router;
  router.score = RouterSpec::Score::sigmoid;
  router.correction_bias = true;
  router.groups = router.top_groups = 2;
  router.scale = 2.5f;
  config.layers[1].shared.width = 8;
  EXPECT_TRUE(cpu::can_run(config));
}

TEST(CanRun, TheFastPathRunsWhatGptOssHas) {
  ModelConfig config = testing::tiny_config();
  LayerSpec& layer = config.layers[1];
  layer.attention.window = 8;
  layer.attention.sinks = true;
  layer.router.bias = true;
  layer.expert.clamp = 7;
  layer.expert.alpha = 1.702f;
  layer.expert.up_offset = 1;
  layer.expert.biases = true;
  EXPECT_TRUE(cpu::can_run(config));
}

TEST(CanRun, TheFastPathRunsWhatGemma4AndFlexOlmoHave) {
  ModelConfig config = testing::tiny_config();
  config.embedding_scale = 8;
  config.logit_cap = 30;
  LayerSpec& layer = config.layers[1];
  layer.norm_after = layer.branch_norms = layer.output_scale = true;
  layer.attention.scale = 1;
  layer.attention.v_norm = layer.attention.keys_as_values = true;
  layer.router.input_norm = layer.router.reads_residual = layer.router.expert_scale = true;
  layer.dense = {.width = 8, .activation = Activation::gelu_tanh};
  layer.expert.activation = Activation::gelu_tanh;
  config.layers[0].norm_before = false;
  EXPECT_TRUE(cpu::can_run(config));
}

TEST(CanRun, SaysWhatTheFastPathLacksAndInWhichLayer) {
  struct Case {
    std::function<void(LayerSpec&)> change;
    const char* reason;
  };
  const Case cases[] = {
      {[](LayerSpec& l) { l.attention.soft_cap = 30; }, "no soft-capped attention (layer 1)"},
      {[](LayerSpec& l) { l.attention.rotary.interleaved = true; }, "no interleaved rotary"},
      {[](LayerSpec& l) { l.norm.kind = NormSpec::Kind::layer; }, "no LayerNorm (layer 1)"},
      {[](LayerSpec& l) { l.router.weighs_input = true; }, "no weighted inputs of experts"},
      {[](LayerSpec& l) { l.router.input_norm = true; }, "no norms of routers"},
      {[](LayerSpec& l) { l.expert.activation = Activation::relu_squared; }, "no squared ReLU (layer 1)"},
      {[](LayerSpec& l) { l.shared = {.width = 8, .gated = false}; }, "no MLPs without a gate"},
      {[](LayerSpec& l) { l.expert.gated = false; }, "no MLPs without a gate"},
  };
  for (const Case& one : cases) {
    ModelConfig config = testing::tiny_config();
    one.change(config.layers[1]);
    const Status fast = cpu::can_run(config);
    ASSERT_FALSE(fast) << one.reason;
    EXPECT_EQ(fast.error().code, ErrorCode::unsupported);
    EXPECT_THAT(fast.error().message, HasSubstr(one.reason));
  }
}

TEST(CanRun, WhatTheFastPathCannotRunTheReferenceDoesAndSaysSo) {
  ModelConfig config = testing::tiny_config();
  config.layers[1].attention.soft_cap = 3;
  const auto model = testing::random_model(config, FormatId::f32);
  const auto backend = make_cpu_backend(model, small_options(), "there is no GPU");
  ASSERT_TRUE(backend) << backend.error().message;
  EXPECT_EQ((*backend)->description(), "CPU reference f32 (1 thread)");
  EXPECT_EQ((*backend)->info().reason,
            "there is no GPU; the fast path of the CPU has no soft-capped attention (layer 1)");
  const MemoryPlan plan = cpu::plan_memory(*model, small_options());
  EXPECT_EQ(plan.plain_because, "the fast path of the CPU has no soft-capped attention (layer 1)");
  EXPECT_EQ((*backend)->info().memory.kv_cache, plan.kv_cache);
  BackendOptions bf16 = small_options();
  bf16.math = MathMode::bf16;
  EXPECT_EQ(cpu::plan_memory(*model, bf16).kv_cache, (*backend)->info().memory.kv_cache);
}

TEST(CanRun, MixersThatNothingRunsAreRefusedByName) {
  ModelConfig config = testing::tiny_config();
  config.layers[1].mixer = MixerKind::state_space;
  const auto model = testing::random_model(config, FormatId::f32);
  const auto backend = make_cpu_backend(model, small_options());
  ASSERT_FALSE(backend);
  EXPECT_EQ(backend.error().code, ErrorCode::unsupported);
  EXPECT_EQ(backend.error().message, "layer 1 of this model is a state space (Mamba), which no backend runs");
}

}  // namespace
}  // namespace expertscope
