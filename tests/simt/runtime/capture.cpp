// SPDX-License-Identifier: GPL-3.0-or-later
#include <algorithm>

#include "tests/simt/runtime/queues.h"

/// Stream capture and graphs.

namespace expertscope::simt {

namespace {

/// The nodes that come before one of `tails`, and those themselves.
std::vector<bool> ancestors(const std::vector<GraphNode>& nodes, std::vector<std::size_t> tails) {
  std::vector<bool> seen(nodes.size());
  while (!tails.empty()) {
    const std::size_t node = tails.back();
    tails.pop_back();
    if (seen[node]) continue;
    seen[node] = true;
    tails.insert(tails.end(), nodes[node].after.begin(), nodes[node].after.end());
  }
  return seen;
}

}  // namespace

cudaError_t Queues::begin_capture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  if (stream == nullptr) return cudaErrorStreamCaptureUnsupported;
  if (stream->capture) return cudaErrorIllegalState;
  stream->capture = std::make_shared<Capture>();
  stream->capture->origin = stream;
  stream->capture->mode = mode;
  stream->capture->thread = std::this_thread::get_id();
  stream->tails.clear();
  return cudaSuccess;
}

cudaError_t Queues::end_capture(cudaStream_t stream, std::vector<GraphNode>& nodes) {
  if (stream == nullptr || !stream->capture) return cudaErrorIllegalState;
  const std::shared_ptr<Capture> capture = stream->capture;
  if (capture->origin != stream) return cudaErrorStreamCaptureUnmatched;
  if (capture->mode != cudaStreamCaptureModeRelaxed && capture->thread != std::this_thread::get_id()) {
    return cudaErrorStreamCaptureWrongThread;
  }
  const std::vector<bool> joined = ancestors(capture->nodes, stream->tails);
  leave_capture(capture.get());
  if (!capture->valid) return cudaErrorStreamCaptureInvalidated;
  if (!std::all_of(joined.begin(), joined.end(), [](bool yes) { return yes; })) {
    return cudaErrorStreamCaptureUnjoined;
  }
  nodes = std::move(capture->nodes);
  return cudaSuccess;
}

void Queues::leave_capture(Capture* capture) {
  capture->origin = nullptr;
  for (const auto& stream : streams_) {
    if (stream->capture.get() != capture) continue;
    stream->capture = nullptr;
    stream->tails.clear();
  }
}

/// `event` was recorded in a capture: a stream that waits for it takes part from now on.
cudaError_t Queues::join_capture(cudaStream_t stream, const CUevent_st& event) {
  if (event.capture->origin == nullptr) return cudaErrorCapturedEvent;  // that capture is over
  if (!event.capture->valid) return cudaErrorStreamCaptureInvalidated;
  if (stream == nullptr) {
    event.capture->valid = false;
    return cudaErrorStreamCaptureImplicit;
  }
  if (stream->capture && stream->capture != event.capture) {
    stream->capture->valid = event.capture->valid = false;
    return cudaErrorStreamCaptureMerge;
  }
  if (!stream->capture) {
    stream->capture = event.capture;
    stream->tails.clear();
  }
  stream->tails.insert(stream->tails.end(), event.tails.begin(), event.tails.end());
  return cudaSuccess;
}

cudaError_t Queues::forbid_in_capture() {
  for (const auto& stream : streams_) {
    if (!stream->capture) continue;
    Capture& capture = *stream->capture;
    const bool forbids =
        capture.mode == cudaStreamCaptureModeGlobal ||
        (capture.mode == cudaStreamCaptureModeThreadLocal && capture.thread == std::this_thread::get_id());
    if (!forbids) continue;
    capture.valid = false;
    return cudaErrorStreamCaptureUnsupported;
  }
  return cudaSuccess;
}

/// The legacy default stream would wait for a stream that records instead of working.
cudaError_t Queues::legacy_capture_error() {
  for (const auto& stream : streams_) {
    if (!stream->capture || !stream->blocking) continue;
    stream->capture->valid = false;
    return cudaErrorStreamCaptureImplicit;
  }
  return cudaSuccess;
}

cudaError_t Queues::run_graph(const std::vector<GraphNode>& nodes) {
  std::vector<std::size_t> missing(nodes.size());
  std::vector<std::vector<std::size_t>> followers(nodes.size());
  std::vector<std::size_t> able;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    missing[i] = nodes[i].after.size();
    for (const std::size_t before : nodes[i].after) {
      followers[before].push_back(i);
    }
    if (missing[i] == 0) able.push_back(i);
  }
  while (!able.empty()) {
    std::swap(able[random_.below(static_cast<unsigned>(able.size()))], able.back());
    const std::size_t node = able.back();
    able.pop_back();
    if (const cudaError_t error = nodes[node].work()) return error;
    for (const std::size_t next : followers[node]) {
      if (--missing[next] == 0) able.push_back(next);
    }
  }
  return cudaSuccess;
}

}  // namespace expertscope::simt
