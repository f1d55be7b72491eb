// SPDX-License-Identifier: GPL-3.0-or-later
#include <set>
#include <thread>

#include "tests/simt/testing.h"

/// Work that is recorded and run later.

namespace expertscope::simt {
namespace {

__global__ void append(int* log, int value) {
  log[++log[0]] = value;
}

class SimtGraphs : public ::testing::Test {
 protected:
  void SetUp() override {
    reset();
    for (cudaStream_t& stream : stream_) {
      ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
    }
    for (cudaEvent_t& event : event_) {
      ASSERT_EQ(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), cudaSuccess);
    }
    ASSERT_EQ(cudaMallocHost(&log_, 256), cudaSuccess);
    log_[0] = 0;
  }
  void TearDown() override { reset(); }

  cudaError_t launch(int stream, int value) {
    const cudaLaunchConfig_t at = config(1, 1, 0, stream_[stream]);
    return cudaLaunchKernelEx(&at, append, log_, value);
  }
  void begin(cudaStreamCaptureMode mode = cudaStreamCaptureModeThreadLocal) {
    ASSERT_EQ(cudaStreamBeginCapture(stream_[0], mode), cudaSuccess);
  }
  cudaStreamCaptureStatus status(int stream) {
    cudaStreamCaptureStatus now{};
    EXPECT_EQ(cudaStreamIsCapturing(stream_[stream], &now), cudaSuccess);
    return now;
  }
  /// Expects that the capture failed, and that the stream works again.
  void expect_invalidated() {
    EXPECT_EQ(launch(0, 1), cudaErrorStreamCaptureInvalidated);
    EXPECT_EQ(status(0), cudaStreamCaptureStatusInvalidated);
    EXPECT_EQ(cudaStreamEndCapture(stream_[0], &graph_), cudaErrorStreamCaptureInvalidated);
    EXPECT_EQ(graph_, nullptr);
    EXPECT_EQ(launch(0, 2), cudaSuccess);
    EXPECT_EQ(cudaStreamSynchronize(stream_[0]), cudaSuccess);
    EXPECT_EQ(logged(), std::vector<int>{2});
  }
  std::vector<int> logged() const { return std::vector<int>(log_ + 1, log_ + 1 + log_[0]); }
  void run(cudaGraphExec_t executable) {
    log_[0] = 0;
    ASSERT_EQ(cudaGraphLaunch(executable, stream_[0]), cudaSuccess);
    ASSERT_EQ(cudaStreamSynchronize(stream_[0]), cudaSuccess);
  }

  cudaStream_t stream_[2] = {};
  cudaEvent_t event_[2] = {};
  int* log_ = nullptr;
  cudaGraph_t graph_ = nullptr;
  cudaGraphExec_t executable_ = nullptr;
};

TEST_F(SimtGraphs, RecordedWorkRunsWhenTheGraphIsLaunched) {
  EXPECT_EQ(status(0), cudaStreamCaptureStatusNone);
  begin();
  EXPECT_EQ(status(0), cudaStreamCaptureStatusActive);
  ASSERT_EQ(launch(0, 1), cudaSuccess);
  ASSERT_EQ(launch(0, 2), cudaSuccess);
  ASSERT_EQ(cudaStreamEndCapture(stream_[0], &graph_), cudaSuccess);
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  EXPECT_EQ(logged(), std::vector<int>{}) << "recorded and not run";

  ASSERT_EQ(cudaGraphInstantiate(&executable_, graph_), cudaSuccess);
  EXPECT_EQ(alive().graphs, 2);
  ASSERT_EQ(cudaGraphDestroy(graph_), cudaSuccess);
  ASSERT_EQ(cudaGraphLaunch(executable_, stream_[0]), cudaSuccess);
  ASSERT_EQ(cudaGraphLaunch(executable_, stream_[0]), cudaSuccess);
  EXPECT_EQ(logged(), std::vector<int>{}) << "queued";
  ASSERT_EQ(cudaStreamSynchronize(stream_[0]), cudaSuccess);
  EXPECT_EQ(logged(), (std::vector<int>{1, 2, 1, 2}));
  ASSERT_EQ(cudaGraphExecDestroy(executable_), cudaSuccess);
  EXPECT_EQ(alive().graphs, 0);
  EXPECT_EQ(cudaGraphLaunch(executable_, stream_[0]), cudaErrorInvalidValue);
}

TEST_F(SimtGraphs, EventsTakeOtherStreamsIntoTheCapture) {
  begin();
  ASSERT_EQ(launch(0, 1), cudaSuccess);
  ASSERT_EQ(cudaEventRecord(event_[0], stream_[0]), cudaSuccess);
  ASSERT_EQ(cudaStreamWaitEvent(stream_[1], event_[0]), cudaSuccess);
  EXPECT_EQ(status(1), cudaStreamCaptureStatusActive);
  ASSERT_EQ(launch(1, 2), cudaSuccess);
  ASSERT_EQ(launch(0, 3), cudaSuccess);
  ASSERT_EQ(cudaEventRecord(event_[1], stream_[1]), cudaSuccess);
  ASSERT_EQ(cudaStreamWaitEvent(stream_[0], event_[1]), cudaSuccess);
  ASSERT_EQ(launch(0, 4), cudaSuccess);
  ASSERT_EQ(cudaStreamEndCapture(stream_[0], &graph_), cudaSuccess);
  EXPECT_EQ(status(1), cudaStreamCaptureStatusNone);
  ASSERT_EQ(cudaGraphInstantiate(&executable_, graph_), cudaSuccess);
  std::set<std::vector<int>> seen;
  for (int i = 0; i < 30; ++i) {
    run(executable_);
    seen.insert(logged());
  }
  EXPECT_EQ(seen, (std::set<std::vector<int>>{{1, 2, 3, 4}, {1, 3, 2, 4}}))
      << "what is parallel has no order";
}

TEST_F(SimtGraphs, EveryStreamHasToComeBack) {
  begin();
  ASSERT_EQ(cudaEventRecord(event_[0], stream_[0]), cudaSuccess);
  ASSERT_EQ(cudaStreamWaitEvent(stream_[1], event_[0]), cudaSuccess);
  ASSERT_EQ(launch(1, 1), cudaSuccess);
  EXPECT_EQ(cudaStreamEndCapture(stream_[1], &graph_), cudaErrorStreamCaptureUnmatched);
  EXPECT_EQ(cudaStreamEndCapture(stream_[0], &graph_), cudaErrorStreamCaptureUnjoined);
  EXPECT_EQ(graph_, nullptr);
  EXPECT_EQ(status(1), cudaStreamCaptureStatusNone);
}

TEST_F(SimtGraphs, CopiesAndSetsAreRecorded) {
  Array<int> device(2);
  begin();
  ASSERT_EQ(cudaMemsetAsync(device.data(), 0, 8, stream_[0]), cudaSuccess);
  ASSERT_EQ(cudaMemcpyAsync(device.data(), log_ + 1, 4, cudaMemcpyHostToDevice, stream_[0]), cudaSuccess);
  ASSERT_EQ(cudaStreamEndCapture(stream_[0], &graph_), cudaSuccess);
  ASSERT_EQ(cudaGraphInstantiate(&executable_, graph_), cudaSuccess);
  log_[1] = 77;
  run(executable_);
  EXPECT_EQ(device.read(), (std::vector<int>{77, 0}));
}

TEST_F(SimtGraphs, SynchronisingAStreamThatRecordsInvalidatesTheCapture) {
  begin();
  EXPECT_EQ(cudaStreamSynchronize(stream_[0]), cudaErrorStreamCaptureUnsupported);
  expect_invalidated();
}

TEST_F(SimtGraphs, AllocatingInACaptureInvalidatesIt) {
  begin();
  void* pointer = nullptr;
  EXPECT_EQ(cudaMalloc(&pointer, 16), cudaErrorStreamCaptureUnsupported);
  expect_invalidated();
}

TEST_F(SimtGraphs, CopyingAtOnceInACaptureInvalidatesIt) {
  Array<int> device(1);
  begin();
  EXPECT_EQ(cudaMemcpy(device.data(), log_, 4, cudaMemcpyHostToDevice), cudaErrorStreamCaptureUnsupported);
  expect_invalidated();
}

TEST_F(SimtGraphs, AnEventOfTheCaptureIsNotOneOfTheStream) {
  begin();
  ASSERT_EQ(cudaEventRecord(event_[0], stream_[0]), cudaSuccess);
  EXPECT_EQ(cudaEventQuery(event_[0]), cudaErrorCapturedEvent);
  expect_invalidated();
}

TEST_F(SimtGraphs, WorkOutsideTheCaptureIsNotWaitedFor) {
  ASSERT_EQ(cudaEventRecord(event_[0], stream_[1]), cudaSuccess);
  begin();
  EXPECT_EQ(cudaStreamWaitEvent(stream_[0], event_[0]), cudaErrorStreamCaptureIsolation);
  expect_invalidated();
}

TEST_F(SimtGraphs, TheModeSaysWhoMayDoWhatAtTheSameTime) {
  const auto allocate = [] {
    void* pointer = nullptr;
    return cudaMalloc(&pointer, 16);
  };
  const auto allocate_elsewhere = [&] {
    cudaError_t error = cudaSuccess;
    std::thread([&] { error = allocate(); }).join();
    return error;
  };
  begin(cudaStreamCaptureModeThreadLocal);
  EXPECT_EQ(allocate_elsewhere(), cudaSuccess);
  EXPECT_EQ(cudaStreamEndCapture(stream_[0], &graph_), cudaSuccess);
  begin(cudaStreamCaptureModeGlobal);
  EXPECT_EQ(allocate_elsewhere(), cudaErrorStreamCaptureUnsupported);
  EXPECT_EQ(cudaStreamEndCapture(stream_[0], &graph_), cudaErrorStreamCaptureInvalidated);
  begin(cudaStreamCaptureModeRelaxed);
  EXPECT_EQ(allocate(), cudaSuccess);
  EXPECT_EQ(cudaStreamEndCapture(stream_[0], &graph_), cudaSuccess);
}

TEST_F(SimtGraphs, TheDefaultStreamCannotRecord) {
  EXPECT_EQ(cudaStreamBeginCapture(nullptr, cudaStreamCaptureModeRelaxed), cudaErrorStreamCaptureUnsupported);
}

}  // namespace
}  // namespace expertscope::simt
