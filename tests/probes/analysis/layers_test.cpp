// SPDX-License-Identifier: GPL-3.0-or-later
// What is known of whole layers.
#include <gtest/gtest.h>

#include "tests/probes/analysis/planted_trace.h"

namespace expertscope::testing {
namespace {

TEST(Layers, HaveTheNumbersThatNumpyFinds) {
  PlantedTrace trace;
  expect_rows(trace.run("layers").main(), trace.golden()["layers"],
              {"layer", "moe", "entropy", "normalised_entropy", "jain", "max_over_mean", "dead_experts",
               "attention", "hidden_max", "hidden_channel", "hidden_token"});
}

TEST(Layers, OfAPartOfTheRunAreThoseOfItsTokens) {
  PlantedTrace trace;
  const Table table = trace.run("layers", {}, {5, 25}).main();
  double entropy = 0;
  double hidden = 0;
  for (int token = 5; token < 25; ++token) {
    entropy += trace.golden()["entropy"][0][token].get<double>() / 20;
    hidden = std::max(hidden, trace.golden()["hidden_max"][0][token].get<double>());
  }
  EXPECT_NEAR(table.find("entropy")->number(0), entropy, 1e-12);
  EXPECT_EQ(table.find("hidden_max")->number(0), hidden);
  EXPECT_FALSE(table.find("hidden_channel")->has(0)) << "known of whole runs";
}

}  // namespace
}  // namespace expertscope::testing
