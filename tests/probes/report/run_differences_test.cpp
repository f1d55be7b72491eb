// SPDX-License-Identifier: GPL-3.0-or-later
// What makes two runs incomparable.
#include "probes/report/run_differences.h"

#include <gtest/gtest.h>

#include "tests/probes/report/report_page.h"

namespace expertscope::testing {
namespace {

TEST(Report, WarnsWhenThePromptOfTheBaselineIsAnother) {
  const TemporaryFolder folder;
  RunPlan plan;
  plan.kind = "generate";
  plan.info.prompt = "In the beginning";
  record(folder / "before.db", plan);
  plan.info.prompt = "In the end";
  record(folder / "after.db", plan);
  const Page page = report_of(folder / "after.db", folder / "before.db");
  ASSERT_EQ(page.data["effect"]["warnings"].size(), 1u);
  EXPECT_EQ(page.data["effect"]["warnings"][0], "The prompts of the two runs differ");
}

TEST(RunDifferences, NamesWhatMakesTwoRunsIncomparable) {
  RunInfo before = run_info(Shape());
  before.kind = "profile";
  RunInfo after = before;
  EXPECT_TRUE(run_differences(before, after).empty());
  after.kind = "generate";
  after.model.total_bytes += 1;
  after.tokens = 5;
  const auto found = run_differences(before, after);
  ASSERT_EQ(found.size(), 3u);
  EXPECT_EQ(found[0].what, "weights");
  EXPECT_EQ(found[1].what, "kind of run");
  EXPECT_EQ(found[1].detail, "One run generated, the other read a text: profile before, generate after");
  EXPECT_EQ(found[2].what, "length");
}

TEST(RunDifferences, NamesTheSamplingSettingsThatDiffer) {
  RunInfo before = run_info(Shape());
  before.kind = "generate";
  before.sampling = R"({"temperature":0.7,"top_k":20,"seed":1})";
  RunInfo after = before;
  after.sampling = R"({"temperature":1.0,"top_k":20,"min_p":0.1})";
  auto found = run_differences(before, after);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].what, "sampling");
  EXPECT_EQ(
      found[0].detail,
      "The sampling settings differ: min_p none before, 0.1 after; temperature 0.7 before, 1.0 after; seed "
      "1 before, none after");
  after.sampling = "[";
  EXPECT_EQ(run_differences(before, after)[0].detail,
            "The sampling settings differ: " + before.sampling + " before, [ after");
}

TEST(RunDifferences, SeesThatTheSameDataWereReadAsOtherTokens) {
  const TemporaryFolder folder;
  record(folder / "before.db", {});
  const Shape shape;
  const RunInfo info = run_info(shape);
  auto recorder = value_of(Recorder::start(folder / "after.db", info));
  // Windows of 150 tokens: the second one begins anew.
  ASSERT_OK(recorder->deliver(make_block(shape, info.probes, {0, 150, 0, 0})));
  ASSERT_OK(recorder->deliver(make_block(shape, info.probes, {150, 150, 1, 0})));
  ASSERT_OK(recorder->finish("finished"));
  const auto before = open_trace(folder / "before.db");
  const auto after = open_trace(folder / "after.db");
  RunInfo same = value_of(after->run(1));
  same.kind = "profile";
  const auto found = value_of(run_differences(*before, value_of(before->run(1)), *after, same));
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].what, "tokens read");
  EXPECT_NE(found[0].detail.find("from token 150 on"), std::string::npos);
}

}  // namespace
}  // namespace expertscope::testing
