// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <string>
#include <utility>

#include "engine/error.h"

namespace expertscope::cuda {

/// The error of a CUDA call: what was being done and what the runtime said. Out of memory keeps its own code.
Error cuda_error(cudaError_t code, const std::string& operation);

/// `Status` of a CUDA call.
Status check(cudaError_t code, const std::string& operation);

/// Blocks, threads and dynamic shared memory of a kernel.
struct Shape {
  dim3 blocks = 1;
  int threads = 1;
  std::size_t shared = 0;  ///< bytes
};

/// Queues work on one stream and remembers the first failure together with the operation and the layer it
/// belongs to; after one nothing more is queued. That keeps operations readable: they queue, the step asks.
class Queue {
 public:
  explicit Queue(cudaStream_t stream) : stream_(stream) {}

  cudaStream_t stream() const { return stream_; }
  /// What the calls that follow belong to; layer -1: outside the layers.
  void enter(const char* operation, int layer = -1) {
    operation_ = operation;
    layer_ = layer;
  }

  template <class... Parameters, class... Arguments>
  void launch(void (*kernel)(Parameters...), const Shape& shape, Arguments&&... arguments) {
    if (error_ != cudaSuccess) return;
    // 48 KiB are there for all, but a kernel's static memory counts as well: more than this is asked for.
    constexpr std::size_t kUsual = 32 * 1024;
    if (shape.shared > kUsual) {
      note(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                static_cast<int>(shape.shared)));
      if (error_ != cudaSuccess) return;
    }
    cudaLaunchConfig_t config{};
    config.gridDim = shape.blocks;
    config.blockDim = dim3(static_cast<unsigned>(shape.threads));
    config.dynamicSmemBytes = shape.shared;
    config.stream = stream_;
    note(cudaLaunchKernelEx(&config, kernel, std::forward<Arguments>(arguments)...));
  }

  void copy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
    if (error_ == cudaSuccess && bytes > 0) note(cudaMemcpyAsync(to, from, bytes, kind, stream_));
  }
  void clear(void* memory, std::size_t bytes) {
    if (error_ == cudaSuccess && bytes > 0) note(cudaMemsetAsync(memory, 0, bytes, stream_));
  }
  /// Waits for everything queued. Failures of kernels show here.
  void wait() {
    if (error_ == cudaSuccess) note(cudaStreamSynchronize(stream_));
  }
  void note(cudaError_t code);
  /// A failure that is no cudaError_t; its message says what was done.
  void fail(Error error);

  bool ok() const { return error_ == cudaSuccess; }
  /// The first failure since the last call, which it forgets.
  Status take_status();

 private:
  cudaStream_t stream_;
  const char* operation_ = "";
  int layer_ = -1;
  cudaError_t error_ = cudaSuccess;
  std::string failure_;  ///< of another library, instead of what CUDA says
  const char* failed_operation_ = "";
  int failed_layer_ = -1;
};

}  // namespace expertscope::cuda
