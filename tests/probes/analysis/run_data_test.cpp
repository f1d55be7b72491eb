// SPDX-License-Identifier: GPL-3.0-or-later
// A run of which only the tokens of one domain count.
#include "probes/analysis/run_data.h"

#include <gtest/gtest.h>

#include "tests/probes/analysis/planted_trace.h"

namespace expertscope::testing {
namespace {

TEST(RunData, OfADomainHasTheLoadThatTheAnalysisOfDomainsFinds) {
  PlantedTrace trace;
  const Table by_domain = trace.run("domains").main();
  for (const char* domain : {"code", "english", "maths"}) {
    ASSERT_TRUE(trace.data().set_domain(domain));
    const Table load = trace.run("load").main();
    std::size_t at = 0;
    for (std::size_t row = 0; row < by_domain.rows(); ++row) {
      if (by_domain.find("domain")->text(row) != domain) continue;
      ASSERT_LT(at, load.rows());
      EXPECT_EQ(load.find("count")->integer(at), by_domain.find("count")->integer(row)) << domain;
      EXPECT_DOUBLE_EQ(load.find("share")->number(at), by_domain.find("share")->number(row)) << domain;
      ++at;
    }
    EXPECT_EQ(at, load.rows());
  }
}

TEST(RunData, OfAllDomainsOneAfterTheOtherHasEverySlotButThoseWithoutADomain) {
  PlantedTrace trace;
  const Table whole = trace.run("strings", {{"most", "1"}}).tables.front();
  std::vector<std::int64_t> slots(whole.rows());
  for (const char* domain : {"code", "english", "maths"}) {
    ASSERT_TRUE(trace.data().set_domain(domain));
    const Table part = trace.run("strings", {{"most", "1"}}).tables.front();
    for (std::size_t row = 0; row < part.rows(); ++row) {
      slots[row] += part.find("count")->integer(row);
      EXPECT_FALSE(part.find("known_from_token")->number(row) > 1.0 + 1e-12)
          << "of its occurrences in the domain";
    }
  }
  for (std::size_t row = 0; row < whole.rows(); ++row)
    EXPECT_LE(slots[row], whole.find("count")->integer(row));
  EXPECT_GT(slots[0], 0);
}

TEST(RunData, OfADomainKeepsToTheRange) {
  PlantedTrace trace;
  ASSERT_TRUE(trace.data().set_domain("english"));
  const auto whole = trace.data().expert_table({});
  const auto part = trace.data().expert_table({0, 18});
  ASSERT_TRUE(whole && part);
  EXPECT_GT((*part)->tokens, 0);
  EXPECT_LT((*part)->tokens, 18) << "the other sequence is of code";
  EXPECT_GT((*whole)->tokens, (*part)->tokens);
}

TEST(RunData, OfAllTokensAgainIsTheRunAsItWas) {
  PlantedTrace trace;
  const auto before = trace.data().expert_table({});
  ASSERT_TRUE(trace.data().set_domain("maths"));
  ASSERT_TRUE(trace.data().set_domain(""));
  const auto after = trace.data().expert_table({});
  ASSERT_TRUE(before && after);
  EXPECT_EQ((*before)->tokens, (*after)->tokens);
  EXPECT_EQ(trace.data().counted(), nullptr);
}

TEST(RunData, OfADomainThatItDoesNotHaveCountsNothing) {
  PlantedTrace trace;
  ASSERT_TRUE(trace.data().set_domain("music"));
  const auto table = trace.data().expert_table({});
  ASSERT_TRUE(table);
  EXPECT_EQ((*table)->tokens, 0);
}

}  // namespace
}  // namespace expertscope::testing
