// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/gpu/rates/device_rates.h"

#include <gmock/gmock.h>

#include <simt/device.h>

namespace expertscope::cuda {
namespace {

constexpr RateSizes kTiny{1 << 16, 1 << 12, 24, 3};

TEST(Rates, EveryCeilingIsMeasuredAndNoMemoryIsKept) {
  const simt::Emulation emulation;
  const auto rates = measure_rates(0, kTiny);
  ASSERT_TRUE(rates) << rates.error().message;
  for (const Rate& rate : {rates->copy, rates->read, rates->product, rates->to_device, rates->to_host}) {
    EXPECT_GT(rate.median, 0);
    EXPECT_GE(rate.best, rate.median);
  }
  EXPECT_EQ(simt::alive(), simt::Alive());
}

TEST(Rates, TooLittleMemoryIsSaidWithHowMuchWasNeeded) {
  simt::Settings settings;
  settings.memory = 1 << 20;
  const simt::Emulation emulation(settings);
  const auto rates = measure_rates(0, {4 << 20, 1 << 12, 24, 1});
  ASSERT_FALSE(rates);
  EXPECT_EQ(rates.error().code, ErrorCode::out_of_memory);
  EXPECT_THAT(rates.error().message, testing::HasSubstr("4.0 MiB"));
}

TEST(Rates, AFailedProductNamesItself) {
  const simt::Emulation emulation;
  simt::fail_call("cublasGemmEx", 1, cudaErrorLaunchFailure);
  const auto rates = measure_rates(0, kTiny);
  ASSERT_FALSE(rates);
  EXPECT_EQ(rates.error().code, ErrorCode::device);
  EXPECT_THAT(rates.error().message, testing::HasSubstr("a matrix product"));
}

TEST(Rates, NothingToMeasureWithIsRefused) {
  EXPECT_EQ(measure_rates(0, {1 << 16, 1 << 12, 0, 1}).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(measure_rates(0, {1 << 16, 1 << 12, 8, 0}).error().code, ErrorCode::invalid_argument);
}

}  // namespace
}  // namespace expertscope::cuda
