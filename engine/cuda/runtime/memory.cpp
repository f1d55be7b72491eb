// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/cuda/runtime/memory.h"

#include "engine/backend/memory.h"
#include "engine/backend/sizes.h"

namespace expertscope::cuda {

Result<void*> allocate_device(std::size_t bytes, const char* purpose) {
  void* memory = nullptr;
  const cudaError_t code = cudaMalloc(&memory, bytes);
  if (code == cudaSuccess) return memory;
  cudaGetLastError();
  if (code != cudaErrorMemoryAllocation)
    return tl::unexpected<Error>(cuda_error(code, std::string("taking memory for ") + purpose));
  std::size_t free = 0;
  std::size_t total = 0;
  cudaMemGetInfo(&free, &total);
  return fail(ErrorCode::out_of_memory, "{} needs {} of GPU memory, {} of {} are free", purpose,
              format_bytes(bytes), format_bytes(free), format_bytes(total));
}

Result<void*> allocate_pinned(std::size_t bytes, const char* purpose) {
  void* memory = nullptr;
  const cudaError_t code = cudaHostAlloc(&memory, bytes, cudaHostAllocMapped | cudaHostAllocPortable);
  if (code == cudaSuccess) return memory;
  cudaGetLastError();
  if (code != cudaErrorMemoryAllocation)
    return tl::unexpected<Error>(cuda_error(code, std::string("taking host memory for ") + purpose));
  const auto available = available_memory();
  return fail(ErrorCode::out_of_memory, "{} needs {} of page-locked host memory, which the system refuses{}",
              purpose, format_bytes(bytes),
              available ? fmt::format("; {} are available", format_bytes(*available)) : "");
}

Status Stream::create() {
  cudaStream_t stream = nullptr;
  auto ok = check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "making a stream");
  if (ok) stream_.reset(stream);
  return ok;
}

Status Event::create() {
  cudaEvent_t event = nullptr;
  auto ok = check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "making an event");
  if (ok) event_.reset(event);
  return ok;
}

}  // namespace expertscope::cuda
