// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/gpu/rates/expert_rates.h"

#include <gmock/gmock.h>

#include <simt/device.h>
#include <algorithm>
#include <numeric>
#include <set>

#include "tests/gpu/rates/routed_rows.h"

namespace expertscope::cuda {
namespace {

/// 16 experts, two a token.
ExpertCase tiny(int tokens, double skew) {
  ExpertCase what{16, 2, 64, 24, tokens, skew};
  what.repeats = 2;
  what.rounds = 2;
  return what;
}

TEST(ExpertRates, BothWaysRunAndAgree) {
  for (const double skew : {0.0, 1.0}) {
    for (const int tokens : {1, 5, 70}) {
      const simt::Emulation emulation;
      const auto times = measure_experts(0, tiny(tokens, skew));
      ASSERT_TRUE(times) << times.error().message;
      ASSERT_TRUE(times->grouped);
      for (const ExpertSeconds& seconds : {times->ours, *times->grouped}) {
        EXPECT_GT(seconds.best, 0);
        EXPECT_GE(seconds.median, seconds.best);
      }
      // The grouped way rounds to bf16 more often: were both the same, one of them had not run.
      EXPECT_GT(times->difference, 0);
      EXPECT_LT(times->difference, 0.02);
      EXPECT_EQ(simt::alive(), simt::Alive());
    }
  }
}

TEST(ExpertRates, ExpertsWithoutRowsAreLeftOut) {
  const simt::Emulation emulation;
  const auto few = measure_experts(0, tiny(3, 0));
  ASSERT_TRUE(few) << few.error().message;
  EXPECT_GE(few->experts_used, 2);
  EXPECT_LE(few->experts_used, 6);
  EXPECT_TRUE(few->grouped);
  const auto skewed = measure_experts(0, tiny(40, 1));
  ASSERT_TRUE(skewed) << skewed.error().message;
  EXPECT_GT(skewed->largest_load, 3 * 40 * 2 / 16) << "three times the mean";
}

TEST(ExpertRates, WaysThatDisagreeAreNoComparison) {
  const simt::Emulation emulation;
  ExpertCase what = tiny(5, 0);
  what.tolerance = 1e-6;  // less than bf16 can do
  const auto times = measure_experts(0, what);
  ASSERT_FALSE(times);
  EXPECT_EQ(times.error().code, ErrorCode::mismatch);
  EXPECT_THAT(times.error().message, testing::HasSubstr("more than 1e-06"));
}

TEST(ExpertRates, ACublasWithoutGroupedProductsLeavesOurs) {
  for (const int call : {1, 2}) {
    const simt::Emulation emulation;
    simt::fail_call("cublasGemmGroupedBatchedEx", call, cudaErrorNotSupported);
    const auto times = measure_experts(0, tiny(5, 0));
    ASSERT_TRUE(times) << times.error().message;
    EXPECT_FALSE(times->grouped);
    EXPECT_GT(times->ours.median, 0);
  }
}

TEST(ExpertRates, AFailedProductNamesItself) {
  const simt::Emulation emulation;
  simt::fail_call("cublasGemmGroupedBatchedEx", 4, cudaErrorLaunchFailure);
  const auto times = measure_experts(0, tiny(5, 0));
  ASSERT_FALSE(times);
  EXPECT_EQ(times.error().code, ErrorCode::device);
  EXPECT_THAT(times.error().message, testing::HasSubstr("through cuBLAS"));
}

TEST(ExpertRates, TooLittleMemoryIsSaidWithHowMuchWasNeeded) {
  simt::Settings settings;
  settings.memory = 1 << 16;
  const simt::Emulation emulation(settings);
  const auto times = measure_experts(0, tiny(5, 0));
  ASSERT_FALSE(times);
  EXPECT_EQ(times.error().code, ErrorCode::out_of_memory);
  EXPECT_THAT(times.error().message, testing::HasSubstr("96.0 KiB"));
}

TEST(ExpertRates, NothingToMeasureWithIsRefused) {
  const auto refused = [](auto&& change) {
    ExpertCase what = tiny(5, 0);
    change(what);
    const auto times = measure_experts(0, what);
    return !times && times.error().code == ErrorCode::invalid_argument;
  };
  EXPECT_TRUE(refused([](ExpertCase& what) { what.tokens = 0; }));
  EXPECT_TRUE(refused([](ExpertCase& what) { what.top_k = 17; }));
  EXPECT_TRUE(refused([](ExpertCase& what) { what.hidden = 60; }));
  EXPECT_TRUE(refused([](ExpertCase& what) { what.inner = 0; }));
  EXPECT_TRUE(refused([](ExpertCase& what) { what.experts = 2000; }));
  EXPECT_TRUE(refused([](ExpertCase& what) { what.repeats = 0; }));
  EXPECT_TRUE(refused([](ExpertCase& what) { what.rounds = 0; }));
}

TEST(RoutedRows, ASlotHasOneRowAmongThoseOfItsExpert) {
  const ExpertCase what = tiny(50, 1);
  const RoutedRows routed = route_at_random(what);
  ASSERT_EQ(routed.expert.size(), 100u);
  EXPECT_EQ(std::accumulate(routed.load.begin(), routed.load.end(), 0), 100);
  EXPECT_EQ(std::set(routed.row_of_slot.begin(), routed.row_of_slot.end()).size(), 100u);
  std::vector<std::int32_t> end(routed.load);
  std::partial_sum(end.begin(), end.end(), end.begin());
  for (std::size_t slot = 0; slot < routed.expert.size(); ++slot) {
    const auto expert = static_cast<std::size_t>(routed.expert[slot]);
    const std::int32_t row = routed.row_of_slot[slot];
    EXPECT_LT(row, end[expert]);
    EXPECT_GE(row, end[expert] - routed.load[expert]);
    EXPECT_EQ(routed.token_of_row[static_cast<std::size_t>(row)], static_cast<std::int32_t>(slot / 2));
    if (slot % 2 == 0) {
      EXPECT_NE(routed.expert[slot], routed.expert[slot + 1]);
    }
  }
  EXPECT_EQ(routed.expert, route_at_random(what).expert);
  ExpertCase other = what;
  other.seed = 2;
  EXPECT_NE(routed.expert, route_at_random(other).expert);
}

TEST(RoutedRows, SkewDecidesWhoIsBusy) {
  const RoutedRows uniform = route_at_random(tiny(800, 0));
  const RoutedRows skewed = route_at_random(tiny(800, 1));
  for (const std::int32_t load : uniform.load)
    EXPECT_NEAR(load, 100, 40);
  EXPECT_EQ(*std::max_element(skewed.load.begin(), skewed.load.end()), skewed.load.front());
  EXPECT_GT(skewed.load.front(), 300);
  EXPECT_LT(skewed.load.back(), 60);
}

}  // namespace
}  // namespace expertscope::cuda
