// SPDX-License-Identifier: GPL-3.0-or-later
#include <set>

#include "tests/simt/testing.h"

/// When queued work runs.

namespace expertscope::simt {
namespace {

__global__ void set_value(int* to, int value) {
  *to = value;
}
__global__ void copy_value(int* to, const int* from) {
  *to = *from;
}
__global__ void append(int* log, int value) {
  log[++log[0]] = value;
}
__global__ void trap() {
  __trap();
}

/// Two streams that do not wait for the default stream, an event, and memory that host and device see.
class SimtStreams : public ::testing::Test {
 protected:
  void start(const Settings& settings) {
    reset(settings);
    for (cudaStream_t& stream : stream_) {
      ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
    }
    ASSERT_EQ(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), cudaSuccess);
    ASSERT_EQ(cudaMallocHost(&pinned_, 64 * sizeof(int)), cudaSuccess);
    std::fill(pinned_, pinned_ + 64, 0);
  }
  void SetUp() override { start({}); }
  void TearDown() override { reset(); }

  template <class... Parameters, class... Arguments>
  void launch(int stream, void (*kernel)(Parameters...), Arguments... arguments) {
    const cudaLaunchConfig_t at = config(1, 1, 0, stream_[stream]);
    ASSERT_EQ(cudaLaunchKernelEx(&at, kernel, arguments...), cudaSuccess);
  }

  cudaStream_t stream_[2] = {};
  cudaEvent_t event_ = nullptr;
  int* pinned_ = nullptr;
};

TEST_F(SimtStreams, WorkRunsWhenItIsWaitedForAndNotBefore) {
  launch(0, set_value, pinned_, 1);
  launch(1, set_value, pinned_ + 1, 2);
  EXPECT_EQ(pinned_[0], 0);
  EXPECT_EQ(cudaStreamSynchronize(stream_[0]), cudaSuccess);
  EXPECT_EQ(pinned_[0], 1);
  EXPECT_EQ(pinned_[1], 0) << "nobody waited for the other stream";
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  EXPECT_EQ(pinned_[1], 2);
}

TEST_F(SimtStreams, ArgumentsAreTakenAtTheLaunch) {
  int value = 5;
  launch(0, set_value, pinned_, value);
  value = 6;
  EXPECT_EQ(cudaStreamSynchronize(stream_[0]), cudaSuccess);
  EXPECT_EQ(pinned_[0], 5);
}

TEST_F(SimtStreams, CopiesReadPinnedMemoryWhenTheyRun) {
  Array<int> device(1);
  pinned_[0] = 1;
  ASSERT_EQ(cudaMemcpyAsync(device.data(), pinned_, 4, cudaMemcpyHostToDevice, stream_[0]), cudaSuccess);
  pinned_[0] = 2;
  ASSERT_EQ(cudaStreamSynchronize(stream_[0]), cudaSuccess);
  EXPECT_EQ(device.read()[0], 2) << "the host changed it too early";
}

TEST_F(SimtStreams, CopiesOfPageableMemoryAreDoneAtOnce) {
  Array<int> device(1);
  launch(0, set_value, device.data(), 3);
  int host = 0;
  ASSERT_EQ(cudaMemcpyAsync(&host, device.data(), 4, cudaMemcpyDeviceToHost, stream_[0]), cudaSuccess);
  EXPECT_EQ(host, 3);
}

TEST_F(SimtStreams, EventsSayHowFarAStreamIs) {
  launch(0, set_value, pinned_, 1);
  ASSERT_EQ(cudaEventRecord(event_, stream_[0]), cudaSuccess);
  launch(0, set_value, pinned_ + 1, 2);
  ASSERT_EQ(cudaEventSynchronize(event_), cudaSuccess);
  EXPECT_EQ(pinned_[0], 1);
  EXPECT_EQ(pinned_[1], 0);
  EXPECT_EQ(cudaEventQuery(event_), cudaSuccess);
  EXPECT_EQ(cudaStreamQuery(stream_[0]), cudaErrorNotReady);
}

TEST_F(SimtStreams, QueriesSucceedAfterAWhile) {
  launch(0, set_value, pinned_, 1);
  ASSERT_EQ(cudaEventRecord(event_, stream_[0]), cudaSuccess);
  EXPECT_EQ(cudaEventQuery(event_), cudaErrorNotReady);
  EXPECT_EQ(cudaEventQuery(event_), cudaErrorNotReady);
  EXPECT_EQ(pinned_[0], 0);
  EXPECT_EQ(cudaEventQuery(event_), cudaSuccess);
  EXPECT_EQ(pinned_[0], 1);
  launch(0, set_value, pinned_, 2);
  EXPECT_EQ(cudaStreamQuery(stream_[0]), cudaErrorNotReady);
  EXPECT_EQ(cudaStreamQuery(stream_[0]), cudaErrorNotReady);
  EXPECT_EQ(cudaStreamQuery(stream_[0]), cudaSuccess);
  EXPECT_EQ(pinned_[0], 2);
}

TEST_F(SimtStreams, AStreamWaitsForAnEventOfAnother) {
  launch(0, set_value, pinned_, 7);
  ASSERT_EQ(cudaEventRecord(event_, stream_[0]), cudaSuccess);
  ASSERT_EQ(cudaStreamWaitEvent(stream_[1], event_), cudaSuccess);
  launch(1, copy_value, pinned_ + 1, pinned_);
  ASSERT_EQ(cudaStreamSynchronize(stream_[1]), cudaSuccess);
  EXPECT_EQ(pinned_[1], 7);
}

TEST_F(SimtStreams, AMissingWaitShowsAsWrongData) {
  launch(0, set_value, pinned_, 7);
  launch(1, copy_value, pinned_ + 1, pinned_);
  ASSERT_EQ(cudaStreamSynchronize(stream_[1]), cudaSuccess);
  EXPECT_EQ(pinned_[1], 0);
}

TEST_F(SimtStreams, AWaitIsForWhatWasRecordedThen) {
  EXPECT_EQ(cudaStreamWaitEvent(stream_[1], event_), cudaSuccess) << "nothing was recorded";
  launch(0, set_value, pinned_, 1);
  ASSERT_EQ(cudaEventRecord(event_, stream_[0]), cudaSuccess);
  ASSERT_EQ(cudaStreamWaitEvent(stream_[1], event_), cudaSuccess);
  launch(0, set_value, pinned_ + 1, 2);
  ASSERT_EQ(cudaEventRecord(event_, stream_[0]), cudaSuccess);
  ASSERT_EQ(cudaStreamSynchronize(stream_[1]), cudaSuccess);
  EXPECT_EQ(pinned_[0], 1);
  EXPECT_EQ(pinned_[1], 0);
}

TEST_F(SimtStreams, AnyOrderThatIsAllowedCanHappen) {
  std::set<std::vector<int>> seen;
  for (const Async async : {Async::late, Async::random, Async::eager}) {
    for (std::uint64_t seed = 1; seed <= 30; ++seed) {
      Settings settings;
      settings.async = async;
      settings.seed = seed;
      start(settings);
      launch(0, append, pinned_, 1);
      launch(0, append, pinned_, 2);
      launch(1, append, pinned_, 3);
      ASSERT_EQ(cudaEventRecord(event_, stream_[0]), cudaSuccess);
      ASSERT_EQ(cudaStreamWaitEvent(stream_[1], event_), cudaSuccess);
      launch(1, append, pinned_, 4);
      ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
      seen.insert(std::vector<int>(pinned_ + 1, pinned_ + 5));
    }
  }
  EXPECT_EQ(seen, (std::set<std::vector<int>>{{1, 2, 3, 4}, {1, 3, 2, 4}, {3, 1, 2, 4}}));
}

TEST_F(SimtStreams, RandomWorkMayRunBeforeItIsWaitedFor) {
  int early = 0;
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    Settings settings;
    settings.async = Async::random;
    settings.seed = seed;
    start(settings);
    launch(0, set_value, pinned_, 1);
    early += pinned_[0];
  }
  EXPECT_GT(early, 0);
  EXPECT_LT(early, 30);
}

TEST_F(SimtStreams, TheDefaultStreamWaitsForBlockingStreamsOnly) {
  cudaStream_t blocking = nullptr;
  ASSERT_EQ(cudaStreamCreate(&blocking), cudaSuccess);
  const cudaLaunchConfig_t at = config(1, 1, 0, blocking);
  ASSERT_EQ(cudaLaunchKernelEx(&at, set_value, pinned_, 1), cudaSuccess);
  launch(0, set_value, pinned_ + 1, 2);
  ASSERT_EQ(launch_now(1, 1, copy_value, pinned_ + 2, pinned_), cudaSuccess);
  EXPECT_EQ(pinned_[2], 1);
  EXPECT_EQ(pinned_[1], 0);
}

TEST_F(SimtStreams, DestroyingAndFreeingWaitForTheWork) {
  launch(0, set_value, pinned_, 1);
  ASSERT_EQ(cudaStreamDestroy(stream_[0]), cudaSuccess);
  EXPECT_EQ(pinned_[0], 1);
  EXPECT_EQ(cudaStreamSynchronize(stream_[0]), cudaErrorInvalidResourceHandle);
  void* device = nullptr;
  ASSERT_EQ(cudaMalloc(&device, 4), cudaSuccess);
  launch(1, set_value, pinned_ + 1, 2);
  ASSERT_EQ(cudaFree(device), cudaSuccess);
  EXPECT_EQ(pinned_[1], 2);
}

TEST_F(SimtStreams, TimeIsMeasuredBetweenEvents) {
  cudaEvent_t start = nullptr;
  cudaEvent_t end = nullptr;
  ASSERT_EQ(cudaEventCreate(&start), cudaSuccess);
  ASSERT_EQ(cudaEventCreate(&end), cudaSuccess);
  float time = -1;
  EXPECT_EQ(cudaEventElapsedTime(&time, start, end), cudaErrorInvalidResourceHandle);
  ASSERT_EQ(cudaEventRecord(start, stream_[0]), cudaSuccess);
  launch(0, set_value, pinned_, 1);
  ASSERT_EQ(cudaEventRecord(end, stream_[0]), cudaSuccess);
  EXPECT_EQ(cudaEventElapsedTime(&time, start, end), cudaErrorNotReady);
  ASSERT_EQ(cudaEventSynchronize(end), cudaSuccess);
  EXPECT_EQ(cudaEventElapsedTime(&time, start, end), cudaSuccess);
  EXPECT_GE(time, 0.0f);
  EXPECT_EQ(cudaEventElapsedTime(&time, start, event_), cudaErrorInvalidResourceHandle)
      << "made without timing";
}

TEST_F(SimtStreams, AFailureIsReportedByWhateverWaitsForIt) {
  start(quiet());
  launch(0, trap);
  launch(0, set_value, pinned_, 1);
  EXPECT_EQ(last_failure(), "");
  EXPECT_EQ(cudaStreamSynchronize(stream_[0]), cudaErrorLaunchFailure);
  EXPECT_NE(last_failure(), "");
  EXPECT_EQ(pinned_[0], 0) << "nothing runs after it";
}

TEST_F(SimtStreams, BadLaunchesAreRefusedAtOnce) {
  const auto launch = [](dim3 grid, dim3 block) { return launch_now(grid, block, trap); };
  EXPECT_EQ(launch(0, 32), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch(1, 1025), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch({1, 65536}, 32), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch(1, {1, 1, 65}), cudaErrorInvalidConfiguration);
  ASSERT_EQ(cudaStreamDestroy(stream_[0]), cudaSuccess);
  const cudaLaunchConfig_t at = config(1, 1, 0, stream_[0]);
  EXPECT_EQ(cudaLaunchKernelEx(&at, trap), cudaErrorInvalidResourceHandle);
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidResourceHandle);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
}

}  // namespace
}  // namespace expertscope::simt
