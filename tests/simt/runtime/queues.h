// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <driver_types.h>

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "simt/device.h"
#include "tests/simt/fibers/random.h"
#include "tests/simt/runtime/memory.h"

namespace expertscope::simt {

/// What a stream was asked to do. It may run more than once when it is part of a graph.
using Work = std::function<cudaError_t()>;

/// One recording of an event: done when the work before it on its stream is.
struct Completion {
  bool done = false;
  std::chrono::steady_clock::time_point time;
  cudaStream_t stream = nullptr;
  std::uint64_t position = 0;  // of its task on the stream
  int polls = 0;
};

/// One entry of a stream's queue: exactly one of the three is set.
struct Task {
  Work work;
  std::shared_ptr<Completion> completes;
  std::shared_ptr<Completion> waits_for;
};

struct GraphNode {
  Work work;
  std::vector<std::size_t> after;  // nodes before this one that have to be done
};

/// A capture in progress: what the streams that take part were asked to do since.
struct Capture {
  cudaStream_t origin = nullptr;
  cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
  std::thread::id thread;
  bool valid = true;
  std::vector<GraphNode> nodes;
};

}  // namespace expertscope::simt

// The names CUDA declares its handles with.
struct CUstream_st {
  unsigned number = 0;  // in order of creation
  int device = 0;
  bool blocking = true;  // waits for the legacy default stream, and is waited for by it
  std::deque<expertscope::simt::Task> tasks;
  std::uint64_t done = 0;  // tasks that have left the queue
  int polls = 0;
  std::shared_ptr<expertscope::simt::Capture> capture;
  std::vector<std::size_t> tails;  // nodes of the capture that the next one comes after
};
struct CUevent_st {
  int device = 0;
  bool timed = true;
  std::shared_ptr<expertscope::simt::Completion> last;  // null: never recorded, or recorded in a capture
  std::shared_ptr<expertscope::simt::Capture> capture;
  std::vector<std::size_t> tails;
};
struct CUgraph_st {
  std::vector<expertscope::simt::GraphNode> nodes;
};
struct CUgraphExec_st {
  std::shared_ptr<const std::vector<expertscope::simt::GraphNode>> nodes;
};

namespace expertscope::simt {

/// The streams of all devices, and what is queued on them. Null stands for the legacy default stream, which
/// is synchronous: what is queued there runs at once, after everything it has to wait for.
class Queues {
 public:
  /// `lost(device, error)` is told when work failed; the work queued on that device is dropped then.
  using Lost = std::function<void(int device, cudaError_t error)>;
  Queues(const Memory& memory, Lost lost) : memory_(memory), lost_(std::move(lost)) {}

  void schedule(Async async, std::uint64_t seed, int polls);
  void clear();

  cudaStream_t create(int device, bool blocking);
  bool exists(cudaStream_t stream) const;
  void destroy(cudaStream_t stream);
  int count() const { return static_cast<int>(streams_.size()); }

  /// Queues work, or records it when the stream is capturing.
  cudaError_t submit(cudaStream_t stream, int device, Work work);
  cudaError_t record(cudaStream_t stream, int device, CUevent_st& event);
  cudaError_t wait_for(cudaStream_t stream, const CUevent_st& event);

  cudaError_t synchronize(cudaStream_t stream, int device);
  cudaError_t synchronize(Completion& completion);
  cudaError_t synchronize_device(int device);
  cudaError_t query(cudaStream_t stream, int device);
  cudaError_t query(Completion& completion);
  /// Forgets what is queued for a device that is lost.
  void drop(int device);

  cudaError_t begin_capture(cudaStream_t stream, cudaStreamCaptureMode mode);
  cudaError_t end_capture(cudaStream_t stream, std::vector<GraphNode>& nodes);
  /// An error, and the end of the capture, when this thread must not do now what a capture cannot record.
  cudaError_t forbid_in_capture();
  /// The nodes in an order that their dependencies allow.
  cudaError_t run_graph(const std::vector<GraphNode>& nodes);

 private:
  /// How many tasks of each stream have to be done.
  using Targets = std::map<unsigned, std::uint64_t>;

  cudaStream_t stream_of(unsigned number) const;
  void add_target(Targets& targets, cudaStream_t stream, std::uint64_t done) const;
  bool add_dependencies(Targets& targets) const;
  std::vector<cudaStream_t> candidates(const Targets& targets) const;
  cudaError_t run_until(Targets targets);
  cudaError_t run_front(CUstream_st& stream);
  cudaError_t synchronize_blocking(int device);
  cudaError_t legacy_capture_error();
  void push(CUstream_st& stream, Task task);
  void leave_capture(Capture* capture);
  cudaError_t join_capture(cudaStream_t stream, const CUevent_st& event);

  const Memory& memory_;
  Lost lost_;
  Async async_ = Async::late;
  Random random_;
  int polls_ = 0;
  std::vector<std::unique_ptr<CUstream_st>> streams_;
  unsigned created_ = 0;
};

}  // namespace expertscope::simt
