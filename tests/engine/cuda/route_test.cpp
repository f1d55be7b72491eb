// SPDX-License-Identifier: GPL-3.0-or-later
// The router's kernel against engine/cpu/router.h: every rule, every number of experts and slots, every edit,
// and logits that no router should give.
#include "tests/engine/cuda/kernels.h"

#include <gmock/gmock.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <set>

#include "engine/backend/capture.h"
#include "engine/cpu/router.h"
#include "engine/cuda/kernels/route_rows.cuh"
#include "tests/support/plain_routing.h"

namespace expertscope::cuda {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

/// A table in device memory.
class OnDevice {
 public:
  explicit OnDevice(const LayerRouting& r, const std::vector<float>& correction_bias = {})
      : bias_(r.logit_bias),
        remap_(r.remap),
        scale_(r.output_scale),
        drop_(r.drop),
        force_(r.force),
        correction_(correction_bias.empty() ? std::vector<float>(1) : correction_bias) {
    DeviceRouting routing = cpu::rule_of(r, {});
    routing.logit_bias = bias_.data();
    routing.remap = remap_.data();
    routing.output_scale = scale_.data();
    routing.drop = drop_.data();
    routing.force = force_.data();
    routing.correction_bias = correction_bias.empty() ? nullptr : correction_.data();
    routing_ = std::make_unique<Array<DeviceRouting>>(std::vector{routing});
  }
  const DeviceRouting* data() { return routing_->data(); }

 private:
  Array<float> bias_;
  Array<std::int32_t> remap_;
  Array<float> scale_;
  Array<std::uint8_t> drop_, force_;
  Array<float> correction_;
  std::unique_ptr<Array<DeviceRouting>> routing_;
};

struct Routed {
  std::vector<std::int32_t> expert;
  std::vector<float> weight, probability, captured_weight, entropy, logits;
  std::vector<std::uint16_t> captured_expert;
};

/// Routes `tokens` rows with `slots` slots a token; the probes write to layer `layer` of two.
Routed route_on_device(const std::vector<float>& logits, const LayerRouting& table, int tokens, int slots,
                       int layer, int warps, const std::vector<float>& correction_bias = {}) {
  const int experts = static_cast<int>(table.remap.size());
  const auto count = static_cast<std::size_t>(tokens * slots);
  Array<float> device_logits(logits);
  Array<std::int32_t> expert(count);
  Array<float> weight(count);
  Array<std::uint16_t> captured_expert(2 * count);
  Array<float> probability(2 * count), captured_weight(2 * count);
  Array<float> entropy(static_cast<std::size_t>(2 * tokens));
  Array<float> router_logits(2 * logits.size());
  DeviceStep step;
  step.tokens = tokens;
  step.slots = slots;
  step.capture.expert = captured_expert.data();
  step.capture.probability = probability.data();
  step.capture.weight = captured_weight.data();
  step.capture.entropy = entropy.data();
  step.capture.router_logits = router_logits.data();
  step.capture.experts = experts;
  Array<DeviceStep> device_step(std::vector{step});
  OnDevice routing(table, correction_bias);
  const std::size_t scratch =
      static_cast<std::size_t>(route_scratch_floats(experts, table.top_k)) * sizeof(float);
  run(&route_rows,
      {blocks((tokens + warps - 1) / warps), warps * kWarp, static_cast<std::size_t>(warps) * scratch},
      device_step.data(), routing.data(), device_logits.data(), experts, layer,
      DeviceSlots{expert.data(), weight.data()});
  const auto part = [&](const auto& array, std::size_t size) {
    const auto all = array.read();
    const auto first = all.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(layer) * size);
    return std::decay_t<decltype(all)>(first, first + static_cast<std::ptrdiff_t>(size));
  };
  return {expert.read(),
          weight.read(),
          part(probability, count),
          part(captured_weight, count),
          part(entropy, static_cast<std::size_t>(tokens)),
          part(router_logits, logits.size()),
          part(captured_expert, count)};
}

void expect_float(float actual, float expected, const char* what) {
  if (std::isnan(expected)) {
    EXPECT_TRUE(std::isnan(actual)) << what << " " << actual;
    return;
  }
  EXPECT_NEAR(actual, expected, 2e-6f * std::max(1.0f, std::abs(expected))) << what;
}

/// Every slot, weight and probe as the CPU has them; slots behind top_k are empty.
void expect_like_the_cpu(const std::vector<float>& logits, const LayerRouting& table, int tokens, int slots,
                         const std::vector<float>& correction_bias = {}) {
  const auto experts = table.remap.size();
  const Routed routed = route_on_device(logits, table, tokens, slots, 1, tokens % 4 + 1, correction_bias);
  std::vector<float> scratch(experts);
  for (int t = 0; t < tokens; ++t) {
    SCOPED_TRACE("token " + std::to_string(t));
    const std::span<const float> row(logits.data() + static_cast<std::size_t>(t) * experts, experts);
    std::vector<RoutedSlot> expected(static_cast<std::size_t>(table.top_k));
    cpu::route(row, cpu::rule_of(table, correction_bias), scratch, expected);
    expected.resize(static_cast<std::size_t>(slots));
    for (int s = 0; s < slots; ++s) {
      const auto at = static_cast<std::size_t>(t * slots + s);
      const RoutedSlot& slot = expected[static_cast<std::size_t>(s)];
      ASSERT_EQ(routed.expert[at], slot.expert) << "slot " << s;
      EXPECT_EQ(routed.captured_expert[at], slot.expert < 0 ? kNoExpert : slot.expert);
      expect_float(routed.weight[at], slot.weight, "weight");
      expect_float(routed.captured_weight[at], slot.weight, "captured weight");
      expect_float(routed.probability[at], slot.score, "score");
    }
    expect_float(routed.entropy[static_cast<std::size_t>(t)], cpu::router_entropy(table.model.score, row),
                 "entropy");
  }
  EXPECT_EQ(std::memcmp(routed.logits.data(), logits.data(), logits.size() * sizeof(float)), 0)
      << "logits are recorded as the model computed them";
}

class RouteRows : public testing::TestWithParam<int> {};

TEST_P(RouteRows, SelectsAndWeighsLikeTheCpu) {
  const int experts = GetParam();
  for (const int top_k : {1, 2, 3, 5, 8, 16, experts}) {
    if (top_k > experts) continue;
    SCOPED_TRACE("top_k " + std::to_string(top_k));
    for (const bool renormalise : {false, true})
      expect_like_the_cpu(random_floats(static_cast<std::size_t>(5 * experts), 3),
                          plain_routing(experts, top_k, renormalise), 5, top_k + 2);
  }
}

TEST_P(RouteRows, BreaksTiesByTheLowerIndex) {
  const int experts = GetParam();
  std::vector<float> logits(static_cast<std::size_t>(3 * experts), 0.5f);
  for (std::size_t i = static_cast<std::size_t>(experts); i < logits.size(); ++i)
    logits[i] = i % 3 == 0 ? 1.0f : i % 3 == 1 ? -0.0f : 0.0f;
  expect_like_the_cpu(logits, plain_routing(experts, std::min(experts, 16), true), 3, std::min(experts, 16));
}

/// A policy of its own for every seed.
LayerRouting edited_at_random(std::mt19937& random, const RouterSpec& model) {
  const auto one_in = [&](unsigned n) { return random() % n == 0; };
  LayerRouting table = plain_routing(model.experts, model.top_k, model.renormalise);
  table.model = model;
  table.edited = true;
  if (one_in(2)) table.top_p = 0.05f + 0.9f * static_cast<float>(random() % 100) / 100.0f;
  int free_to_mask = model.experts - model.top_k;
  int free_to_force = model.top_k;
  for (std::size_t e = 0; e < static_cast<std::size_t>(model.experts); ++e) {
    if (one_in(4)) table.logit_bias[e] = static_cast<float>(random() % 9) - 4.0f;
    if (one_in(5) && free_to_mask-- > 0) table.logit_bias[e] = -kInfinity;
    if (one_in(6))
      table.remap[e] = static_cast<std::int32_t>(random() % static_cast<unsigned>(model.experts));
    if (one_in(6)) table.drop[e] = 1;
    if (one_in(9) && table.logit_bias[e] > -kInfinity && free_to_force-- > 0) table.force[e] = 1;
  }
  return table;
}

TEST_P(RouteRows, FollowsEveryEditLikeTheCpu) {
  const int experts = GetParam();
  std::mt19937 random(7);
  for (int seed = 0; seed < 12; ++seed) {
    SCOPED_TRACE("policy " + std::to_string(seed));
    const int top_k = 1 + static_cast<int>(random() % static_cast<unsigned>(std::min(experts, 12)));
    const RouterSpec model{.experts = experts, .top_k = top_k, .renormalise = random() % 2 == 0};
    expect_like_the_cpu(random_floats(static_cast<std::size_t>(4 * experts), static_cast<unsigned>(seed)),
                        edited_at_random(random, model), 4, top_k);
  }
}

/// Every score and group rank, with and without a correction bias and edits.
TEST_P(RouteRows, FollowsEveryRuleLikeTheCpu) {
  using Score = RouterSpec::Score;
  using Rank = RouterSpec::GroupRank;
  const int experts = GetParam();
  std::mt19937 random(9);
  unsigned seed = 0;
  for (const Score score : {Score::softmax, Score::softmax_of_chosen, Score::sigmoid}) {
    for (const Rank rank : {Rank::maximum, Rank::sum_of_two}) {
      for (const int groups : {1, 4, 32}) {
        if (experts % groups != 0) continue;
        SCOPED_TRACE(testing::Message() << "score " << static_cast<int>(score) << ", rank "
                                        << static_cast<int>(rank) << ", groups " << groups);
        const RouterSpec model{.experts = experts,
                               .top_k = std::min(experts, 6),
                               .score = score,
                               .groups = groups,
                               .top_groups = (groups + 1) / 2,
                               .group_rank = rank,
                               .renormalise = random() % 2 == 0,
                               .renormalise_epsilon = 1e-20f,
                               .scale = 2.5f};
        LayerRouting table = edited_at_random(random, model);
        table.edited = ++seed % 3 != 0;
        const auto logits = random_floats(static_cast<std::size_t>(4 * experts), seed);
        expect_like_the_cpu(logits, table, 4, model.top_k + 1);
        expect_like_the_cpu(logits, table, 4, model.top_k + 1,
                            random_floats(static_cast<std::size_t>(experts), seed + 100));
      }
    }
  }
}

TEST_P(RouteRows, GivesDistinctExpertsWhateverTheLogits) {
  const int experts = GetParam();
  const int top_k = std::min(experts, 16);
  for (const float strange : {kNan, kInfinity, -kInfinity}) {
    for (const std::size_t every : {1, 2, 5}) {
      std::vector<float> logits = random_floats(static_cast<std::size_t>(2 * experts), 5);
      for (std::size_t i = 0; i < logits.size(); i += every)
        logits[i] = strange;
      const Routed routed = route_on_device(logits, plain_routing(experts, top_k, true), 2, top_k, 0, 2);
      for (int t = 0; t < 2; ++t) {
        const auto first = routed.expert.begin() + t * top_k;
        const std::set<int> distinct(first, first + top_k);
        EXPECT_EQ(distinct.size(), static_cast<std::size_t>(top_k));
        EXPECT_GE(*distinct.begin(), 0);
        EXPECT_LT(*distinct.rbegin(), experts);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Experts, RouteRows, testing::Values(1, 3, 8, 33, 64, 128, 256, 512, 1000, 1024),
                         testing::PrintToStringParamName());

TEST(RouteRowsEdges, AllExpertsMaskedIsTheNanOfTheCpu) {
  LayerRouting table = plain_routing(4, 2, true);
  table.edited = true;
  table.logit_bias.assign(4, -kInfinity);
  expect_like_the_cpu({1, 2, 3, 4}, table, 1, 2);
}

TEST(RouteRowsEdges, ANumberBeatsNan) {
  const Routed routed = route_on_device({kNan, -5, kNan, -kInfinity}, plain_routing(4, 3, false), 1, 3, 0, 1);
  EXPECT_THAT(routed.expert, testing::ElementsAre(1, 3, 0));
}

TEST(RouteRowsEdges, AForcedExpertOfVanishingProbabilityIsSilentNotNan) {
  LayerRouting table = plain_routing(2, 1, true);
  table.edited = true;
  table.force[0] = 1;
  expect_like_the_cpu({-200.0f, 0.0f}, table, 1, 1);
}

TEST(RouteRowsEdges, AnUneditedTableIgnoresItsEdits) {
  LayerRouting table = plain_routing(3, 2, false);
  table.force[0] = table.drop[1] = 1;
  table.logit_bias[2] = -kInfinity;
  expect_like_the_cpu({-1, 2, 3}, table, 1, 2);
}

TEST(RouteRowsEdges, ProbesThatAreOffCostNoMemory) {
  Array<float> logits(std::vector<float>{1, 2, 3});
  Array<std::int32_t> expert(2);
  Array<float> weight(2);
  DeviceStep step;
  step.tokens = 1;
  step.slots = 2;
  Array<DeviceStep> device_step(std::vector{step});
  OnDevice routing(plain_routing(3, 2, false));
  run(&route_rows, {blocks(1), kWarp, route_scratch_floats(3, 2) * sizeof(float)}, device_step.data(),
      routing.data(), logits.data(), 3, 0, DeviceSlots{expert.data(), weight.data()});
  EXPECT_THAT(expert.read(), testing::ElementsAre(2, 1));
}

}  // namespace
}  // namespace expertscope::cuda
