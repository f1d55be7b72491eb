// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/simt/runtime/runtime.h"

#include <algorithm>
#include <cstdio>
#include <numeric>
#include <utility>

#include "tests/simt/fibers/grid.h"

namespace expertscope::simt {

Runtime& Runtime::instance() {
  // Never destroyed: objects of a program's own static storage may still give things back at the very end.
  static Runtime& runtime = *new Runtime;
  return runtime;
}

Runtime::Runtime() : queues(memory, [this](int device, cudaError_t error) { lose(device, error); }) {
  reset({});
}

void Runtime::reset(const Settings& wanted) {
  settings = wanted;
  queues.clear();
  queues.schedule(wanted.async, wanted.seed, wanted.polls);
  events.clear();
  graphs.clear();
  executables.clear();
  memory.clear();
  dynamic_shared.clear();
  calls.clear();
  faults.clear();
  last_failure.clear();
  cublas_handles.clear();
  lost_.assign(static_cast<std::size_t>(std::max(0, wanted.devices)), cudaSuccess);
  launches_ = 0;
  ++epoch_;
}

cudaError_t Runtime::driver_error() const {
  // A driver serves the programs of its own major version and of those before.
  if (settings.driver_version / 1000 < CUDART_VERSION / 1000) return cudaErrorInsufficientDriver;
  return settings.devices == 0 ? cudaErrorNoDevice : cudaSuccess;
}

cudaError_t Runtime::device_error() const {
  return lost_[static_cast<std::size_t>(host().device)];
}

void Runtime::lose(int device, cudaError_t error) {
  lost_[static_cast<std::size_t>(device)] = error;
  queues.drop(device);
}

cudaError_t Runtime::count_call(std::string_view function) {
  const auto known = calls.find(function);
  if (known != calls.end()) {
    ++known->second;
  } else {
    calls.emplace(function, 1);
  }
  for (auto fault = faults.begin(); fault != faults.end(); ++fault) {
    if (!fault->function.empty() && fault->function != function) continue;
    if (--fault->remaining > 0) continue;
    const Fault now = *fault;
    faults.erase(fault);
    if (now.lost && !lost_.empty()) lose(host().device, now.error);
    return now.error;
  }
  return cudaSuccess;
}

Runtime::Host& Runtime::host() const {
  static thread_local Host host;
  if (host.epoch != epoch_) host = {epoch_, 0, cudaSuccess};
  return host;
}

cudaError_t Runtime::run_kernel(const Launch& launch) {
  const Schedule schedule{settings.order, settings.seed + launches_++, settings.workers};
  std::string failure = run_grid(launch, schedule);
  if (failure.empty()) return cudaSuccess;
  last_failure = std::move(failure);
  if (settings.print_failures) std::fprintf(stderr, "kernel failed: %s\n", last_failure.c_str());
  return cudaErrorLaunchFailure;
}

cudaError_t remember(cudaError_t error) {
  if (error != cudaSuccess) Runtime::instance().host().last_error = error;
  return error;
}

void reset(const Settings& settings) {
  Runtime& runtime = Runtime::instance();
  const std::lock_guard lock(runtime.mutex);
  runtime.reset(settings);
}

void change_schedule(Order order, Async async, std::uint64_t seed, int workers) {
  Runtime& runtime = Runtime::instance();
  const std::lock_guard lock(runtime.mutex);
  runtime.settings.order = order;
  runtime.settings.async = async;
  runtime.settings.seed = seed;
  runtime.settings.workers = workers;
  runtime.queues.schedule(async, seed, runtime.settings.polls);
}

Alive alive() {
  Runtime& runtime = Runtime::instance();
  const std::lock_guard lock(runtime.mutex);
  Alive alive;
  alive.device_bytes = runtime.memory.bytes(Home::device);
  alive.pinned_bytes = runtime.memory.bytes(Home::pinned);
  alive.allocations = runtime.memory.count();
  alive.streams = runtime.queues.count();
  alive.events = static_cast<int>(runtime.events.size());
  alive.graphs = static_cast<int>(runtime.graphs.size() + runtime.executables.size());
  alive.cublas_handles = static_cast<int>(runtime.cublas_handles.size());
  return alive;
}

std::string last_failure() {
  Runtime& runtime = Runtime::instance();
  const std::lock_guard lock(runtime.mutex);
  return runtime.last_failure;
}

int calls(std::string_view function) {
  Runtime& runtime = Runtime::instance();
  const std::lock_guard lock(runtime.mutex);
  if (function.empty()) {
    return std::accumulate(runtime.calls.begin(), runtime.calls.end(), 0,
                           [](int sum, const auto& entry) { return sum + entry.second; });
  }
  const auto found = runtime.calls.find(function);
  return found != runtime.calls.end() ? found->second : 0;
}

void fail_call(std::string_view function, int nth, cudaError_t error, bool lost) {
  Runtime& runtime = Runtime::instance();
  const std::lock_guard lock(runtime.mutex);
  runtime.faults.push_back({std::string(function), nth, error, lost});
}

void lose_device(cudaError_t error, int device) {
  Runtime& runtime = Runtime::instance();
  const std::lock_guard lock(runtime.mutex);
  runtime.lose(device, error);
}

}  // namespace expertscope::simt
