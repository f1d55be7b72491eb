// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/simt/runtime/queues.h"

#include <algorithm>

namespace expertscope::simt {

void Queues::schedule(Async async, std::uint64_t seed, int polls) {
  async_ = async;
  random_ = Random(seed);
  polls_ = polls;
}

void Queues::clear() {
  streams_.clear();
}

cudaStream_t Queues::create(int device, bool blocking) {
  auto stream = std::make_unique<CUstream_st>();
  stream->number = created_++;
  stream->device = device;
  stream->blocking = blocking;
  streams_.push_back(std::move(stream));
  return streams_.back().get();
}

bool Queues::exists(cudaStream_t stream) const {
  return std::any_of(streams_.begin(), streams_.end(),
                     [stream](const auto& one) { return one.get() == stream; });
}

void Queues::destroy(cudaStream_t stream) {
  if (stream->capture) leave_capture(stream->capture.get());
  synchronize(stream, stream->device);
  std::erase_if(streams_, [stream](const auto& one) { return one.get() == stream; });
}

cudaError_t Queues::submit(cudaStream_t stream, int device, Work work) {
  if (stream == nullptr) {
    if (const cudaError_t error = legacy_capture_error()) return error;
    if (const cudaError_t error = synchronize_blocking(device)) return error;
    const Memory::Window window(memory_);
    const cudaError_t error = work();
    if (error != cudaSuccess) lost_(device, error);
    return error;
  }
  if (stream->capture) {
    Capture& capture = *stream->capture;
    if (!capture.valid) return cudaErrorStreamCaptureInvalidated;
    capture.nodes.push_back({std::move(work), stream->tails});
    stream->tails = {capture.nodes.size() - 1};
    return cudaSuccess;
  }
  push(*stream, {std::move(work), nullptr, nullptr});
  return cudaSuccess;
}

cudaError_t Queues::record(cudaStream_t stream, int device, CUevent_st& event) {
  if (stream != nullptr && stream->capture) {
    if (!stream->capture->valid) return cudaErrorStreamCaptureInvalidated;
    event.last = nullptr;
    event.capture = stream->capture;
    event.tails = stream->tails;
    return cudaSuccess;
  }
  if (stream == nullptr) {
    if (const cudaError_t error = legacy_capture_error()) return error;
    if (const cudaError_t error = synchronize_blocking(device)) return error;
  }
  event.capture = nullptr;
  event.last = std::make_shared<Completion>();
  if (stream == nullptr) {
    event.last->done = true;
    event.last->time = std::chrono::steady_clock::now();
    return cudaSuccess;
  }
  event.last->stream = stream;
  event.last->position = stream->done + stream->tasks.size();
  push(*stream, {nullptr, event.last, nullptr});
  return cudaSuccess;
}

cudaError_t Queues::wait_for(cudaStream_t stream, const CUevent_st& event) {
  if (stream != nullptr && stream->capture && !stream->capture->valid) {
    return cudaErrorStreamCaptureInvalidated;
  }
  if (event.capture) return join_capture(stream, event);
  if (event.last == nullptr) return cudaSuccess;  // an event never recorded is no reason to wait
  if (stream == nullptr) {
    if (const cudaError_t error = legacy_capture_error()) return error;
    return synchronize(*event.last);
  }
  if (stream->capture) {
    stream->capture->valid = false;
    return cudaErrorStreamCaptureIsolation;
  }
  if (!event.last->done) push(*stream, {nullptr, nullptr, event.last});
  return cudaSuccess;
}

void Queues::push(CUstream_st& stream, Task task) {
  stream.tasks.push_back(std::move(task));
  stream.polls = 0;
  if (async_ == Async::eager) {
    synchronize(&stream, stream.device);
  } else if (async_ == Async::random) {
    while (random_.below(3) == 0) {
      const auto able = candidates({});
      if (able.empty()) break;
      const Memory::Window window(memory_);
      run_front(*able[random_.below(static_cast<unsigned>(able.size()))]);
    }
  }
}

cudaError_t Queues::synchronize(cudaStream_t stream, int device) {
  if (stream == nullptr) {
    if (const cudaError_t error = legacy_capture_error()) return error;
    return synchronize_blocking(device);
  }
  if (stream->capture) {
    stream->capture->valid = false;
    return cudaErrorStreamCaptureUnsupported;
  }
  Targets targets;
  add_target(targets, stream, stream->done + stream->tasks.size());
  return run_until(std::move(targets));
}

cudaError_t Queues::synchronize(Completion& completion) {
  if (completion.done) return cudaSuccess;
  Targets targets;
  add_target(targets, completion.stream, completion.position + 1);
  return run_until(std::move(targets));
}

cudaError_t Queues::synchronize_device(int device) {
  Targets targets;
  for (const auto& stream : streams_) {
    if (stream->device == device) {
      add_target(targets, stream.get(), stream->done + stream->tasks.size());
    }
  }
  return run_until(std::move(targets));
}

cudaError_t Queues::synchronize_blocking(int device) {
  Targets targets;
  for (const auto& stream : streams_) {
    if (stream->device == device && stream->blocking) {
      add_target(targets, stream.get(), stream->done + stream->tasks.size());
    }
  }
  return run_until(std::move(targets));
}

cudaError_t Queues::query(cudaStream_t stream, int device) {
  if (stream == nullptr || stream->capture) return synchronize(stream, device);
  if (stream->tasks.empty()) return cudaSuccess;
  if (stream->polls++ < polls_) return cudaErrorNotReady;
  return synchronize(stream, device);
}

cudaError_t Queues::query(Completion& completion) {
  if (completion.done) return cudaSuccess;
  if (completion.polls++ < polls_) return cudaErrorNotReady;
  return synchronize(completion);
}

void Queues::drop(int device) {
  for (const auto& stream : streams_) {
    if (stream->device != device) continue;
    for (const Task& task : stream->tasks) {
      if (task.completes) task.completes->done = true;
    }
    stream->done += stream->tasks.size();
    stream->tasks.clear();
  }
}

cudaStream_t Queues::stream_of(unsigned number) const {
  const auto found = std::find_if(streams_.begin(), streams_.end(),
                                  [number](const auto& one) { return one->number == number; });
  return found != streams_.end() ? found->get() : nullptr;
}

void Queues::add_target(Targets& targets, cudaStream_t stream, std::uint64_t done) const {
  std::uint64_t& target = targets[stream->number];
  target = std::max(target, done);
}

/// Adds what the targets wait for. False when that was in already.
bool Queues::add_dependencies(Targets& targets) const {
  const Targets before = targets;
  for (const auto& [number, target] : before) {
    const CUstream_st& stream = *stream_of(number);
    for (std::uint64_t i = 0; i < stream.tasks.size() && stream.done + i < target; ++i) {
      const auto& waits_for = stream.tasks[i].waits_for;
      if (waits_for && !waits_for->done) add_target(targets, waits_for->stream, waits_for->position + 1);
    }
  }
  return targets != before;
}

/// The streams whose next task can run and may run now.
std::vector<cudaStream_t> Queues::candidates(const Targets& targets) const {
  std::vector<cudaStream_t> able;
  for (const auto& stream : streams_) {
    if (stream->tasks.empty()) continue;
    const auto& waits_for = stream->tasks.front().waits_for;
    if (waits_for && !waits_for->done) continue;
    const auto target = targets.find(stream->number);
    const bool wanted = target != targets.end() && stream->done < target->second;
    if (wanted || async_ == Async::random) able.push_back(stream.get());
  }
  return able;
}

cudaError_t Queues::run_until(Targets targets) {
  while (add_dependencies(targets)) {
  }
  const auto reached = [this](const auto& entry) {
    const auto& [number, target] = entry;
    return stream_of(number)->done >= target;
  };
  if (std::all_of(targets.begin(), targets.end(), reached)) return cudaSuccess;
  const Memory::Window window(memory_);
  while (!std::all_of(targets.begin(), targets.end(), reached)) {
    const auto able = candidates(targets);  // never empty: a stream waits only for what was queued before
    const cudaError_t error = run_front(*able[random_.below(static_cast<unsigned>(able.size()))]);
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

cudaError_t Queues::run_front(CUstream_st& stream) {
  const Task task = std::move(stream.tasks.front());
  stream.tasks.pop_front();
  ++stream.done;
  if (task.completes) {
    task.completes->done = true;
    task.completes->time = std::chrono::steady_clock::now();
  }
  if (!task.work) return cudaSuccess;
  const cudaError_t error = task.work();
  if (error != cudaSuccess) lost_(stream.device, error);
  return error;
}

}  // namespace expertscope::simt
