// SPDX-License-Identifier: GPL-3.0-or-later
// The JSON and CSV forms of the analyses hold every number.
#include "probes/analysis/export.h"

#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

namespace expertscope {
namespace {

ExpertTable small_table() {
  ExpertTable table;
  table.layers = 2;
  table.experts = 2;
  table.tokens = 9;
  table.cells.resize(4);
  table.moe_layer.resize(2);
  table.moe_layer[1] = 1;
  ExpertStats& stats = table.at(1, 0);
  stats.count = 3;
  stats.probability_sum = 0.1;
  stats.weight_sum = 1.0 / 3.0;
  stats.norm_sum = 12.5;
  stats.weighted_norm_sum = 4.25;
  stats.output_max = 99.5;
  stats.output_channel = 17;
  stats.output_token = 4;
  stats.first_row_max = 1e-7;
  stats.first_row_channel = 5;
  stats.first_row_token = 0;
  return table;
}

std::vector<std::string> lines(const std::string& text) {
  std::vector<std::string> out;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);)
    out.push_back(line);
  return out;
}

TEST(Export, TableAsCsvHasOneRowPerExpertOfTheMoeLayers) {
  const auto rows = lines(to_csv(small_table()));
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[0],
            "layer,expert,count,probability_sum,weight_sum,norm_sum,weighted_norm_sum,output_max,"
            "output_channel,output_token,first_row_max,first_row_channel,first_row_token");
  EXPECT_EQ(rows[1], "1,0,3,0.1,0.3333333333333333,12.5,4.25,99.5,17,4,1e-07,5,0");
  EXPECT_EQ(rows[2], "1,1,0,0,0,0,0,0,,,0,,") << "what was not measured is empty";
}

TEST(Export, TableAsJsonHasTheSameNumbers) {
  const auto json = nlohmann::json::parse(to_json(small_table()));
  EXPECT_EQ(json["tokens"], 9);
  ASSERT_EQ(json["cells"].size(), 2u);
  EXPECT_EQ(json["cells"][0]["weight_sum"], 1.0 / 3.0);
  EXPECT_EQ(json["cells"][0]["output_channel"], 17);
  EXPECT_TRUE(json["cells"][1]["output_token"].is_null());
}

TEST(Export, ASharedExpertIsExpertMinusOneWithoutRoutingNumbers) {
  ExpertTable table = small_table();
  table.shared_layer = {0, 1};
  table.shared.resize(2);
  ExpertStats& stats = table.at(1, kSharedExpert);
  stats.count = 9;
  stats.norm_sum = 36;
  stats.output_max = 200;
  stats.output_channel = 3;
  stats.output_token = 8;
  stats.first_row_max = 5;
  stats.first_row_channel = 2;
  stats.first_row_token = 0;
  const auto rows = lines(to_csv(table));
  ASSERT_EQ(rows.size(), 4u);
  EXPECT_EQ(rows[1], "1,-1,9,,,36,,200,3,8,5,2,0");
  const auto cell = nlohmann::json::parse(to_json(table))["cells"][0];
  EXPECT_EQ(cell["expert"], -1);
  EXPECT_EQ(cell["norm_sum"], 36);
  EXPECT_TRUE(cell["weight_sum"].is_null() && cell["probability_sum"].is_null());
  const SuperExpertResult result = analyze_super_experts(table);
  EXPECT_EQ(lines(to_csv(result))[1], "1,1,-1,200,3,8,9,1");
  EXPECT_EQ(nlohmann::json::parse(to_json(result))["ranking"][0]["expert"], -1);
}

TEST(Export, NumbersThatAreNoneAreMissing) {
  ExpertTable table = small_table();
  table.at(1, 0).weight_sum = std::numeric_limits<double>::quiet_NaN();
  table.at(1, 0).norm_sum = std::numeric_limits<double>::infinity();
  EXPECT_EQ(lines(to_csv(table))[1], "1,0,3,0.1,,,4.25,99.5,17,4,1e-07,5,0");
  EXPECT_TRUE(nlohmann::json::parse(to_json(table))["cells"][0]["weight_sum"].is_null());
}

TEST(Export, Load) {
  const LoadResult load = analyze_load(small_table());
  const auto json = nlohmann::json::parse(to_json(load));
  EXPECT_EQ(json["analysis"], "load");
  EXPECT_EQ(json["tokens"], 9);
  EXPECT_EQ(json["layers"][0]["layer"], 1);
  EXPECT_EQ(json["layers"][0]["count"], nlohmann::json({3, 0}));
  EXPECT_EQ(json["layers"][0]["share"], nlohmann::json({1.0, 0.0}));
  EXPECT_EQ(json["layers"][0]["dead_experts"], 1);
  EXPECT_EQ(json["layers"][0]["jain"], 0.5);
  EXPECT_EQ(to_csv(load), "layer,expert,count,share,weight_sum\n1,0,3,1,0.3333333333333333\n1,1,0,0,0\n");
}

TEST(Export, SuperExperts) {
  SuperExpertOptions options;
  options.include_layers = 1.0;
  const SuperExpertResult result = analyze_super_experts(small_table(), options);
  const auto json = nlohmann::json::parse(to_json(result));
  EXPECT_EQ(json["definition"], "paper");
  EXPECT_EQ(json["max_threshold"], 9);
  ASSERT_EQ(json["super_experts"].size(), 1u);
  EXPECT_EQ(json["super_experts"][0]["expert"], 0);
  EXPECT_EQ(json["super_experts"][0]["output_max"], 99.5);
  EXPECT_EQ(json["super_experts"][0]["channel"], 17);
  EXPECT_EQ(to_csv(result),
            "rank,layer,expert,output_max,channel,token,count,super_expert\n1,1,0,99.5,17,4,3,1\n");
}

TEST(Export, Entropy) {
  EntropyResult result;
  result.layers.push_back({1, 9, 0.5, 0.25, 0.75, 0.125});
  const auto json = nlohmann::json::parse(to_json(result));
  EXPECT_EQ(json["layers"][0]["mean_nats"], 0.5);
  EXPECT_EQ(json["layers"][0]["normalised"], 0.125);
  EXPECT_EQ(to_csv(result), "layer,tokens,mean_nats,min_nats,max_nats,normalised\n1,9,0.5,0.25,0.75,0.125\n");
}

TEST(Export, Attention) {
  AttentionResult result;
  result.layers.push_back({2, 9, 0.5, 0.25, 1});
  const auto json = nlohmann::json::parse(to_json(result));
  EXPECT_EQ(json["analysis"], "attention");
  EXPECT_EQ(json["layers"][0]["layer"], 2);
  EXPECT_EQ(json["layers"][0]["mean"], 0.5);
  EXPECT_EQ(to_csv(result), "layer,tokens,mean,min,max\n2,9,0.5,0.25,1\n");
}

}  // namespace
}  // namespace expertscope
