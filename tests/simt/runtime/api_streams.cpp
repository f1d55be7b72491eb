// SPDX-License-Identifier: GPL-3.0-or-later
#include <cuda_runtime.h>

#include <algorithm>

#include "tests/simt/runtime/runtime.h"

/// Streams, events and graphs.

namespace simt = expertscope::simt;
using simt::call;
using simt::Needs;
using simt::release;
using simt::Runtime;

namespace {

bool is_stream(const Runtime& runtime, cudaStream_t stream) {
  return stream == nullptr || runtime.queues.exists(stream);
}

/// The one of `owned` that a handle stands for exists.
template <class T>
bool is_one_of(const std::vector<std::unique_ptr<T>>& owned, const T* handle) {
  return std::any_of(owned.begin(), owned.end(), [handle](const auto& one) { return one.get() == handle; });
}

/// Adds one to `owned` and gives out its handle.
template <class T>
T* add(std::vector<std::unique_ptr<T>>& owned, T value) {
  owned.push_back(std::make_unique<T>(std::move(value)));
  return owned.back().get();
}

template <class T>
cudaError_t destroy(std::vector<std::unique_ptr<T>>& owned, const T* handle) {
  const auto erased = std::erase_if(owned, [handle](const auto& one) { return one.get() == handle; });
  return erased == 1 ? cudaSuccess : cudaErrorInvalidResourceHandle;
}

/// What an event says about work that a capture has only recorded.
cudaError_t captured_error(const CUevent_st& event) {
  if (!event.capture) return cudaSuccess;
  event.capture->valid = false;
  return cudaErrorCapturedEvent;
}

}  // namespace

cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  return cudaStreamCreateWithFlags(stream, 0);
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  return call("cudaStreamCreateWithFlags", Needs::device, [&](Runtime& runtime) {
    if (stream == nullptr || (flags & ~unsigned{cudaStreamNonBlocking}) != 0) return cudaErrorInvalidValue;
    *stream = runtime.queues.create(runtime.host().device, (flags & cudaStreamNonBlocking) == 0);
    return cudaSuccess;
  });
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  return release("cudaStreamDestroy", [&](Runtime& runtime) {
    if (stream == nullptr || !is_stream(runtime, stream)) return cudaErrorInvalidResourceHandle;
    runtime.queues.destroy(stream);
    return cudaSuccess;
  });
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  return call("cudaStreamSynchronize", Needs::device, [&](Runtime& runtime) {
    if (!is_stream(runtime, stream)) return cudaErrorInvalidResourceHandle;
    return runtime.queues.synchronize(stream, runtime.host().device);
  });
}

cudaError_t cudaStreamQuery(cudaStream_t stream) {
  return call("cudaStreamQuery", Needs::device, [&](Runtime& runtime) {
    if (!is_stream(runtime, stream)) return cudaErrorInvalidResourceHandle;
    return runtime.queues.query(stream, runtime.host().device);
  });
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags) {
  return call("cudaStreamWaitEvent", Needs::device, [&](Runtime& runtime) {
    if (!is_stream(runtime, stream) || !is_one_of(runtime.events, event)) {
      return cudaErrorInvalidResourceHandle;
    }
    if (flags != cudaEventWaitDefault) return cudaErrorInvalidValue;
    return runtime.queues.wait_for(stream, *event);
  });
}

cudaError_t cudaEventCreate(cudaEvent_t* event) {
  return cudaEventCreateWithFlags(event, cudaEventDefault);
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  return call("cudaEventCreateWithFlags", Needs::device, [&](Runtime& runtime) {
    constexpr unsigned kKnown = cudaEventBlockingSync | cudaEventDisableTiming;
    if (event == nullptr || (flags & ~kKnown) != 0) return cudaErrorInvalidValue;
    CUevent_st made;
    made.device = runtime.host().device;
    made.timed = (flags & cudaEventDisableTiming) == 0;
    *event = add(runtime.events, std::move(made));
    return cudaSuccess;
  });
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  return release("cudaEventDestroy", [&](Runtime& runtime) { return destroy(runtime.events, event); });
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return call("cudaEventRecord", Needs::device, [&](Runtime& runtime) {
    if (!is_stream(runtime, stream) || !is_one_of(runtime.events, event)) {
      return cudaErrorInvalidResourceHandle;
    }
    const int device = stream != nullptr ? stream->device : runtime.host().device;
    if (event->device != device) return cudaErrorInvalidResourceHandle;
    return runtime.queues.record(stream, device, *event);
  });
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  return call("cudaEventSynchronize", Needs::device, [&](Runtime& runtime) {
    if (!is_one_of(runtime.events, event)) return cudaErrorInvalidResourceHandle;
    if (const cudaError_t error = captured_error(*event)) return error;
    return event->last ? runtime.queues.synchronize(*event->last) : cudaSuccess;
  });
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  return call("cudaEventQuery", Needs::device, [&](Runtime& runtime) {
    if (!is_one_of(runtime.events, event)) return cudaErrorInvalidResourceHandle;
    if (const cudaError_t error = captured_error(*event)) return error;
    return event->last ? runtime.queues.query(*event->last) : cudaSuccess;
  });
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  return call("cudaEventElapsedTime", Needs::device, [&](Runtime& runtime) {
    if (milliseconds == nullptr) return cudaErrorInvalidValue;
    if (!is_one_of(runtime.events, start) || !is_one_of(runtime.events, end)) {
      return cudaErrorInvalidResourceHandle;
    }
    for (const CUevent_st* event : {start, end}) {
      if (const cudaError_t error = captured_error(*event)) return error;
      if (!event->timed || !event->last) return cudaErrorInvalidResourceHandle;
      if (!event->last->done) return cudaErrorNotReady;
    }
    *milliseconds = std::chrono::duration<float, std::milli>(end->last->time - start->last->time).count();
    return cudaSuccess;
  });
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  return call("cudaStreamBeginCapture", Needs::device, [&](Runtime& runtime) {
    if (!is_stream(runtime, stream)) return cudaErrorInvalidResourceHandle;
    if (mode < cudaStreamCaptureModeGlobal || mode > cudaStreamCaptureModeRelaxed) {
      return cudaErrorInvalidValue;
    }
    return runtime.queues.begin_capture(stream, mode);
  });
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  return call("cudaStreamEndCapture", Needs::device, [&](Runtime& runtime) {
    if (!is_stream(runtime, stream)) return cudaErrorInvalidResourceHandle;
    if (graph == nullptr) return cudaErrorInvalidValue;
    *graph = nullptr;
    CUgraph_st made;
    if (const cudaError_t error = runtime.queues.end_capture(stream, made.nodes)) return error;
    *graph = add(runtime.graphs, std::move(made));
    return cudaSuccess;
  });
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  return call("cudaStreamIsCapturing", Needs::device, [&](Runtime& runtime) {
    if (!is_stream(runtime, stream)) return cudaErrorInvalidResourceHandle;
    if (status == nullptr) return cudaErrorInvalidValue;
    *status = cudaStreamCaptureStatusNone;
    if (stream == nullptr || !stream->capture) return cudaSuccess;
    *status = stream->capture->valid ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusInvalidated;
    return cudaSuccess;
  });
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long flags) {
  return call("cudaGraphInstantiate", Needs::device, [&](Runtime& runtime) {
    if (executable == nullptr || flags != 0 || !is_one_of(runtime.graphs, graph))
      return cudaErrorInvalidValue;
    auto nodes = std::make_shared<const std::vector<simt::GraphNode>>(graph->nodes);
    *executable = add(runtime.executables, CUgraphExec_st{std::move(nodes)});
    return cudaSuccess;
  });
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  return call("cudaGraphLaunch", Needs::device, [&](Runtime& runtime) {
    if (!is_one_of(runtime.executables, executable)) return cudaErrorInvalidValue;
    if (!is_stream(runtime, stream)) return cudaErrorInvalidResourceHandle;
    return runtime.queues.submit(stream, runtime.host().device, [&runtime, nodes = executable->nodes] {
      return runtime.queues.run_graph(*nodes);
    });
  });
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  return release("cudaGraphExecDestroy",
                 [&](Runtime& runtime) { return destroy(runtime.executables, executable); });
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  return release("cudaGraphDestroy", [&](Runtime& runtime) { return destroy(runtime.graphs, graph); });
}
