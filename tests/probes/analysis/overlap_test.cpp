// SPDX-License-Identifier: GPL-3.0-or-later
// Overlap of the selections of two runs.
#include <gtest/gtest.h>

#include "tests/probes/analysis/planted_trace.h"

namespace expertscope::testing {
namespace {

/// 20 tokens of the synthetic model; of those from `changed` on, the first slot goes to the expert that it
/// never uses.
std::unique_ptr<TraceReader> recorded(const std::filesystem::path& file, int changed) {
  const Shape shape;
  auto recorder = value_of(Recorder::start(file, run_info(shape)));
  for (const auto& [first, end] : {std::pair(0, changed), std::pair(changed, 20)}) {
    if (first == end) continue;
    auto block = make_block(shape, CaptureRequest::standard(), {first, end - first, 0, first});
    for (std::size_t i = 0; first == changed && i < block->expert.size(); i += 2)
      block->expert[i] = 5;
    EXPECT_OK(recorder->deliver(std::move(block)));
  }
  EXPECT_OK(recorder->finish("finished"));
  return open_trace(file);
}

TEST(Overlap, IsTheShareOfTheBaselinesExpertsThatWereSelectedAgain) {
  const TemporaryFolder folder;
  const auto before_trace = recorded(folder / "before.db", 20);
  const auto after_trace = recorded(folder / "after.db", 5);
  RunData before(*before_trace, value_of(before_trace->run(1)));
  RunData after(*after_trace, value_of(after_trace->run(1)));
  after.set_baseline(&before);
  const Analysis& analysis = *find_analysis("overlap");
  const AnalysisResult result = value_of(run_analysis(analysis, after, {}, {}));
  EXPECT_EQ(std::get<std::int64_t>(*result.find_value("common_tokens")), 20);
  ASSERT_EQ(result.main().rows(), 2u) << "the dense layer has none";
  // One of two slots of 15 of 20 tokens changed.
  EXPECT_DOUBLE_EQ(result.main().find("overlap")->number(0), 1 - 15.0 / 40);
  EXPECT_EQ(result.main().find("layer")->integer(1), 2);
}

TEST(Overlap, NeedsABaseline) {
  PlantedTrace trace;
  const auto result = run_analysis(*find_analysis("overlap"), trace.data(), {}, {});
  ASSERT_FALSE(result);
  EXPECT_TRUE(result.error().message.ends_with("run 1 is without a baseline run, which overlap needs"));
}

}  // namespace
}  // namespace expertscope::testing
