// SPDX-License-Identifier: GPL-3.0-or-later
// The routing rules and edits on a softmax, one by one, on numbers small enough to check by hand.
#include "engine/cpu/router.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>
#include <vector>

#include "tests/support/plain_routing.h"

namespace expertscope::cpu {
namespace {

using testing::ElementsAre;
using testing::FloatNear;
using testing::Pointwise;

constexpr float kTolerance = 1e-6f;
constexpr RouterSpec::Score kSoftmax = RouterSpec::Score::softmax;

/// Unedited, but with the edit fields in force.
LayerRouting plain(int experts, int top_k, bool renormalise) {
  LayerRouting routing = plain_routing(experts, top_k, renormalise);
  routing.edited = true;
  return routing;
}

struct Routed {
  std::vector<int> experts;
  std::vector<float> probabilities, weights;
};

Routed run(const std::vector<float>& logits, const LayerRouting& routing) {
  std::vector<float> scratch(logits.size());
  std::vector<RoutedSlot> slots(static_cast<std::size_t>(routing.top_k));
  route(logits, rule_of(routing, {}), scratch, slots);
  Routed result;
  for (const RoutedSlot& slot : slots) {
    result.experts.push_back(slot.expert);
    result.probabilities.push_back(slot.score);
    result.weights.push_back(slot.weight);
  }
  return result;
}

/// Logits whose softmax is {0.1, 0.4, 0.2, 0.3}.
std::vector<float> four_experts() {
  return {std::log(0.1f), std::log(0.4f), std::log(0.2f), std::log(0.3f)};
}

auto near(std::vector<float> values) {
  return Pointwise(FloatNear(kTolerance), values);
}

TEST(Router, TakesTheMostProbableExpertsInDescendingOrder) {
  const Routed r = run(four_experts(), plain(4, 2, false));
  EXPECT_THAT(r.experts, ElementsAre(1, 3));
  EXPECT_THAT(r.probabilities, near({0.4f, 0.3f}));
  EXPECT_THAT(r.weights, near({0.4f, 0.3f}));
}

TEST(Router, RenormalisesByTheSumOfTheSelected) {
  const Routed r = run(four_experts(), plain(4, 2, true));
  EXPECT_THAT(r.probabilities, near({0.4f, 0.3f}));
  EXPECT_THAT(r.weights, near({4.0f / 7, 3.0f / 7}));
}

TEST(Router, OfEqualLogitsTheLowerIndexComesFirst) {
  EXPECT_THAT(run({1, 2, 2, 1, 2}, plain(5, 4, false)).experts, ElementsAre(1, 2, 4, 0));
}

TEST(Router, AnUneditedLayerIgnoresTheEditFields) {
  LayerRouting routing = plain(4, 2, false);
  routing.force[0] = 1;
  routing.edited = false;
  EXPECT_THAT(run(four_experts(), routing).experts, ElementsAre(1, 3));
}

TEST(Router, AMaskedExpertLeavesThePoolAndTheSoftmax) {
  LayerRouting routing = plain(4, 2, false);
  routing.logit_bias[1] = -std::numeric_limits<float>::infinity();
  const Routed r = run(four_experts(), routing);
  EXPECT_THAT(r.experts, ElementsAre(3, 2));
  EXPECT_THAT(r.weights, near({0.3f / 0.6f, 0.2f / 0.6f}));
}

TEST(Router, ABiasIsAddedBeforeTheSoftmax) {
  LayerRouting routing = plain(4, 2, false);
  routing.logit_bias[0] = std::log(5.0f);  // 0.1 counts as 0.5; the sum is 1.4
  const Routed r = run(four_experts(), routing);
  EXPECT_THAT(r.experts, ElementsAre(0, 1));
  EXPECT_THAT(r.weights, near({0.5f / 1.4f, 0.4f / 1.4f}));
}

TEST(Router, AForcedExpertIsSelectedWithItsOwnProbability) {
  LayerRouting routing = plain(4, 2, false);
  routing.force[0] = 1;
  const Routed r = run(four_experts(), routing);
  EXPECT_THAT(r.experts, ElementsAre(0, 1));
  EXPECT_THAT(r.weights, near({0.1f, 0.4f}));
}

TEST(Router, ABiasOnAForcedExpertChangesItsWeight) {
  LayerRouting routing = plain(4, 2, false);
  routing.force[0] = 1;
  routing.logit_bias[0] = std::log(2.0f);  // 0.1 counts as 0.2; the sum is 1.1
  const Routed r = run(four_experts(), routing);
  EXPECT_THAT(r.experts, ElementsAre(0, 1));
  EXPECT_THAT(r.weights, near({0.2f / 1.1f, 0.4f / 1.1f}));
}

TEST(Router, TheLargerLogitIsChosenWhereF32ProbabilitiesAreEqual) {
  const Routed saturated = run({200, 0, 1}, plain(3, 2, false));
  EXPECT_THAT(saturated.experts, ElementsAre(0, 2));
  EXPECT_THAT(saturated.probabilities, ElementsAre(1.0f, 0.0f));
  const Routed flat = run({0, 0, 1e-9f}, plain(3, 2, false));
  EXPECT_THAT(flat.experts, ElementsAre(2, 0));
  EXPECT_EQ(flat.probabilities[0], flat.probabilities[1]);
}

TEST(Router, TopPKeepsTheFirstSlotThatPassesItAndNoMore) {
  LayerRouting routing = plain(4, 4, false);
  routing.top_p = 0.5f;  // 0.4, then 0.7 > 0.5: two slots
  const Routed r = run(four_experts(), routing);
  EXPECT_THAT(r.experts, ElementsAre(1, 3, -1, -1));
  EXPECT_THAT(r.probabilities, near({0.4f, 0.3f, 0.0f, 0.0f}));
  EXPECT_THAT(r.weights, near({0.4f, 0.3f, 0.0f, 0.0f}));
}

TEST(Router, TopPRenormalisesOverTheSlotsItKeeps) {
  LayerRouting routing = plain(4, 3, true);
  routing.top_p = 0.3f;
  const Routed r = run(four_experts(), routing);
  EXPECT_THAT(r.experts, ElementsAre(1, -1, -1));
  EXPECT_THAT(r.weights, near({1.0f, 0.0f, 0.0f}));
}

TEST(Router, TopPNeverTakesAForcedExpert) {
  LayerRouting routing = plain(4, 3, false);
  routing.force[1] = routing.force[2] = 1;
  routing.top_p = 0.3f;  // expert 1 alone passes it with 0.4
  const Routed r = run(four_experts(), routing);
  EXPECT_THAT(r.experts, ElementsAre(1, 2, -1));
  EXPECT_THAT(r.weights, near({0.4f, 0.2f, 0.0f}));
}

TEST(Router, TopPCountsWhatForcedExpertsTake) {
  LayerRouting routing = plain(4, 3, false);
  routing.force[2] = 1;
  routing.top_p = 0.5f;  // 0.2, then 0.6 > 0.5: expert 3 is not needed any more
  const Routed r = run(four_experts(), routing);
  EXPECT_THAT(r.experts, ElementsAre(2, 1, -1));
}

TEST(Router, ADroppedExpertLeavesItsWeightToTheOthers) {
  LayerRouting routing = plain(4, 3, false);
  routing.drop[3] = 1;  // 0.4 and 0.2 take over the 0.9 of all three
  const Routed r = run(four_experts(), routing);
  EXPECT_THAT(r.experts, ElementsAre(1, -1, 2));
  EXPECT_THAT(r.probabilities, near({0.4f, 0.3f, 0.2f}));
  EXPECT_THAT(r.weights, near({0.6f, 0.0f, 0.3f}));
}

TEST(Router, NothingRunsWhenEverySelectedExpertIsDropped) {
  LayerRouting routing = plain(4, 1, true);
  routing.drop[1] = 1;
  const Routed r = run(four_experts(), routing);
  EXPECT_THAT(r.experts, ElementsAre(-1));
  EXPECT_THAT(r.weights, near({0.0f}));
}

TEST(Router, AReroutedSlotKeepsItsProbabilityAndWeight) {
  LayerRouting routing = plain(4, 2, false);
  routing.remap[1] = 0;
  const Routed r = run(four_experts(), routing);
  EXPECT_THAT(r.experts, ElementsAre(0, 3));
  EXPECT_THAT(r.weights, near({0.4f, 0.3f}));
}

TEST(Router, ReroutingIsNotTransitive) {
  LayerRouting routing = plain(4, 2, false);
  routing.remap[1] = 0;
  routing.remap[0] = 2;
  EXPECT_THAT(run(four_experts(), routing).experts, ElementsAre(0, 3));
}

TEST(Router, SlotsThatMeetOnOneExpertAddTheirWeightsInTheFirst) {
  LayerRouting routing = plain(4, 3, false);
  routing.remap[2] = 1;
  const Routed r = run(four_experts(), routing);
  EXPECT_THAT(r.experts, ElementsAre(1, 3, -1));
  EXPECT_THAT(r.weights, near({0.6f, 0.3f, 0.0f}));
  EXPECT_THAT(r.probabilities, near({0.4f, 0.3f, 0.2f}));
}

TEST(Router, ADropRefersToTheSelectedExpertNotToTheOneThatWouldRun) {
  LayerRouting routing = plain(4, 2, false);
  routing.remap[1] = 0;
  routing.drop[0] = 1;
  EXPECT_THAT(run(four_experts(), routing).experts, ElementsAre(0, 3));
}

TEST(Router, AForcedExpertOfVanishingProbabilityIsSilentNotNan) {
  LayerRouting routing = plain(2, 1, true);
  routing.force[0] = 1;
  const Routed r = run({-200.0f, 0.0f}, routing);
  EXPECT_THAT(r.experts, ElementsAre(0));
  EXPECT_THAT(r.weights, near({0.0f}));
}

TEST(Router, NanLogitsStillGiveDistinctExistingExperts) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const Routed r = run({nan, 1.0f, nan, nan}, plain(4, 3, true));
  std::vector<int> experts = r.experts;
  std::sort(experts.begin(), experts.end());
  EXPECT_EQ(std::adjacent_find(experts.begin(), experts.end()), experts.end());
  EXPECT_GE(experts.front(), 0);
  EXPECT_LT(experts.back(), 4);
}

TEST(RouterEntropy, IsLogNForEqualLogitsAndZeroForACertainOne) {
  EXPECT_NEAR(router_entropy(kSoftmax, std::vector<float>(8, 3.0f)), std::log(8.0f), 1e-6f);
  EXPECT_NEAR(router_entropy(kSoftmax, std::vector<float>{100, 0, 0, 0, 0, 0, 0, 0}), 0.0f, 1e-6f);
}

TEST(RouterEntropy, MatchesTheDefinitionInNats) {
  float expected = 0;
  for (const float p : {0.1f, 0.4f, 0.2f, 0.3f})
    expected -= p * std::log(p);
  EXPECT_NEAR(router_entropy(kSoftmax, four_experts()), expected, 1e-6f);
}

}  // namespace
}  // namespace expertscope::cpu
