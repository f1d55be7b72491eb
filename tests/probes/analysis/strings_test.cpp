// SPDX-License-Identifier: GPL-3.0-or-later
// Which tokens an expert runs for.
#include <gtest/gtest.h>

#include "tests/probes/analysis/planted_trace.h"

namespace expertscope::testing {
namespace {

TEST(Strings, AreCountedAndWeighedAsNumpyDoes) {
  PlantedTrace trace;
  const Table table = trace.run("strings", {{"most", "100"}}).main();
  expect_rows(table, trace.golden()["strings"],
              {"layer", "expert", "token_id", "count", "share", "mean_weight"});
  EXPECT_EQ(table.find("token")->text(0), "t" + std::to_string(table.find("token_id")->integer(0)));
}

TEST(Strings, SayTogetherHowSurelyATokenIsRoutedToTheExpert) {
  PlantedTrace trace;
  const AnalysisResult all = trace.run("strings", {{"most", "1"}});
  expect_rows(*all.find("experts"), trace.golden()["known_from_token"],
              {"layer", "expert", "count", "strings", "known_from_token"});
  const AnalysisResult one = trace.run("strings", {{"layer", "2"}, {"expert", "3"}});
  ASSERT_EQ(one.find("experts")->rows(), 1u);
  EXPECT_EQ(one.find("experts")->find("known_from_token")->number(0),
            all.find("experts")->find("known_from_token")->number(8 + 3));
}

TEST(Strings, OfAnExpertAreCutAtTheMostFrequent) {
  PlantedTrace trace;
  const Table table = trace.run("strings", {{"layer", "2"}, {"most", "2"}}).main();
  ASSERT_EQ(table.rows(), 7u * 2u) << "the last expert has none";
  for (std::size_t row = 0; row < table.rows(); row += 2) {
    EXPECT_EQ(table.find("expert")->integer(row), static_cast<std::int64_t>(row) / 2);
    EXPECT_GE(table.find("count")->integer(row), table.find("count")->integer(row + 1));
  }
}

TEST(Strings, InTheOrderOfTheirShareBeginWithTheSurest) {
  PlantedTrace trace;
  const Table table =
      trace.run("strings", {{"layer", "0"}, {"expert", "3"}, {"order", "share"}, {"min_count", "2"}}).main();
  ASSERT_GT(table.rows(), 2u);
  for (std::size_t row = 0; row < table.rows(); ++row) {
    EXPECT_GE(table.find("count")->integer(row), 2);
    if (row > 0) {
      EXPECT_LE(table.find("share")->number(row), table.find("share")->number(row - 1));
    }
  }
}

TEST(Strings, OfOneExpertHaveAnExampleForEachDomain) {
  PlantedTrace trace;
  const AnalysisResult result = trace.run("strings", {{"layer", "2"}, {"expert", "3"}, {"most", "100"}});
  const Table& table = *result.find("examples");
  const auto& golden = trace.golden()["examples"];
  ASSERT_EQ(table.rows(), golden.size());
  std::map<std::pair<std::int64_t, std::string>, std::size_t> row_of;
  for (std::size_t row = 0; row < table.rows(); ++row)
    row_of[{table.find("token_id")->integer(row), table.find("domain")->text(row)}] = row;
  for (const auto& expected : golden) {
    const auto row = row_of.find({expected[0].get<std::int64_t>(), expected[1].get<std::string>()});
    ASSERT_NE(row, row_of.end());
    EXPECT_EQ(table.find("count")->integer(row->second), expected[2].get<std::int64_t>());
    EXPECT_EQ(table.find("at_token")->integer(row->second), expected[3].get<std::int64_t>());
    EXPECT_EQ(table.find("weight")->number(row->second), expected[4].get<double>());
    EXPECT_EQ(table.find("token")->text(row->second), "t" + std::to_string(expected[0].get<int>()));
  }
  EXPECT_EQ(result.main().id, "strings") << "examples are no table for CSV";
  EXPECT_EQ(trace.run("strings").find("examples"), nullptr) << "of all experts there would be too many";
}

TEST(Strings, OfAnExpertThatThereIsNotAreRefused) {
  PlantedTrace trace;
  const Analysis& analysis = *find_analysis("strings");
  Options options(analysis.options);
  options.set("expert", std::int64_t{8});
  const auto result = run_analysis(analysis, trace.data(), {}, options);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().message, "layer 0 of run 1 has 8 experts, and none is 8");
}

}  // namespace
}  // namespace expertscope::testing
