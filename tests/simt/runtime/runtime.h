// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <driver_types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "simt/device.h"
#include "tests/simt/fibers/worker.h"
#include "tests/simt/runtime/memory.h"
#include "tests/simt/runtime/queues.h"

/// What a cublasHandle_t points to.
struct cublasContext {
  int device = 0;
  cudaStream_t stream = nullptr;
};

namespace expertscope::simt {

inline constexpr std::size_t kSharedPerBlock = std::size_t{48} << 10;  // without asking for more
// Of that, dynamic: what a kernel has of static memory counts as well, and the emulator does not know it.
inline constexpr std::size_t kDynamicUnasked = std::size_t{40} << 10;
inline constexpr std::size_t kSharedPerBlockOptin = std::size_t{227} << 10;  // with cudaFuncSetAttribute
inline constexpr std::size_t kSharedPerMultiprocessor = std::size_t{228} << 10;
inline constexpr std::size_t kSharedReserved = std::size_t{1} << 10;  // of each block, for the system
inline constexpr unsigned kThreadsPerBlock = 1024;
inline constexpr int kThreadsPerMultiprocessor = 2048;
inline constexpr int kBlocksPerMultiprocessor = 32;

/// The n-th call of a function is to fail.
struct Fault {
  std::string function;  // empty: any
  int remaining;         // calls until it happens
  cudaError_t error;
  bool lost;
};

/// The emulated driver: everything behind the runtime functions. Used under its mutex.
class Runtime {
 public:
  static Runtime& instance();

  void reset(const Settings& settings);

  /// What is wrong with the driver, or with the current device, whatever is asked of it.
  cudaError_t driver_error() const;
  cudaError_t device_error() const;
  void lose(int device, cudaError_t error);

  /// Counts a call. The error that it has to return, if a test wants one.
  cudaError_t count_call(std::string_view function);

  /// Whose device a host thread works with; its last error.
  struct Host {
    std::uint64_t epoch = 0;
    int device = 0;
    cudaError_t last_error = cudaSuccess;
  };
  Host& host() const;

  cudaError_t run_kernel(const Launch& launch);

  std::mutex mutex;
  Settings settings;
  Memory memory;
  Queues queues;
  std::vector<std::unique_ptr<CUevent_st>> events;
  std::vector<std::unique_ptr<CUgraph_st>> graphs;
  std::vector<std::unique_ptr<CUgraphExec_st>> executables;
  std::unordered_map<const void*, std::size_t> dynamic_shared;  // what a kernel was allowed beyond 48 KiB
  std::map<std::string, int, std::less<>> calls;
  std::vector<Fault> faults;
  std::string last_failure;
  std::vector<std::unique_ptr<cublasContext>> cublas_handles;

 private:
  Runtime();

  std::vector<cudaError_t> lost_;  // by device
  std::uint64_t epoch_ = 0;        // resets so far
  std::uint64_t launches_ = 0;
};

/// What a function of the runtime needs before it can do anything.
enum class Needs { driver, device };

/// Returns `error` and remembers it for cudaGetLastError.
cudaError_t remember(cudaError_t error);

/// One call of a runtime function: `body` runs under the lock, unless the call has to fail.
template <class Body>
cudaError_t call(const char* function, Needs needs, Body&& body) {
  Runtime& runtime = Runtime::instance();
  const std::lock_guard lock(runtime.mutex);
  cudaError_t error = runtime.driver_error();
  const cudaError_t fault = runtime.count_call(function);
  if (error == cudaSuccess) error = fault;
  if (error == cudaSuccess && needs == Needs::device) error = runtime.device_error();
  if (error == cudaSuccess) error = body(runtime);
  return remember(error);
}

/// One call of a function that gives something back: it does so even when it has to report an error.
template <class Body>
cudaError_t release(const char* function, Body&& body) {
  Runtime& runtime = Runtime::instance();
  const std::lock_guard lock(runtime.mutex);
  cudaError_t error = runtime.driver_error();
  const cudaError_t fault = runtime.count_call(function);
  if (error == cudaSuccess) error = fault;
  if (error == cudaSuccess) error = runtime.device_error();
  const cudaError_t result = body(runtime);
  return remember(error != cudaSuccess ? error : result);
}

}  // namespace expertscope::simt
