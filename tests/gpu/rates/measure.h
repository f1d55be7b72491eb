// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cublas_v2.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <type_traits>

#include "engine/cuda/runtime/queue.h"
#include "engine/error.h"

/// What the measurements of a device share.
namespace expertscope::cuda {

/// Times work on one stream by the device's own clock.
class Stopwatch {
 public:
  Status create(cudaStream_t stream);

  /// Seconds on the device from the begin to the end of what `work(Queue&)` queues. Never 0: an emulated
  /// device has no clock.
  template <class Work>
  Result<double> time(const char* what, Work&& work) const {
    Queue queue(stream_);
    queue.enter(what);
    queue.note(cudaEventRecord(start_.get(), stream_));
    work(queue);
    if (queue.ok()) queue.note(cudaEventRecord(end_.get(), stream_));
    queue.wait();
    if (auto ok = queue.take_status(); !ok) return forward_error(ok);
    float milliseconds = 0;
    if (auto ok = check(cudaEventElapsedTime(&milliseconds, start_.get(), end_.get()), what); !ok)
      return forward_error(ok);
    return std::max(static_cast<double>(milliseconds), 1e-6) * 1e-3;
  }

 private:
  struct Destroy {
    void operator()(cudaEvent_t event) const { cudaEventDestroy(event); }
  };
  using TimedEvent = std::unique_ptr<std::remove_pointer_t<cudaEvent_t>, Destroy>;

  cudaStream_t stream_ = nullptr;
  TimedEvent start_, end_;
};

/// cuBLAS as a user of it has it: workspace and choice of kernels are its own.
class CublasHandle {
 public:
  Status create(cudaStream_t stream);
  cublasHandle_t get() const { return handle_.get(); }

 private:
  struct Destroy {
    void operator()(cublasHandle_t handle) const { cublasDestroy(handle); }
  };
  std::unique_ptr<std::remove_pointer_t<cublasHandle_t>, Destroy> handle_;
};

/// What a call of cuBLAS failed with becomes the failure of the queue.
void note_cublas(Queue& queue, cublasStatus_t code);

/// Fills `bytes` (a multiple of 4) with random BF16 numbers of -largest to largest, the same for the same
/// seed: zeros would run faster than weights do.
void fill_random(Queue& queue, void* memory, std::size_t bytes, float largest, std::uint32_t seed);

}  // namespace expertscope::cuda
