// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/analysis/statistics.h"

#include <gtest/gtest.h>

#include <cmath>

namespace expertscope::testing {
namespace {

TEST(Percentile, InterpolatesLikeNumpy) {
  // numpy.percentile([1, 2, 3, 4], [0, 25, 50, 99.5, 100])
  EXPECT_DOUBLE_EQ(percentile({4, 1, 3, 2}, 0), 1.0);
  EXPECT_DOUBLE_EQ(percentile({4, 1, 3, 2}, 25), 1.75);
  EXPECT_DOUBLE_EQ(percentile({4, 1, 3, 2}, 50), 2.5);
  EXPECT_DOUBLE_EQ(percentile({4, 1, 3, 2}, 99.5), 3.985);
  EXPECT_DOUBLE_EQ(percentile({4, 1, 3, 2}, 100), 4.0);
  EXPECT_DOUBLE_EQ(percentile({5}, 99.5), 5.0);
}

TEST(StudentT, HasTheQuantilesOfTheTables) {
  EXPECT_NEAR(student_t_quantile(0.975, 1), 12.7062047362, 1e-8);
  EXPECT_NEAR(student_t_quantile(0.975, 10), 2.2281388520, 1e-9);
  EXPECT_NEAR(student_t_quantile(0.95, 3), 2.3533634348, 1e-9);
  EXPECT_NEAR(student_t_quantile(0.975, 1e9), 1.9599639845, 1e-6);
}

TEST(RatioSums, HaveTheVarianceOfARatioOfWholeUnits) {
  // By hand: r = 0.5, residuals 1, -1, 0; 3/2 (1 + 1) / 12^2.
  RatioSums sums;
  sums.add(3, 4);
  EXPECT_TRUE(std::isnan(sums.variance())) << "of one unit";
  sums.add(1, 4);
  sums.add(2, 4);
  EXPECT_DOUBLE_EQ(sums.ratio(), 0.5);
  EXPECT_DOUBLE_EQ(sums.variance(), 1.5 * 2 / 144);
}

}  // namespace
}  // namespace expertscope::testing
