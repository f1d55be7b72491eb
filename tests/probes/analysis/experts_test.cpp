// SPDX-License-Identifier: GPL-3.0-or-later
// The trace's sums and maxima as one table: CSV and JSON hold every number.
#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

#include "probes/analysis/analysis.h"
#include "probes/analysis/export.h"
#include "tests/probes/analysis/planted_trace.h"

namespace expertscope::testing {
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

AnalysisResult experts(const ExpertTable& table) {
  return find_analysis("experts")->of_aggregates(table);
}

std::vector<std::string> lines(const std::string& text) {
  std::vector<std::string> out;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);)
    out.push_back(line);
  return out;
}

TEST(Experts, AsCsvHasOneRowPerExpertOfTheMoeLayers) {
  const auto rows = lines(to_csv(experts(small_table()).main()));
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[0],
            "layer,expert,count,probability_sum,weight_sum,norm_sum,weighted_norm_sum,output_max,"
            "output_channel,output_token,first_row_max,first_row_channel,first_row_token,weight_per_token,"
            "mean_norm");
  EXPECT_EQ(
      rows[1],
      "1,0,3,0.1,0.3333333333333333,12.5,4.25,99.5,17,4,1e-07,5,0,0.037037037037037035,4.166666666666667");
  EXPECT_EQ(rows[2], "1,1,0,0,0,0,0,,,,,,,0,") << "what was not measured is empty";
}

TEST(Experts, AsJsonHasTheSameNumbers) {
  const auto json = nlohmann::json::parse(to_json(experts(small_table())));
  EXPECT_EQ(json["tokens"], 9);
  ASSERT_EQ(json["cells"].size(), 2u);
  EXPECT_EQ(json["cells"][0]["weight_sum"], 1.0 / 3.0);
  EXPECT_EQ(json["cells"][0]["output_channel"], 17);
  EXPECT_TRUE(json["cells"][1]["output_token"].is_null());
}

TEST(Experts, ASharedExpertIsExpertMinusOneWithoutRoutingNumbers) {
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
  const auto rows = lines(to_csv(experts(table).main()));
  ASSERT_EQ(rows.size(), 4u);
  EXPECT_EQ(rows[1], "1,-1,9,,,36,,200,3,8,5,2,0,,4");
  const auto cell = nlohmann::json::parse(to_json(experts(table)))["cells"][0];
  EXPECT_EQ(cell["expert"], -1);
  EXPECT_EQ(cell["norm_sum"], 36);
  EXPECT_TRUE(cell["weight_sum"].is_null() && cell["probability_sum"].is_null());
}

TEST(Experts, NumbersThatAreNoneAreMissing) {
  ExpertTable table = small_table();
  table.at(1, 0).weight_sum = std::numeric_limits<double>::quiet_NaN();
  table.at(1, 0).norm_sum = std::numeric_limits<double>::infinity();
  EXPECT_EQ(lines(to_csv(experts(table).main()))[1], "1,0,3,0.1,,,4.25,99.5,17,4,1e-07,5,0,,");
  EXPECT_TRUE(nlohmann::json::parse(to_json(experts(table)))["cells"][0]["weight_sum"].is_null());
}

TEST(Experts, OfARecordingAreItsAggregates) {
  PlantedTrace trace;
  const AnalysisResult result = trace.run("experts");
  EXPECT_EQ(to_csv(result.main()), to_csv(experts(*value_of(trace.data().expert_table({}))).main()));
  EXPECT_EQ(std::get<std::int64_t>(*result.find_value("experts")), 8);
}

}  // namespace
}  // namespace expertscope::testing
