// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/run/routing_policy.h"
#include "tests/support/model_shape.h"

#include <gmock/gmock.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>

namespace expertscope {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// Four layers of eight experts, top-2; layer 1 is dense.
ModelConfig config() {
  testing::ModelShape config;
  config.num_hidden_layers = 4;
  config.num_experts = 8;
  config.num_experts_per_tok = 2;
  config.norm_topk_prob = true;
  config.moe_layer = {1, 0, 1, 1};
  return config;
}

RoutingPolicy parse(const std::string& edits) {
  auto policy = RoutingPolicy::from_json(R"({"version":1,"edits":[)" + edits + "]}", "p.json");
  EXPECT_TRUE(policy) << (policy ? "" : policy.error().message);
  return policy ? *policy : RoutingPolicy{};
}

RoutingTable compile(const std::string& edits) {
  auto table = parse(edits).compile(config());
  EXPECT_TRUE(table) << (table ? "" : table.error().message);
  return table ? **table : RoutingTable{};
}

std::string json_error(const std::string& json) {
  const auto policy = RoutingPolicy::from_json(json, "p.json");
  return policy ? "accepted" : policy.error().message;
}
std::string edit_error(const std::string& edit) {
  return json_error(R"({"version":1,"edits":[{"op":"force","layer":0,"expert":0},)" + edit + "]}");
}
std::string compile_error(const std::string& edits) {
  const auto table = parse(edits).compile(config());
  return table ? "accepted" : table.error().message;
}

TEST(RoutingPolicyJson, MoreEditsThanAnybodyWritesAreRefused) {
  std::string edits;
  for (int i = 0; i <= 100'000; ++i)
    edits += R"({"op":"top_k","layer":"*","k":1},)";
  edits.pop_back();
  const auto policy = RoutingPolicy::from_json(R"({"version":1,"edits":[)" + edits + "]}", "p.json");
  ASSERT_FALSE(policy);
  EXPECT_EQ(policy.error().message, "p.json: field 'edits': 100001 edits, at most 100000 are allowed");
}

TEST(RoutingPolicyJson, ReadsEveryEditOfTheFormat) {
  const RoutingPolicy policy = parse(R"(
      {"op":"prune","layer":1,"expert":68,"mode":"zero"},
      {"op":"reroute","layer":2,"from":92,"to":14},
      {"op":"bias","layer":3,"expert":5,"logit":2.0},
      {"op":"force","layer":3,"expert":7},
      {"op":"top_k","layer":"*","k":4},
      {"op":"top_p","layer":[7,8],"p":0.4,"enabled":false,"note":"why"})");
  ASSERT_EQ(policy.edits.size(), 6u);
  EXPECT_EQ(std::get<PruneEdit>(policy.edits[0].action).expert, 68);
  EXPECT_EQ(std::get<PruneEdit>(policy.edits[0].action).mode, PruneMode::zero);
  EXPECT_THAT(policy.edits[0].layers, ElementsAre(1));
  EXPECT_EQ(std::get<RerouteEdit>(policy.edits[1].action).from, 92);
  EXPECT_EQ(std::get<RerouteEdit>(policy.edits[1].action).to, 14);
  EXPECT_EQ(std::get<BiasEdit>(policy.edits[2].action).logit, 2.0f);
  EXPECT_EQ(std::get<ForceEdit>(policy.edits[3].action).expert, 7);
  EXPECT_EQ(std::get<TopKEdit>(policy.edits[4].action).k, 4);
  EXPECT_TRUE(policy.edits[4].layers.empty());
  EXPECT_EQ(std::get<TopPEdit>(policy.edits[5].action).p, 0.4f);
  EXPECT_THAT(policy.edits[5].layers, ElementsAre(7, 8));
  EXPECT_FALSE(policy.edits[5].enabled);
  EXPECT_EQ(policy.edits[5].note, "why");
}

TEST(RoutingPolicyJson, PruneMasksByDefault) {
  const RoutingPolicy policy = parse(R"({"op":"prune","layer":1,"expert":2})");
  EXPECT_EQ(std::get<PruneEdit>(policy.edits[0].action).mode, PruneMode::mask);
}

TEST(RoutingPolicyJson, WhatIsWrittenReadsBackTheSame) {
  const RoutingPolicy policy = parse(R"(
      {"op":"prune","layer":0,"expert":1,"mode":"drop","note":"Grüße"},
      {"op":"top_p","layer":[2,3],"p":0.4},
      {"op":"bias","layer":"*","expert":5,"logit":-1.1,"enabled":false})");
  const std::string json = policy.to_json();
  EXPECT_THAT(json,
              AllOf(HasSubstr(R"("p":0.4)"), HasSubstr(R"("logit":-1.1)"), HasSubstr(R"("layer":"*")")));
  const auto again = RoutingPolicy::from_json(json, "again");
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(again->to_json(), json);
  EXPECT_EQ(std::get<BiasEdit>(again->edits[2].action).logit, -1.1f);
  EXPECT_EQ(again->edits[0].note, "Grüße");
}

TEST(RoutingPolicyJson, ANoteOfInvalidUtf8DoesNotBreakTheFile) {
  RoutingPolicy policy = parse(R"({"op":"force","layer":0,"expert":1})");
  policy.edits[0].note = "bad \xff byte";
  EXPECT_TRUE(RoutingPolicy::from_json(policy.to_json(), "p.json"));
}

TEST(RoutingPolicyJson, LoadsTheTextOfAFile) {
  const auto file = std::filesystem::path(::testing::TempDir()) / "expertscope_policy_test.json";
  const RoutingPolicy policy = parse(R"({"op":"force","layer":0,"expert":1})");
  std::ofstream(file) << policy.to_text();
  const auto loaded = RoutingPolicy::load(file);
  std::filesystem::remove(file);
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(loaded->to_json(), policy.to_json());
}

TEST(RoutingPolicyJson, NamesTheFileThatCannotBeRead) {
  EXPECT_THAT(RoutingPolicy::load("/nowhere/p.json").error().message, HasSubstr("/nowhere/p.json"));
}

TEST(RoutingPolicyJson, ALayerNamedTwiceCountsOnce) {
  const RoutingPolicy policy = parse(R"({"op":"force","layer":[3,0,3,0],"expert":1})");
  EXPECT_THAT(policy.edits[0].layers, ElementsAre(0, 3));
}

TEST(RoutingPolicyJson, RefusesNestingThatNoPolicyHasAndKeysThatStandTwice) {
  const std::string deep(100000, '[');
  EXPECT_THAT(json_error("{\"version\":" + deep + std::string(100000, ']') + ",\"edits\":[]}"),
              HasSubstr("p.json: JSON is nested deeper than"));
  EXPECT_THAT(edit_error(R"({"op":"force","layer":0,"expert":1,"expert":2})"),
              HasSubstr("the key \"expert\" is there twice"));
}

TEST(RoutingPolicyJson, RefusesWhatIsNotAPolicy) {
  EXPECT_THAT(json_error("{"), HasSubstr("p.json: not valid JSON"));
  EXPECT_THAT(json_error("[]"), HasSubstr("must be an object"));
  EXPECT_THAT(json_error(R"({"edits":[]})"), HasSubstr("'version' is missing"));
  EXPECT_THAT(json_error(R"({"version":2,"edits":[]})"), HasSubstr("reads version 1, the file says 2"));
  EXPECT_THAT(json_error(R"({"version":1})"), HasSubstr("'edits' is missing"));
  EXPECT_THAT(json_error(R"({"version":1,"edits":{}})"), HasSubstr("must be a list"));
  EXPECT_THAT(json_error(R"({"version":1,"edits":[],"extra":1})"), HasSubstr("'extra'"));
  EXPECT_THAT(json_error(std::string("{\"version\":1,\"edits\":[{\"op\":\"\xff\"}]}")),
              HasSubstr("not valid JSON"));
}

TEST(RoutingPolicyJson, AnErrorNamesTheEditAndTheField) {
  EXPECT_THAT(edit_error("7"), HasSubstr("p.json: edit 1: must be an object"));
  EXPECT_THAT(edit_error(R"({"layer":0})"), HasSubstr("edit 1: field 'op': is missing"));
  EXPECT_THAT(edit_error(R"({"op":"erase","layer":0})"), HasSubstr("'erase' is not one of prune, reroute"));
  EXPECT_THAT(edit_error(R"({"op":"prune","expert":0})"), HasSubstr("edit 1: field 'layer': is missing"));
  EXPECT_THAT(edit_error(R"({"op":"prune","layer":0})"), HasSubstr("edit 1: field 'expert': is missing"));
  EXPECT_THAT(edit_error(R"({"op":"prune","layer":0,"expert":1,"mode":"kill"})"),
              HasSubstr("field 'mode': 'kill'"));
  EXPECT_THAT(edit_error(R"({"op":"prune","layer":0,"expert":1,"to":2})"),
              HasSubstr("field 'to': is not a field"));
  EXPECT_THAT(edit_error(R"({"op":"top_p","layer":0,"p":"x"})"), HasSubstr("field 'p': must be a number"));
  EXPECT_THAT(edit_error(R"({"op":"bias","layer":0,"expert":1,"logit":1e200})"), HasSubstr("must be finite"));
  EXPECT_THAT(edit_error(R"({"op":"force","layer":0,"expert":1,"enabled":1})"), HasSubstr("field 'enabled'"));
  EXPECT_THAT(edit_error(R"({"op":"force","layer":0,"expert":1,"note":1})"), HasSubstr("field 'note'"));
}

TEST(RoutingPolicyJson, IndicesAreWholeNumbersThatFit) {
  for (const char* value : {"1.5", "-1", "true", "\"3\"", "99999999999", "18446744073709551615", "null"}) {
    const std::string edit = fmt::format(R"({{"op":"force","layer":0,"expert":{}}})", value);
    EXPECT_THAT(edit_error(edit), HasSubstr("edit 1: field 'expert'")) << value;
  }
}

TEST(RoutingPolicyJson, ALayerIsAnIndexAListOrAStar) {
  for (const char* value : {"\"all\"", "{}", "[]", "[1,\"*\"]", "-1", "null"}) {
    const std::string edit = fmt::format(R"({{"op":"force","layer":{},"expert":1}})", value);
    EXPECT_THAT(edit_error(edit), HasSubstr("edit 1: field 'layer'")) << value;
  }
}

TEST(RoutingPolicyCompile, AnEmptyPolicyIsTheModelsOwnRouting) {
  const RoutingTable table = compile("");
  ASSERT_EQ(table.layers.size(), 4u);
  EXPECT_EQ(table.max_top_k, 2);
  EXPECT_TRUE(table.layers[1].remap.empty());
  for (const int n : {0, 2, 3}) {
    const LayerRouting& layer = table.layers[static_cast<std::size_t>(n)];
    EXPECT_FALSE(layer.edited);
    EXPECT_TRUE(layer.model.renormalise);
    EXPECT_EQ(layer.top_k, 2);
    EXPECT_EQ(layer.top_p, 1.0f);
    EXPECT_THAT(layer.logit_bias, Each(0.0f));
    EXPECT_THAT(layer.output_scale, Each(1.0f));
    EXPECT_THAT(layer.remap, ElementsAre(0, 1, 2, 3, 4, 5, 6, 7));
  }
}

/// The same with sigmoids in four groups of two, two of which may be chosen from.
ModelConfig grouped_config() {
  ModelConfig grouped = config();
  for (LayerSpec& layer : grouped.layers) {
    if (!layer.is_moe()) continue;
    layer.router.score = RouterSpec::Score::sigmoid;
    layer.router.groups = 4;
    layer.router.top_groups = 2;
    layer.router.scale = 2.5f;
  }
  return grouped;
}

TEST(RoutingPolicyCompile, TheModelsRuleStaysWhatItIsUnderEveryEdit) {
  const ModelConfig model = grouped_config();
  const auto table =
      parse(R"({"op":"top_k","layer":"*","k":3},{"op":"force","layer":0,"expert":1})").compile(model);
  ASSERT_TRUE(table);
  for (const int n : {0, 2, 3}) {
    const LayerRouting& layer = (*table)->layers[static_cast<std::size_t>(n)];
    EXPECT_EQ(layer.model, model.layer(n).router);
    EXPECT_EQ(layer.top_k, 3);
  }
}

TEST(RoutingPolicyCompile, TopKMustFitTheGroupsThatAreChosen) {
  const auto error = [](const std::string& edits) {
    const auto table = parse(edits).compile(grouped_config());
    return table ? std::string("accepted") : table.error().message;
  };
  EXPECT_EQ(error(R"({"op":"top_k","layer":0,"k":4})"), "accepted");
  EXPECT_THAT(error(R"({"op":"top_k","layer":0,"k":5})"),
              AllOf(HasSubstr("layer 0"), HasSubstr("2 of 4 groups"), HasSubstr("at most 4 experts")));
  const std::string one_of_each =
      R"({"op":"prune","layer":0,"expert":0,"mode":"mask"},{"op":"prune","layer":0,"expert":2,"mode":"mask"},
         {"op":"prune","layer":0,"expert":4,"mode":"mask"},{"op":"prune","layer":0,"expert":6,"mode":"mask"})";
  EXPECT_EQ(error(one_of_each), "accepted");
  EXPECT_THAT(error(one_of_each + R"(,{"op":"top_k","layer":0,"k":3})"), HasSubstr("at most 2 experts"));
}

TEST(RoutingPolicyCompile, EveryEditIsATableEntry) {
  const RoutingTable table = compile(R"(
      {"op":"prune","layer":0,"expert":0},
      {"op":"prune","layer":0,"expert":1,"mode":"zero"},
      {"op":"prune","layer":0,"expert":2,"mode":"drop"},
      {"op":"reroute","layer":0,"from":3,"to":4},
      {"op":"bias","layer":0,"expert":5,"logit":-1.5},
      {"op":"force","layer":0,"expert":6},
      {"op":"top_k","layer":0,"k":3},
      {"op":"top_p","layer":0,"p":0.25})");
  const LayerRouting& layer = table.layers[0];
  EXPECT_TRUE(layer.edited);
  EXPECT_FALSE(table.layers[2].edited);
  EXPECT_EQ(layer.logit_bias[0], -std::numeric_limits<float>::infinity());
  EXPECT_EQ(layer.output_scale[1], 0.0f);
  EXPECT_EQ(layer.drop[2], 1);
  EXPECT_EQ(layer.remap[3], 4);
  EXPECT_EQ(layer.logit_bias[5], -1.5f);
  EXPECT_EQ(layer.force[6], 1);
  EXPECT_EQ(layer.top_k, 3);
  EXPECT_EQ(layer.top_p, 0.25f);
  EXPECT_EQ(table.max_top_k, 3);
}

TEST(RoutingPolicyCompile, AStarMeansTheMoeLayersAndAListTheLayersNamed) {
  const RoutingTable all = compile(R"({"op":"top_k","layer":"*","k":1})");
  EXPECT_EQ(all.layers[0].top_k, 1);
  EXPECT_EQ(all.layers[3].top_k, 1);
  EXPECT_FALSE(all.layers[1].edited);
  const RoutingTable some = compile(R"({"op":"top_k","layer":[0,3],"k":1})");
  EXPECT_EQ(some.layers[0].top_k, 1);
  EXPECT_EQ(some.layers[2].top_k, 2);
  EXPECT_EQ(some.layers[3].top_k, 1);
}

TEST(RoutingPolicyCompile, ADisabledEditDoesNothing) {
  EXPECT_FALSE(compile(R"({"op":"force","layer":0,"expert":1,"enabled":false})").layers[0].edited);
}

TEST(RoutingPolicyCompile, LaterEditsOfTheSameSettingWin) {
  const RoutingTable table = compile(R"(
      {"op":"prune","layer":0,"expert":1,"mode":"zero"},
      {"op":"prune","layer":0,"expert":1,"mode":"drop"},
      {"op":"bias","layer":0,"expert":2,"logit":1},
      {"op":"bias","layer":0,"expert":2,"logit":3})");
  EXPECT_EQ(table.layers[0].output_scale[1], 1.0f);
  EXPECT_EQ(table.layers[0].drop[1], 1);
  EXPECT_EQ(table.layers[0].logit_bias[2], 3.0f);
}

TEST(RoutingPolicyCompile, ABiasDoesNotBringAMaskedExpertBack) {
  const RoutingTable table =
      compile(R"({"op":"prune","layer":0,"expert":1},{"op":"bias","layer":0,"expert":1,"logit":5})");
  EXPECT_EQ(table.layers[0].logit_bias[1], -std::numeric_limits<float>::infinity());
}

TEST(RoutingPolicyCompile, TheTableRemembersItsPolicy) {
  EXPECT_THAT(compile(R"({"op":"force","layer":0,"expert":1})").policy_json, HasSubstr(R"("op":"force")"));
}

TEST(RoutingPolicyCompile, RefusesLayersAndExpertsThatDoNotExist) {
  EXPECT_THAT(compile_error(R"({"op":"force","layer":4,"expert":1})"),
              HasSubstr("edit 0: field 'layer': layer 4 does not exist, the model has 4"));
  EXPECT_THAT(compile_error(R"({"op":"force","layer":[0,1],"expert":1})"),
              HasSubstr("layer 1 is a dense layer"));
  EXPECT_THAT(compile_error(R"({"op":"force","layer":0,"expert":8})"),
              HasSubstr("edit 0: field 'expert': expert 8 does not exist, the model has 8"));
  EXPECT_THAT(compile_error(R"({"op":"reroute","layer":0,"from":1,"to":9})"),
              HasSubstr("field 'to': expert 9"));
  EXPECT_THAT(compile_error(R"({"op":"force","layer":7,"expert":1,"enabled":false})"), HasSubstr("layer 7"));
}

TEST(RoutingPolicyCompile, RefusesNumbersOutOfRange) {
  EXPECT_THAT(compile_error(R"({"op":"top_k","layer":0,"k":0})"),
              HasSubstr("field 'k': 0 is not between 1 and"));
  EXPECT_THAT(compile_error(R"({"op":"top_k","layer":0,"k":9})"), HasSubstr("field 'k': 9"));
  EXPECT_THAT(compile_error(R"({"op":"top_p","layer":0,"p":0})"), HasSubstr("field 'p'"));
  EXPECT_THAT(compile_error(R"({"op":"top_p","layer":0,"p":1.01})"), HasSubstr("field 'p'"));
  RoutingPolicy policy;
  policy.edits.push_back({BiasEdit{0, std::numeric_limits<float>::quiet_NaN()}, {0}, true, {}});
  EXPECT_THAT(policy.compile(config()).error().message, HasSubstr("'logit': must be finite"));
}

TEST(RoutingPolicyCompile, RefusesToLeaveFewerExpertsThanTopK) {
  std::string edits;
  for (int e = 0; e < 7; ++e)
    edits += fmt::format(R"({}{{"op":"prune","layer":2,"expert":{}}})", e ? "," : "", e);
  EXPECT_THAT(compile_error(edits),
              HasSubstr("layer 2: 1 of 8 experts are left after pruning by mask, fewer than "
                        "top_k = 2"));
  EXPECT_EQ(compile_error(edits + R"(,{"op":"top_k","layer":2,"k":1})"), "accepted");
}

TEST(RoutingPolicyCompile, RefusesMoreForcedExpertsThanSlotsAndForcedMaskedOnes) {
  EXPECT_THAT(compile_error(R"({"op":"force","layer":0,"expert":1},{"op":"force","layer":0,"expert":2},
                               {"op":"force","layer":0,"expert":3})"),
              HasSubstr("layer 0: 3 experts are forced, more than top_k = 2"));
  EXPECT_THAT(compile_error(R"({"op":"force","layer":0,"expert":1},{"op":"prune","layer":0,"expert":1})"),
              HasSubstr("layer 0: expert 1 is both forced and pruned by mask"));
}

TEST(RoutingEdit, DescribesItself) {
  const RoutingPolicy policy = parse(R"(
      {"op":"prune","layer":1,"expert":68},
      {"op":"reroute","layer":[2,3],"from":92,"to":14},
      {"op":"bias","layer":"*","expert":5,"logit":2},
      {"op":"bias","layer":0,"expert":5,"logit":-0.5},
      {"op":"force","layer":0,"expert":7},
      {"op":"top_k","layer":0,"k":4},
      {"op":"top_p","layer":0,"p":0.4})");
  std::vector<std::string> lines;
  for (const RoutingEdit& edit : policy.edits)
    lines.push_back(edit.describe());
  EXPECT_THAT(lines,
              ElementsAre("prune expert 68 in layer 1 (mask)", "reroute expert 92 to 14 in layers 2, 3",
                          "boost expert 5 in every MoE layer (router logit +2)",
                          "suppress expert 5 in layer 0 (router logit -0.5)", "force expert 7 in layer 0",
                          "top-k 4 in layer 0", "top-p 0.4 in layer 0"));
}

TEST(RoutingEdit, NamesSomeOfManyLayers) {
  const RoutingPolicy policy = parse(R"({"op":"force","layer":[0,1,2,3,4,5,6,7,8],"expert":1})");
  EXPECT_EQ(policy.edits[0].describe(), "force expert 1 in layers 0, 1, 2, 3, 4, 5 and 3 more");
}

}  // namespace
}  // namespace expertscope
