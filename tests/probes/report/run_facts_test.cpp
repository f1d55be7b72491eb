// SPDX-License-Identifier: GPL-3.0-or-later
// What is said of a run, everywhere alike.
#include "probes/report/run_facts.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace expertscope {
namespace {

RunInfo run() {
  RunInfo run;
  run.id = 3;
  run.status = "finished";
  run.model.name = "demo";
  run.architecture = "Qwen3MoeForCausalLM";
  run.layers = 6;
  run.experts = 16;
  run.top_k = 2;
  run.hidden_size = 64;
  run.moe_layer = {1, 1, 1, 1, 1, 1};
  run.backend = "CPU bf16 (AMX)";
  run.tokens = 12345;
  return run;
}

std::string value(const RunInfo& run, std::string_view name) {
  const auto facts = run_facts(run);
  const auto at =
      std::find_if(facts.begin(), facts.end(), [&](const RunFact& fact) { return fact.name == name; });
  return at == facts.end() ? "(not said)" : at->value;
}

TEST(RunFacts, NameModelShapeAndWhatRanIt) {
  EXPECT_EQ(value(run(), "model"), "demo");
  EXPECT_EQ(value(run(), "architecture"),
            "Qwen3MoeForCausalLM: 6 layers x 16 experts, top-2, hidden size 64");
  EXPECT_EQ(value(run(), "backend"), "CPU bf16 (AMX)");
  EXPECT_EQ(value(run(), "tokens"), "12\u202f345");
}

TEST(RunFacts, LeaveOutWhatTheTraceDoesNotSay) {
  for (const char* name : {"device", "device UUID", "data", "sampling", "weights"})
    EXPECT_EQ(value(run(), name), "(not said)");
}

TEST(RunFacts, SayDenseLayersSharedExpertsAndDroppedTokens) {
  RunInfo other = run();
  other.moe_layer = {0, 1, 1, 1, 1, 1};
  other.shared_layer = {0, 1, 1, 1, 1, 1};
  other.dropped_tokens = 5;
  EXPECT_EQ(
      value(other, "architecture"),
      "Qwen3MoeForCausalLM: 6 layers x 16 experts and a shared one, top-2, 5 of the layers with a router, "
      "hidden size 64");
  EXPECT_EQ(value(other, "tokens"), "12\u202f345, and 5 dropped");
}

TEST(RunSummary, IsOneLine) {
  EXPECT_EQ(run_summary(run()), "demo | Qwen3MoeForCausalLM | 6 layers x 16 experts, top-2 | CPU bf16 (AMX)");
}

}  // namespace
}  // namespace expertscope
