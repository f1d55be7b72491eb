// SPDX-License-Identifier: GPL-3.0-or-later
// The rules of every kind of router against transformers, and what each edit means under those that are no
// plain softmax: docs/decisions.md, "What the edits of a policy mean under every router".
#include <gmock/gmock.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/cpu/router.h"
#include "tests/support/plain_routing.h"

namespace expertscope::cpu {
namespace {

using Json = nlohmann::json;
using testing::ElementsAre;
using testing::FloatNear;
using testing::Pointwise;
using Score = RouterSpec::Score;
using Rank = RouterSpec::GroupRank;

constexpr float kTolerance = 1e-6f;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

auto near(std::vector<float> values) {
  return Pointwise(FloatNear(kTolerance), values);
}

struct Routed {
  std::vector<int> experts;
  std::vector<float> scores, weights;
};

Routed run(const std::vector<float>& logits, const LayerRouting& routing,
           const std::vector<float>& correction_bias = {}) {
  std::vector<float> scratch(logits.size());
  std::vector<RoutedSlot> slots(static_cast<std::size_t>(routing.top_k), RoutedSlot{7, 7.0f, 7.0f});
  route(logits, rule_of(routing, correction_bias), scratch, slots);
  Routed result;
  for (const RoutedSlot& slot : slots) {
    result.experts.push_back(slot.expert);
    result.scores.push_back(slot.score);
    result.weights.push_back(slot.weight);
  }
  return result;
}

/// Unedited, but with the edit fields in force.
LayerRouting editable(const RouterSpec& model) {
  LayerRouting routing = plain_routing(model.experts, model.top_k, false);
  routing.model = model;
  routing.edited = true;
  return routing;
}

/// Logits whose sigmoids are `scores`.
std::vector<float> logits_of(std::vector<float> scores) {
  for (float& score : scores)
    score = std::log(score / (1 - score));
  return scores;
}

/// Four experts that score 0.1, 0.8, 0.4 and 0.6 by their sigmoids.
std::vector<float> four_experts() {
  return logits_of({0.1f, 0.8f, 0.4f, 0.6f});
}

/// Two of four, as GLM-4.5 and DeepSeek-V3 do it.
RouterSpec sigmoid(int top_k = 2) {
  return {.experts = 4,
          .top_k = top_k,
          .score = Score::sigmoid,
          .renormalise = true,
          .renormalise_epsilon = 1e-20f,
          .scale = 2.5f};
}

/// Six experts in three groups, two groups of which may be chosen from: 0.5 and 0.4, 0.9 and 0.1, 0.6 and
/// 0.55.
std::vector<float> three_groups() {
  return logits_of({0.5f, 0.4f, 0.9f, 0.1f, 0.6f, 0.55f});
}

RouterSpec grouped(Rank rank, int top_groups, int top_k = 2) {
  return {.experts = 6,
          .top_k = top_k,
          .score = Score::sigmoid,
          .groups = 3,
          .top_groups = top_groups,
          .group_rank = rank};
}

RouterSpec spec_of(const Json& json) {
  const std::string score = json["score"];
  return {.experts = json["experts"],
          .top_k = json["top_k"],
          .score = score == "sigmoid"   ? Score::sigmoid
                   : score == "softmax" ? Score::softmax
                                        : Score::softmax_of_chosen,
          .correction_bias = json.value("correction_bias", false),
          .groups = json.value("groups", 1),
          .top_groups = json.value("top_groups", 1),
          .group_rank = json.value("group_rank", "maximum") == "maximum" ? Rank::maximum : Rank::sum_of_two,
          .renormalise = json.value("renormalise", false),
          .renormalise_epsilon = json.value("renormalise_epsilon", 0.0f),
          .scale = json.value("scale", 1.0f)};
}

TEST(RouterRules, AreThoseOfTransformers) {
  std::ifstream file(EXPERTSCOPE_SOURCE_DIR "/tests/data/golden/routers.json");
  const Json golden = Json::parse(file);
  ASSERT_EQ(golden["cases"].size(), 9u);
  for (const Json& entry : golden["cases"]) {
    LayerRouting routing = editable(spec_of(entry["spec"]));
    const std::vector<float> bias = entry["correction_bias"];
    for (const bool edited : {false, true}) {
      routing.edited = edited;
      for (std::size_t t = 0; t < entry["logits"].size(); ++t) {
        SCOPED_TRACE(entry["name"].get<std::string>() + ", token " + std::to_string(t));
        const Routed r = run(entry["logits"][t], routing, bias);
        EXPECT_EQ(r.experts, entry["ids"][t].get<std::vector<int>>());
        const std::vector<float> weights = entry["weights"][t];
        for (std::size_t s = 0; s < weights.size(); ++s)
          EXPECT_NEAR(r.weights[s], weights[s], kTolerance * routing.model.scale) << "slot " << s;
      }
    }
  }
}

TEST(SigmoidRouter, ScoreAndWeightAreTwoNumbers) {
  const Routed r = run(four_experts(), editable(sigmoid()));
  EXPECT_THAT(r.experts, ElementsAre(1, 3));
  EXPECT_THAT(r.scores, near({0.8f, 0.6f}));
  EXPECT_THAT(r.weights, near({2.5f * 0.8f / 1.4f, 2.5f * 0.6f / 1.4f}));
}

TEST(SigmoidRouter, TheCorrectionBiasDecidesWhoRunsAndNotHowMuchItCounts) {
  const Routed r = run(four_experts(), editable(sigmoid()), {0.9f, 0, 0, 0});  // 0.1 ranks as 1.0
  EXPECT_THAT(r.experts, ElementsAre(0, 1));
  EXPECT_THAT(r.scores, near({0.1f, 0.8f}));
  EXPECT_THAT(r.weights, near({2.5f * 0.1f / 0.9f, 2.5f * 0.8f / 0.9f}));
}

TEST(SigmoidRouter, AForcedExpertCountsByItsScoreWithoutTheCorrectionBias) {
  LayerRouting routing = editable(sigmoid());
  routing.force[0] = 1;
  const Routed r = run(four_experts(), routing, {-3.0f, 0, 0, 0.3f});
  EXPECT_THAT(r.experts, ElementsAre(0, 3));
  EXPECT_THAT(r.scores, near({0.1f, 0.6f}));
  EXPECT_THAT(r.weights, near({2.5f * 0.1f / 0.7f, 2.5f * 0.6f / 0.7f}));
}

TEST(SigmoidRouter, ABiasEditMovesTheLogitAndSoScoreSelectionAndWeight) {
  LayerRouting routing = editable(sigmoid());
  routing.logit_bias[0] = std::log(9.0f);  // 0.1 becomes 0.5
  const Routed r = run(four_experts(), routing, {0.2f, 0, 0, 0});
  EXPECT_THAT(r.experts, ElementsAre(1, 0));
  EXPECT_THAT(r.scores, near({0.8f, 0.5f}));
}

TEST(SigmoidRouter, AMaskedExpertIsNotBroughtBackByItsCorrectionBias) {
  LayerRouting routing = editable(sigmoid());
  routing.logit_bias[1] = -kInfinity;
  const Routed r = run(four_experts(), routing, {0, 5.0f, 0, 0});
  EXPECT_THAT(r.experts, ElementsAre(3, 2));
  EXPECT_THAT(r.scores, near({0.6f, 0.4f}));  // the others' scores know nothing of it
}

TEST(SigmoidRouter, TopPCountsShareOfTheScoresOfTheChosen) {
  LayerRouting routing = editable(sigmoid(4));
  routing.top_p = 0.5f;  // 0.8 of 1.9, then 1.4 of 1.9: two slots
  const Routed r = run(four_experts(), routing);
  EXPECT_THAT(r.experts, ElementsAre(1, 3, -1, -1));
  EXPECT_THAT(r.scores, near({0.8f, 0.6f, 0, 0}));
  EXPECT_THAT(r.weights, near({2.5f * 0.8f / 1.4f, 2.5f * 0.6f / 1.4f, 0, 0}));
}

TEST(SigmoidRouter, TopPOfSmallScoresCutsAsThatOfLargeOnes) {
  LayerRouting routing = editable(sigmoid(4));
  routing.top_p = 0.5f;
  EXPECT_THAT(run(logits_of({0.001f, 0.008f, 0.004f, 0.006f}), routing).experts, ElementsAre(1, 3, -1, -1));
}

TEST(SigmoidRouter, NanStaysVisibleUnderTopP) {
  LayerRouting routing = editable(sigmoid(2));
  routing.top_p = 0.5f;
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const Routed r = run({nan, nan, nan, nan}, routing);
  EXPECT_GE(r.experts[0], 0);
  EXPECT_TRUE(std::isnan(r.weights[0]));
}

TEST(SigmoidRouter, ADropRescalesToTheScaledSumFromBefore) {
  LayerRouting routing = editable(sigmoid(3));
  routing.drop[3] = 1;
  const Routed r = run(four_experts(), routing);
  EXPECT_THAT(r.experts, ElementsAre(1, -1, 2));
  EXPECT_THAT(r.scores, near({0.8f, 0.6f, 0.4f}));
  EXPECT_THAT(r.weights, near({2.5f * 0.8f / 1.2f, 0, 2.5f * 0.4f / 1.2f}));
}

TEST(SigmoidRouter, ScoresThatVanishWeighNothing) {
  const Routed r = run({-200, -200, -200, -200}, editable(sigmoid()));
  EXPECT_THAT(r.experts, ElementsAre(0, 1));
  EXPECT_THAT(r.weights, ElementsAre(0.0f, 0.0f));
}

TEST(GroupedRouter, TakesExpertsOfTheBestGroupsOnly) {
  // Maxima 0.5, 0.9, 0.6; sums 0.9, 1.0, 1.15.
  EXPECT_THAT(run(three_groups(), editable(grouped(Rank::maximum, 1))).experts, ElementsAre(2, 3));
  EXPECT_THAT(run(three_groups(), editable(grouped(Rank::sum_of_two, 1))).experts, ElementsAre(4, 5));
  EXPECT_THAT(run(three_groups(), editable(grouped(Rank::maximum, 2))).experts, ElementsAre(2, 4));
}

TEST(GroupedRouter, AMaskedExpertDoesNotCountForItsGroup) {
  LayerRouting maximum = editable(grouped(Rank::maximum, 1));
  maximum.logit_bias[2] = -kInfinity;  // 0.1 is left in its group
  EXPECT_THAT(run(three_groups(), maximum).experts, ElementsAre(4, 5));
  LayerRouting sum = editable(grouped(Rank::sum_of_two, 1));
  sum.logit_bias[4] = -kInfinity;  // 0.55 is left, against 0.9 and 1.0
  EXPECT_THAT(run(three_groups(), sum).experts, ElementsAre(2, 3));
}

TEST(GroupedRouter, SlotsStayEmptyWhereMasksLeaveTooFewInTheChosenGroups) {
  LayerRouting routing = editable(grouped(Rank::sum_of_two, 1));
  routing.logit_bias[0] = routing.logit_bias[3] = routing.logit_bias[5] = -kInfinity;  // 0.4, 0.9, 0.6
  const Routed r = run(three_groups(), routing);
  EXPECT_THAT(r.experts, ElementsAre(2, -1));
  EXPECT_THAT(r.scores, near({0.9f, 0}));
  EXPECT_THAT(r.weights, near({0.9f, 0}));
}

TEST(GroupedRouter, AForcedExpertRunsOutsideOfTheChosenGroupsAndDoesNotChooseItsGroup) {
  LayerRouting routing = editable(grouped(Rank::maximum, 1, 3));
  routing.force[0] = 1;
  EXPECT_THAT(run(three_groups(), routing).experts, ElementsAre(0, 2, 3));
}

TEST(GroupedRouter, OfEqualGroupsTheLowerIndexComesFirst) {
  EXPECT_THAT(run(std::vector<float>(6, 0.0f), editable(grouped(Rank::sum_of_two, 2, 4))).experts,
              ElementsAre(0, 1, 2, 3));
}

RouterSpec of_chosen(int top_k) {
  return {.experts = 4, .top_k = top_k, .score = Score::softmax_of_chosen};
}

/// Logits whose softmax is {0.1, 0.4, 0.2, 0.3}.
std::vector<float> softmax_experts() {
  return {std::log(0.1f), std::log(0.4f), std::log(0.2f), std::log(0.3f)};
}

TEST(SoftmaxOfChosenRouter, ScoresKnowNothingOfTheOthers) {
  const Routed r = run(softmax_experts(), editable(of_chosen(2)));
  EXPECT_THAT(r.experts, ElementsAre(1, 3));
  EXPECT_THAT(r.scores, near({4.0f / 7, 3.0f / 7}));
  EXPECT_THAT(r.weights, near({4.0f / 7, 3.0f / 7}));
}

TEST(SoftmaxOfChosenRouter, AForcedExpertTakesPartInTheSoftmaxByItsLogit) {
  LayerRouting routing = editable(of_chosen(2));
  routing.force[0] = 1;
  const Routed r = run(softmax_experts(), routing);
  EXPECT_THAT(r.experts, ElementsAre(0, 1));
  EXPECT_THAT(r.weights, near({0.2f, 0.8f}));
}

TEST(SoftmaxOfChosenRouter, AfterTopPTheSoftmaxIsThatOfTheKept) {
  LayerRouting routing = editable(of_chosen(3));
  routing.top_p = 0.5f;  // 4/9, then 7/9
  const Routed r = run(softmax_experts(), routing);
  EXPECT_THAT(r.experts, ElementsAre(1, 3, -1));
  EXPECT_THAT(r.scores, near({4.0f / 9, 3.0f / 9, 0}));
  EXPECT_THAT(r.weights, near({4.0f / 7, 3.0f / 7, 0}));
}

TEST(SoftmaxOfChosenRouter, DropAndRerouteWorkAsOnASoftmax) {
  LayerRouting routing = editable(of_chosen(3));
  routing.drop[1] = 1;
  routing.remap[2] = 3;
  const Routed r = run(softmax_experts(), routing);
  EXPECT_THAT(r.experts, ElementsAre(-1, 3, -1));
  EXPECT_THAT(r.weights, near({0, 1, 0}));
}

TEST(RouterEntropy, OfSigmoidsIsThatOfTheirShares) {
  float expected = 0;
  for (const float share : {0.1f / 1.9f, 0.8f / 1.9f, 0.4f / 1.9f, 0.6f / 1.9f})
    expected -= share * std::log(share);
  EXPECT_NEAR(router_entropy(Score::sigmoid, four_experts()), expected, kTolerance);
  EXPECT_NEAR(router_entropy(Score::sigmoid, std::vector<float>(4, -1.0f)), std::log(4.0f), kTolerance);
  EXPECT_NEAR(router_entropy(Score::sigmoid, std::vector<float>{2, -200, -200, -200}), 0, kTolerance);
}

TEST(RouterEntropy, OfASoftmaxOfTheChosenIsThatOfAllExperts) {
  EXPECT_EQ(router_entropy(Score::softmax_of_chosen, softmax_experts()),
            router_entropy(Score::softmax, softmax_experts()));
}

}  // namespace
}  // namespace expertscope::cpu
