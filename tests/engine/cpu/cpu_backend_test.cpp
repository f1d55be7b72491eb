// SPDX-License-Identifier: GPL-3.0-or-later
#include <gmock/gmock.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "engine/backend/backend.h"
#include "engine/cpu/cpu_backend.h"
#include "engine/cpu/kernels/thread_pool.h"
#include "engine/cpu/memory_plan.h"
#include "engine/run/routing_policy.h"
#include "engine/run/session.h"
#include "tests/support/random_model.h"

namespace expertscope {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

BackendOptions options_for(MathMode math, int threads, int batch = 64) {
  BackendOptions options;
  options.math = math;
  options.threads = threads;
  options.max_context = 64;
  options.max_batch = batch;
  return options;
}

std::vector<std::int32_t> tokens(int count) {
  std::vector<std::int32_t> ids;
  for (int i = 0; i < count; ++i)
    ids.push_back((i * 53 + 11) % 97);
  return ids;
}

std::vector<float> all_logits(std::shared_ptr<const Model> model, const BackendOptions& options, int count) {
  auto session = Session::create(std::move(model), options);
  EXPECT_TRUE(session) << (session ? "" : session.error().message);
  Batch batch{tokens(count), {{0, 0, count}}, LogitsWanted::all};
  const auto logits = (*session)->step(std::move(batch));
  EXPECT_TRUE(logits) << (logits ? "" : logits.error().message);
  return {logits->begin(), logits->end()};
}

TEST(CpuBackend, TheNumberOfThreadsDoesNotChangeALogit) {
  for (const FormatId format : {FormatId::f32, FormatId::bf16, FormatId::f16, FormatId::q8_0}) {
    for (const MathMode math : {MathMode::f32, MathMode::bf16}) {
      const auto model = testing::random_model(testing::tiny_config(), format);
      const auto one = all_logits(model, options_for(math, 1), 50);
      EXPECT_EQ(all_logits(model, options_for(math, 3), 50), one);
    }
  }
}

/// Takes what the probes see.
class Blocks final : public CaptureSink {
 public:
  std::unique_ptr<CaptureBlock> acquire() override { return std::make_unique<CaptureBlock>(); }
  Status deliver(std::unique_ptr<CaptureBlock> block) override {
    last = std::move(block);
    return {};
  }
  std::unique_ptr<CaptureBlock> last;
};

TEST(CpuBackend, LayersOfDifferentWidthKeepTheirRouterLogitsWhereTheReferenceDoes) {
  ModelConfig config = testing::tiny_config();
  config.layers[0].router.experts = 5;
  const auto model = testing::random_model(config, FormatId::f32);
  Blocks fast;
  Blocks plain;
  for (Blocks* blocks : {&fast, &plain}) {
    BackendOptions options = options_for(MathMode::f32, 1);
    options.plain = blocks == &plain;
    auto session = Session::create(model, options);
    ASSERT_TRUE(session) << session.error().message;
    (*session)->set_capture({.router_logits = true}, blocks);
    ASSERT_TRUE((*session)->step({tokens(3), {{0, 0, 3}}, LogitsWanted::all}));
  }
  const std::vector<float>& logits = fast.last->router_logits;
  ASSERT_EQ(logits.size(), std::size_t{2 * 3 * 8});
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const bool absent = i < 3 * 8 && i % 8 >= 5;
    EXPECT_EQ(std::isnan(logits[i]), absent) << i;
    if (!absent) {
      EXPECT_NEAR(logits[i], plain.last->router_logits[i], 1e-4) << i;
    }
  }
}

TEST(CpuBackend, RunningTwiceGivesTheSameBits) {
  const auto model = testing::random_model(testing::tiny_config(), FormatId::bf16);
  const auto options = options_for(MathMode::bf16, 2);
  EXPECT_EQ(all_logits(model, options, 33), all_logits(model, options, 33));
}

TEST(CpuBackend, DescribesItself) {
  const auto model = testing::random_model(testing::tiny_config(), FormatId::f32);
  auto f32 = make_cpu_backend(model, options_for(MathMode::f32, 1));
  auto bf16 = make_cpu_backend(model, options_for(MathMode::bf16, 2));
  ASSERT_TRUE(f32 && bf16);
  EXPECT_THAT((*f32)->description(), AllOf(HasSubstr("CPU f32 ("), HasSubstr("1 thread)")));
  EXPECT_THAT((*bf16)->description(), AllOf(HasSubstr("CPU bf16 ("), HasSubstr("2 threads)")));
}

TEST(CpuBackend, SaysWhatRunsWhyAndWhereTheBytesGo) {
  const auto model = testing::random_model(testing::tiny_config(), FormatId::f32);
  const auto backend = make_cpu_backend(model, options_for(MathMode::f32, 1), "there is no GPU");
  ASSERT_TRUE(backend);
  const BackendInfo& info = (*backend)->info();
  EXPECT_EQ(info.kind, BackendKind::cpu);
  EXPECT_EQ(info.reason, "there is no GPU");
  EXPECT_TRUE(info.device.name.empty());
  const ModelConfig& config = model->config();
  EXPECT_EQ(info.memory.kv_cache, std::int64_t{config.num_layers()} * 2 * config.widest().key_width * 64 * 4);
  EXPECT_GT(info.memory.workspace, 64 * config.hidden_size * 4);
  EXPECT_EQ(info.memory.resident_experts, config.num_experts());
}

TEST(CpuBackend, TheNumberOfThreadsDoesNotChangeAScoreOrACandidate) {
  const auto model = testing::random_model(testing::tiny_config(), FormatId::bf16);
  const auto run = [&](int threads, LogitsWanted wanted) {
    auto session = Session::create(model, options_for(MathMode::bf16, threads));
    Batch batch{tokens(60), {{0, 0, 60}}, wanted, tokens(60), 5};
    const auto output = (*session)->run(std::move(batch));
    EXPECT_TRUE(output);
    return **output;
  };
  EXPECT_EQ(run(1, LogitsWanted::log_probs).log_probs, run(3, LogitsWanted::log_probs).log_probs);
  EXPECT_EQ(run(1, LogitsWanted::candidates).candidates[0].best,
            run(3, LogitsWanted::candidates).candidates[0].best);
}

TEST(CpuBackend, SaysHowMuchMemoryAContextNeedsAndHowMuchIsFree) {
  testing::ModelShape config = testing::tiny_config();
  config.max_position_embeddings = std::numeric_limits<int>::max();
  const auto model = testing::random_model(config, FormatId::f32);
  BackendOptions options = options_for(MathMode::f32, 1);
  options.max_context = 1 << 30;
  options.max_sequences = 64;
  const auto backend = make_cpu_backend(model, options);
  ASSERT_FALSE(backend);
  EXPECT_EQ(backend.error().code, ErrorCode::out_of_memory);
  EXPECT_THAT(backend.error().message,
              AllOf(HasSubstr("are needed"), HasSubstr("KV cache"), HasSubstr("are free")));
}

TEST(CpuBackend, RefusesSizesWhoseBytesOverflow) {
  const auto model = testing::random_model(testing::tiny_config(), FormatId::f32);
  BackendOptions options = options_for(MathMode::f32, 1);
  options.max_context = std::numeric_limits<int>::max();
  options.max_sequences = std::numeric_limits<int>::max();
  options.max_batch = std::numeric_limits<int>::max();
  const auto backend = make_cpu_backend(model, options);
  ASSERT_FALSE(backend);
  EXPECT_EQ(backend.error().code, ErrorCode::out_of_memory);
}

TEST(CpuBackend, RefusesOptionsThatMakeNoSense) {
  const auto model = testing::random_model(testing::tiny_config(), FormatId::f32);
  for (int field = 0; field < 4; ++field) {
    BackendOptions options = options_for(MathMode::f32, 1);
    (field == 0   ? options.threads
     : field == 1 ? options.max_context
     : field == 2 ? options.max_batch
                  : options.max_sequences) = -1;
    const auto backend = make_cpu_backend(model, options);
    ASSERT_FALSE(backend) << field;
    EXPECT_EQ(backend.error().code, ErrorCode::invalid_argument);
  }
}

TEST(CpuBackend, RefusesMoreThreadsThanThePoolCanCount) {
  const auto model = testing::random_model(testing::tiny_config(), FormatId::f32);
  const auto backend = make_cpu_backend(model, options_for(MathMode::f32, cpu::ThreadPool::kMaxThreads + 1));
  ASSERT_FALSE(backend);
  EXPECT_THAT(backend.error().message, HasSubstr("1025 threads are not possible, at most 1024 are"));
}

/// A model whose weight at `damage(weights)` is NaN.
template <class Damage>
std::shared_ptr<const Model> damaged_model(const testing::ModelShape& config, Damage damage) {
  auto whole = testing::random_model(config, FormatId::f32);
  Weights weights = whole->weights();
  const Matrix& target = damage(weights);
  // The storage belongs to this test alone, the model was not used yet.
  auto* values = static_cast<float*>(const_cast<void*>(target.data));
  values[target.cols + 1] = std::numeric_limits<float>::quiet_NaN();
  return Model::from_memory(config, std::move(weights), whole);
}

std::string error_of(std::shared_ptr<const Model> model, int count) {
  auto session = Session::create(std::move(model), options_for(MathMode::f32, 2));
  const auto result = (*session)->prefill(0, tokens(count));
  return result ? "accepted" : result.error().message;
}

TEST(CpuBackendNan, NamesTheLayerAndTheTensor) {
  const auto model =
      damaged_model(testing::tiny_config(), [](Weights& w) -> Matrix& { return w.layers[1].q_proj; });
  EXPECT_THAT(error_of(model, 8), AllOf(HasSubstr("layer 1: NaN or infinity"), HasSubstr("q_proj")));
}

TEST(CpuBackendNan, FindsADamagedExpertOnceItIsSelected) {
  const auto model = damaged_model(testing::tiny_config(),
                                   [](Weights& w) -> Matrix& { return w.layers[0].experts[3].down_proj; });
  EXPECT_THAT(error_of(model, 60), AllOf(HasSubstr("layer 0"), HasSubstr("down_proj")));
}

TEST(CpuBackendNan, ADamagedRouterStillGivesAnErrorAndNoCrash) {
  const auto model =
      damaged_model(testing::tiny_config(), [](Weights& w) -> Matrix& { return w.layers[0].router; });
  EXPECT_THAT(error_of(model, 8), AllOf(HasSubstr("layer 0"), HasSubstr("mlp.gate")));
}

TEST(CpuBackendNan, NamesTheEmbeddingAndTheHead) {
  const auto embedding =
      damaged_model(testing::tiny_config(), [](Weights& w) -> Matrix& { return w.embed_tokens; });
  auto session = Session::create(embedding, options_for(MathMode::f32, 1));
  const auto result = (*session)->prefill(0, std::vector<std::int32_t>{1});
  ASSERT_FALSE(result);
  EXPECT_THAT(result.error().message, AllOf(HasSubstr("the embedding"), HasSubstr("embed_tokens")));
  EXPECT_EQ((*session)->length(0), 0) << "a failed step leaves the sequence as it was";
  const auto head = damaged_model(testing::tiny_config(), [](Weights& w) -> Matrix& { return w.lm_head; });
  EXPECT_THAT(error_of(head, 3), AllOf(HasSubstr("logits are not finite"), HasSubstr("lm_head")));
}

TEST(CpuBackendNan, ASilencedExpertIsNotRunAtAll) {
  const auto model = damaged_model(testing::tiny_config(),
                                   [](Weights& w) -> Matrix& { return w.layers[0].experts[3].down_proj; });
  auto session = Session::create(model, options_for(MathMode::f32, 2));
  const auto policy = RoutingPolicy::from_json(
      R"({"version":1,"edits":[{"op":"prune","layer":0,"expert":3,"mode":"zero"}]})", "p");
  (*session)->set_routing(*policy->compile(model->config()));
  EXPECT_TRUE((*session)->prefill(0, tokens(60)));
}

TEST(CpuMemory, BuffersAreAlignedAndFailWithoutThrowing) {
  Buffer<float> buffer;
  ASSERT_TRUE(buffer.allocate(3));
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.data()) % 64, 0u);
  ASSERT_TRUE(buffer.allocate(3u << 20));
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.data()) % (2u << 20), 0u);
  EXPECT_FALSE(buffer.allocate(std::numeric_limits<std::size_t>::max() / 2));
  EXPECT_EQ(buffer.size(), 0u);
}

TEST(CpuMemory, KnowsHowMuchIsFree) {
  const auto available = available_memory();
  ASSERT_TRUE(available);
  EXPECT_GT(*available, 0u);
}

TEST(CpuMemory, NothingLeftIsAnotherThingThanNotKnown) {
  const auto model = testing::random_model(testing::tiny_config(), FormatId::f32);
  const BackendOptions options = options_for(MathMode::f32, 1);
  const MemoryPlan full = cpu::plan_memory(*model, options, 0);
  EXPECT_TRUE(full.available_known());
  EXPECT_TRUE(describe(full, BackendKind::cpu).ends_with("; 0 B free: does not fit"));
  const MemoryPlan unknown = cpu::plan_memory(*model, options, std::nullopt);
  EXPECT_FALSE(unknown.available_known());
  EXPECT_TRUE(describe(unknown, BackendKind::cpu).ends_with("; how much is free is not known"));
}

}  // namespace
}  // namespace expertscope
