// SPDX-License-Identifier: GPL-3.0-or-later
#include <gmock/gmock.h>

#include "tests/simt/testing.h"

/// What kernels do wrong, and what is said about it.

namespace expertscope::simt {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr unsigned kAll = 0xffffffffu;

/// Runs a kernel that fails, and then, on new devices, one that does not.
class SimtFailures : public ::testing::Test {
 protected:
  template <class... Parameters, class... Arguments>
  std::string failure(unsigned threads, void (*kernel)(Parameters...), Arguments... arguments) {
    EXPECT_EQ(launch_now(2, threads, kernel, arguments...), cudaErrorLaunchFailure);
    return last_failure();
  }
  void TearDown() override;

 private:
  Emulation emulation_{quiet()};
};

__global__ void behave(int* to) {
  __syncthreads();
  to[threadIdx.x] = __shfl_sync(kAll, 7, 0);
  __syncthreads();
}

void SimtFailures::TearDown() {
  reset();
  Array<int> array(64);
  EXPECT_EQ(launch_now(3, 64, behave, array.data()), cudaSuccess);
  EXPECT_EQ(array.read(), std::vector<int>(64, 7));
  EXPECT_EQ(last_failure(), "");
}

__global__ void different_barriers() {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}

TEST_F(SimtFailures, BarrierAtDifferentPlaces) {
  EXPECT_THAT(failure(64, different_barriers),
              AllOf(HasSubstr("block (0,0,0), thread (32,0,0), failures_test.cpp:"),
                    HasSubstr("__syncthreads while 32 of the 64 threads alive wait at another one")));
}

__global__ void barrier_against_shuffle() {
  if (threadIdx.x == 3) {
    __syncthreads();
  } else {
    __shfl_sync(kAll, 1, 0);
  }
}

TEST_F(SimtFailures, BarrierThatOthersMiss) {
  EXPECT_THAT(failure(32, barrier_against_shuffle),
              AllOf(HasSubstr("lanes 0-2,4-31 wait in a warp collective with mask 0xffffffff, but"),
                    HasSubstr("lanes 3 wait in __syncthreads at failures_test.cpp:")));
}

__global__ void shuffle_after_exit() {
  if (threadIdx.x >= 30) return;
  __shfl_sync(kAll, 1, 0);
}

TEST_F(SimtFailures, LanesThatHaveEnded) {
  EXPECT_THAT(failure(32, shuffle_after_exit), HasSubstr("but lanes 30-31 have ended"));
}

__global__ void shuffle_all() {
  __shfl_sync(kAll, 1, 0);
}

TEST_F(SimtFailures, LanesThatDoNotExist) {
  EXPECT_THAT(failure(48, shuffle_all), AllOf(HasSubstr("warp 1"), HasSubstr("lanes 16-31 do not exist")));
}

__global__ void different_masks() {
  const unsigned mask = threadIdx.x == 5 ? 0x7fffffffu : kAll;
  if (threadIdx.x < 31) __syncwarp(mask);
}

TEST_F(SimtFailures, DifferentMasks) {
  const std::string message = failure(32, different_masks);
  EXPECT_THAT(message,
              AllOf(HasSubstr("wait in a warp collective with mask 0xffffffff, but lanes 31 have ended"),
                    HasSubstr("lanes 5 wait with mask 0x7fffffff at failures_test.cpp:")));
}

__global__ void not_in_own_mask() {
  __syncwarp(0xfffffffeu);
}

TEST_F(SimtFailures, LaneNotInItsOwnMask) {
  EXPECT_THAT(failure(32, not_in_own_mask),
              AllOf(HasSubstr("thread (0,0,0)"), HasSubstr("a lane that is not in its mask")));
}

__global__ void different_collectives() {
  if (threadIdx.x % 2 == 0) {
    __shfl_sync(kAll, 1, 0);
  } else {
    __ballot_sync(kAll, 1);
  }
}

TEST_F(SimtFailures, DifferentCollectives) {
  EXPECT_THAT(failure(32, different_collectives),
              HasSubstr("others of its mask wait for in a different one"));
}

__global__ void odd_width() {
  __shfl_sync(kAll, 1, 0, 12);
}

TEST_F(SimtFailures, WidthOfAShuffle) {
  EXPECT_THAT(failure(32, odd_width), HasSubstr("power of two"));
}

__global__ void trap() {
  if (blockIdx.x == 1 && threadIdx.x == 3) __trap();
}

TEST_F(SimtFailures, Trap) {
  EXPECT_THAT(failure(32, trap), AllOf(HasSubstr("block (1,0,0), thread (3,0,0)"), HasSubstr("__trap")));
}

__global__ void sleep_for_ever() {
  __nanosleep(1);
}

__global__ void wait_for_nobody(volatile int* flag) {
  while (*flag == 0) {
    __nanosleep(1);
  }
}

TEST_F(SimtFailures, SleepingForWhatNeverComes) {
  Array<int> flag(std::vector<int>{0});
  EXPECT_EQ(launch_now(1, 32, sleep_for_ever), cudaSuccess);
  EXPECT_THAT(failure(2, wait_for_nobody, flag.data()), HasSubstr("the block only sleeps"));
}

__global__ void fail_in_many_blocks(int* done) {
  atomicAdd(done, 1);
  __syncthreads();
  if (threadIdx.x == 0) __trap();
  __syncthreads();
}

TEST_F(SimtFailures, OneFailureEndsTheLaunchOnAllWorkers) {
  for (const int workers : {1, 4}) {
    Settings settings = quiet();
    settings.workers = workers;
    reset(settings);
    Array<int> done(std::vector<int>{0});
    EXPECT_EQ(launch_now(1000, 64, fail_in_many_blocks, done.data()), cudaErrorLaunchFailure);
    EXPECT_THAT(last_failure(), HasSubstr("__trap"));
  }
}

TEST_F(SimtFailures, EveryLaterCallReportsIt) {
  failure(32, trap);
  void* pointer = nullptr;
  EXPECT_EQ(cudaMalloc(&pointer, 16), cudaErrorLaunchFailure);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorLaunchFailure);
  EXPECT_EQ(cudaGetLastError(), cudaErrorLaunchFailure);
  EXPECT_EQ(cudaGetLastError(), cudaErrorLaunchFailure);
}

}  // namespace
}  // namespace expertscope::simt
