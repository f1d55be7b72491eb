// SPDX-License-Identifier: GPL-3.0-or-later
// Results are computed once, and of a run that grows only what is new.
#include "probes/analysis/analysis_cache.h"

#include <gtest/gtest.h>

#include "probes/analysis/export.h"
#include "tests/probes/analysis/planted_trace.h"

namespace expertscope::testing {
namespace {

TEST(AnalysisCache, GivesTheSameObjectForTheSameQuestion) {
  PlantedTrace trace;
  AnalysisCache cache;
  const Analysis& analysis = *find_analysis("strings");
  Options one(analysis.options);
  one.set("layer", std::int64_t{2});
  const auto all = value_of(cache.get(analysis, trace.data(), {}, {}));
  EXPECT_EQ(value_of(cache.get(analysis, trace.data(), {}, Options(analysis.options))), all)
      << "standard values need not be said";
  EXPECT_NE(value_of(cache.get(analysis, trace.data(), {}, one)), all);
  EXPECT_NE(value_of(cache.get(analysis, trace.data(), {0, 10}, {})), all);
  EXPECT_NE(value_of(cache.get(*find_analysis("load"), trace.data(), {}, {})), all);
  EXPECT_EQ(value_of(cache.get(analysis, trace.data(), {}, {})), all);
}

TEST(AnalysisCache, AddsTheNewTokensOfARunThatHasGrown) {
  PlantedTrace trace;
  AnalysisCache cache;
  const Analysis& analysis = *find_analysis("coactivation");
  RunInfo begun = trace.data().info();
  begun.tokens /= 2;
  RunData half(trace.data().reader(), begun);
  const auto before = value_of(cache.get(analysis, half, {}, {}));
  const auto after = value_of(cache.get(analysis, trace.data(), {}, {}));
  EXPECT_EQ(before->main().find("count")->size(), before->main().rows());
  EXPECT_EQ(to_json(*after), to_json(trace.run("coactivation"))) << "as if computed at once";
  EXPECT_EQ(value_of(cache.get(analysis, trace.data(), {}, {})), after);
}

TEST(AnalysisCache, ForgetsWhatWasUsedLongestAgo) {
  PlantedTrace trace;
  AnalysisCache cache(6000);  // about two tables
  const Analysis& analysis = *find_analysis("experts");
  const auto first = value_of(cache.get(analysis, trace.data(), {0, 10}, {}));
  const auto second = value_of(cache.get(analysis, trace.data(), {0, 20}, {}));
  EXPECT_EQ(value_of(cache.get(analysis, trace.data(), {0, 10}, {})), first);
  for (const std::int64_t end : {30, 40, 50, 60})
    value_of(cache.get(analysis, trace.data(), {0, end}, {}));
  EXPECT_NE(value_of(cache.get(analysis, trace.data(), {0, 20}, {})), second);
}

TEST(AnalysisCache, KeepsNothingThatWasStopped) {
  PlantedTrace trace;
  AnalysisCache cache;
  const Analysis& analysis = *find_analysis("domains");
  std::stop_source stop;
  stop.request_stop();
  const auto stopped = cache.get(analysis, trace.data(), {}, {}, stop.get_token());
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, ErrorCode::cancelled);
  EXPECT_GT(value_of(cache.get(analysis, trace.data(), {}, {}))->main().rows(), 0u);
}

}  // namespace
}  // namespace expertscope::testing
