// SPDX-License-Identifier: GPL-3.0-or-later
// Models larger than the card: the experts stay on the host and some of them on the device.
#include <gmock/gmock.h>

#include <set>

#include "engine/cuda/weights/expert_cache.h"
#include "engine/cuda/weights/memory_plan.h"
#include "tests/engine/cuda/backend_fixture.h"

namespace expertscope::cuda {
namespace {

constexpr int kExperts = 8;

/// A prompt that needs more experts than there is room for, graphs of two sizes, a prompt beside tokens.
const std::vector<Counts> kSteps = {{{0, 19}, {1, 1}}, {{0, 1}},         {{0, 1}, {1, 1}, {2, 1}},
                                    {{1, 9}, {2, 1}},  {{0, 1}, {1, 1}}, {{2, 1}}};

ModelShape cached_config() {
  ModelShape config = odd_config();
  config.num_experts = kExperts;
  config.num_hidden_layers = 3;
  config.moe_layer = {1, 0, 1};
  return config;
}

class Cache : public ::testing::Test {
 protected:
  static std::shared_ptr<const Model> model() {
    static const auto shared = make_model(cached_config(), {FormatId::bf16});
    return shared;
  }

  /// Options with device memory for `experts` experts a layer and not one more.
  static BackendOptions options_for(int experts, MathMode math) {
    BackendOptions options = small_options(math);
    const WeightLayout layout(model()->config(), model()->weights(), math);
    const DeviceLimits limits{4, std::size_t{227} << 10, 9, 0};
    const auto all = plan(layout, model()->config(), options, limits, std::int64_t{1} << 40);
    EXPECT_TRUE(all);
    const std::int64_t rest = all->device_total() - static_cast<std::int64_t>(layout.expert_bytes());
    options.device_memory = kReservedBytes + rest +
                            static_cast<std::int64_t>(ExpertCache::bytes(layout, model()->config(), experts));
    return options;
  }

  static std::unique_ptr<Session> open(int experts, MathMode math) {
    auto session = must(open_cuda(model(), options_for(experts, math)));
    if (session) {
      EXPECT_EQ(session->backend_info().memory.resident_experts, experts);
    }
    return session;
  }

  static std::size_t expert_bytes() {
    return WeightLayout(model()->config(), model()->weights(), MathMode::bf16).largest_expert();
  }

  simt::Emulation emulation_;
};

class CacheOf : public Cache, public ::testing::WithParamInterface<std::tuple<int, MathMode>> {};

TEST_P(CacheOf, ExpertsChangesNoBit) {
  const auto [experts, math] = GetParam();
  const auto all = must(open_cuda(model(), small_options(math)));
  const auto some = open(experts, math);
  ASSERT_TRUE(all && some);
  EXPECT_EQ(all->backend_info().memory.resident_experts, kExperts);
  expect_identical(watch(*some, kSteps, parity::all_probes()), watch(*all, kSteps, parity::all_probes()));
}

TEST_P(CacheOf, ExpertsCountsWhatItReads) {
  const auto [experts, math] = GetParam();
  const auto session = open(experts, math);
  ASSERT_TRUE(session);
  const Watched watched = watch(*session, kSteps, parity::all_probes());
  for (const auto& block : watched.blocks) {
    ASSERT_EQ(block->cache_hits.size(), 2u);
    for (int layer = 0; layer < 2; ++layer) {
      std::set<int> selected;
      for (int token = 0; token < block->tokens; ++token) {
        for (int slot = 0; slot < block->slots; ++slot)
          selected.insert(block->expert[block->slot_index(layer, token, slot)]);
      }
      const auto at = static_cast<std::size_t>(layer);
      EXPECT_EQ(block->cache_hits[at] + block->cache_misses[at], static_cast<std::int64_t>(selected.size()));
      EXPECT_EQ(block->cache_bytes[at], block->cache_misses[at] * static_cast<std::int64_t>(expert_bytes()));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, CacheOf,
                         ::testing::Combine(::testing::Values(1, 2, 4, 7),
                                            ::testing::Values(MathMode::f32, MathMode::bf16)),
                         [](const auto& test) {
                           return std::to_string(std::get<0>(test.param)) +
                                  (std::get<1>(test.param) == MathMode::f32 ? "_f32" : "_bf16");
                         });

TEST_F(Cache, ASecondStepWithTheSameExpertsReadsNothing) {
  const auto session = open(4, MathMode::f32);
  const Watched watched = watch(*session, {{{0, 1}}}, CaptureRequest::standard());
  ASSERT_TRUE(session->truncate(0, 0));
  const Watched again = watch(*session, {{{0, 1}}}, CaptureRequest::standard());
  EXPECT_THAT(watched.blocks[0]->cache_misses, ::testing::ElementsAre(2, 2));
  EXPECT_THAT(again.blocks[0]->cache_misses, ::testing::ElementsAre(0, 0));
  EXPECT_THAT(again.blocks[0]->cache_hits, ::testing::ElementsAre(2, 2));
}

TEST_F(Cache, ASilencedExpertIsNotRead) {
  const auto session = open(4, MathMode::f32);
  std::string edits;
  for (int e = 0; e < kExperts; ++e)
    edits += std::string(e > 0 ? "," : "") + R"({"op":"prune","layer":0,"expert":)" + std::to_string(e) +
             R"(,"mode":"zero"})";
  session->set_routing(table_of(R"({"version":1,"edits":[)" + edits + "]}", session->model().config()));
  const Watched watched = watch(*session, {{{0, 5}}, {{0, 1}}}, CaptureRequest::standard());
  for (const auto& block : watched.blocks) {
    EXPECT_EQ(block->cache_hits[0] + block->cache_misses[0], 0);
    EXPECT_GT(block->cache_hits[1] + block->cache_misses[1], 0);
  }
}

TEST_F(Cache, WorksUnderEverySchedule) {
  const auto session = open(2, MathMode::bf16);
  const Watched expected = watch(*session, kSteps, parity::all_probes());
  for (const std::uint64_t seed : {3, 4, 5}) {
    simt::change_schedule(simt::Order::random, simt::Async::random, seed, 2);
    for (const int sequence : {0, 1, 2})
      ASSERT_TRUE(session->truncate(sequence, 0));
    expect_identical(watch(*session, kSteps, parity::all_probes()), expected);
  }
}

TEST_F(Cache, NeedsNoNewGraphAndLeavesNothing) {
  {
    const auto session = open(1, MathMode::f32);
    watch(*session, {{{0, 1}}, {{0, 1}}, {{0, 1}}}, CaptureRequest::standard());
    EXPECT_EQ(simt::calls("cudaGraphInstantiate"), 1);
  }
  EXPECT_EQ(simt::alive(), simt::Alive{});
}

TEST_F(Cache, WithoutRoomForOneExpertItSaysWhatIsNeededAndFree) {
  BackendOptions options = options_for(1, MathMode::f32);
  options.device_memory -= 1;
  const auto session = open_cuda(model(), options);
  ASSERT_FALSE(session);
  EXPECT_EQ(session.error().code, ErrorCode::out_of_memory);
  EXPECT_THAT(session.error().message, ::testing::HasSubstr("are needed"));
  EXPECT_THAT(session.error().message, ::testing::HasSubstr("are free"));
  EXPECT_EQ(simt::alive(), simt::Alive{});
}

}  // namespace
}  // namespace expertscope::cuda
