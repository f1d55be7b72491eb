// SPDX-License-Identifier: GPL-3.0-or-later
// Load by domain.
#include <gtest/gtest.h>

#include "tests/probes/analysis/planted_trace.h"

namespace expertscope::testing {
namespace {

TEST(Domains, HaveTheSharesAndIntervalsThatNumpyFinds) {
  PlantedTrace trace;
  expect_rows(trace.run("domains").main(), trace.golden()["load_by_domain"],
              {"layer", "expert", "domain", "count", "share", "difference", "low", "high", "specialisation",
               "others", "against_others", "against_low", "against_high"});
}

TEST(Domains, AreListedWithTheirTokensAndSequences) {
  PlantedTrace trace;
  const AnalysisResult result = trace.run("domains");
  const Table& domains = *result.find("domains");
  ASSERT_EQ(domains.rows(), 3u) << "a sequence without a domain is in none";
  EXPECT_EQ(domains.find("domain")->text(1), "english");
  EXPECT_EQ(domains.find("sequences")->integer(1), 4);
  EXPECT_EQ(std::get<double>(*result.find_value("uniform")), 3.0 / 8.0);
}

TEST(Domains, OfOneLayerAreThoseOfAllLayersThere) {
  PlantedTrace trace;
  const Table all = trace.run("domains").main();
  const Table one = trace.run("domains", {{"layer", "2"}}).main();
  ASSERT_EQ(one.rows(), all.rows() / 2);
  for (std::size_t row = 0; row < one.rows(); ++row) {
    EXPECT_EQ(one.find("layer")->integer(row), 2);
    EXPECT_EQ(one.find("low")->number(row), all.find("low")->number(all.rows() / 2 + row));
  }
}

TEST(Domains, OfASingleSequenceHaveNoInterval) {
  PlantedTrace trace;
  // The first two sequences lie between each other: one of code, one of English.
  const Table table = trace.run("domains", {}, {0, 18}).main();
  ASSERT_EQ(table.rows(), 2u * 8u * 2u);
  for (std::size_t row = 0; row < table.rows(); ++row) {
    EXPECT_TRUE(table.find("difference")->has(row));
    EXPECT_FALSE(table.find("low")->has(row) || table.find("high")->has(row));
  }
}

}  // namespace
}  // namespace expertscope::testing
