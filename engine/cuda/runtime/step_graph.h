// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cuda_runtime.h>

#include <memory>
#include <type_traits>
#include <utility>

#include "engine/cuda/runtime/queue.h"

namespace expertscope::cuda {

/// A recorded sequence of kernels, launched as one.
class StepGraph {
 public:
  bool recorded() const { return graph_ != nullptr; }
  /// Whether it is worth a try: what failed once would fail at every step.
  bool can_record() const { return !recorded() && !failed_; }

  /// Records what `work` queues instead of running it, if that can be done: recorded() says so. Where not,
  /// the work itself fails as well or is only slower, so the reason is left to it.
  template <class Work>
  void record(Queue& queue, Work&& work) {
    failed_ = !try_record(queue, std::forward<Work>(work));
    if (failed_) cudaGetLastError();  // whoever asks next would be told of it
  }

  void launch(Queue& queue) const {
    if (queue.ok()) queue.note(cudaGraphLaunch(graph_.get(), queue.stream()));
  }

 private:
  template <class Work>
  Status try_record(Queue& queue, Work&& work) {
    const char* what = "recording a decode step";
    if (auto ok = check(cudaStreamBeginCapture(queue.stream(), cudaStreamCaptureModeThreadLocal), what); !ok)
      return ok;
    Recording recording{queue.stream()};
    std::forward<Work>(work)();
    const cudaError_t ended = recording.end();
    if (auto ok = queue.take_status(); !ok) return ok;  // says which kernel and which layer
    if (auto ok = check(ended, what); !ok) return ok;
    cudaGraphExec_t ready = nullptr;
    if (auto ok = check(cudaGraphInstantiate(&ready, recording.graph.get(), 0), what); !ok) return ok;
    graph_.reset(ready);
    return {};
  }

  struct DestroyGraph {
    void operator()(cudaGraph_t graph) const { cudaGraphDestroy(graph); }
  };
  /// Ends also when something is thrown: a stream that records for ever could not be used again.
  struct Recording {
    explicit Recording(cudaStream_t from) : stream(from) {}
    Recording(const Recording&) = delete;
    Recording& operator=(const Recording&) = delete;
    ~Recording() {
      if (stream != nullptr) end();
    }
    cudaError_t end() {
      cudaGraph_t recorded = nullptr;
      const cudaError_t code = cudaStreamEndCapture(std::exchange(stream, nullptr), &recorded);
      graph.reset(recorded);
      return code;
    }

    cudaStream_t stream;
    std::unique_ptr<std::remove_pointer_t<cudaGraph_t>, DestroyGraph> graph;
  };
  struct Destroy {
    void operator()(cudaGraphExec_t graph) const { cudaGraphExecDestroy(graph); }
  };
  std::unique_ptr<std::remove_pointer_t<cudaGraphExec_t>, Destroy> graph_;
  bool failed_ = false;
};

}  // namespace expertscope::cuda
