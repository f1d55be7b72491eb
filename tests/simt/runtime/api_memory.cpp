// SPDX-License-Identifier: GPL-3.0-or-later
#include <cuda_runtime.h>

#include <cstring>

#include "tests/simt/runtime/runtime.h"

/// Memory, and copies between its kinds.

namespace simt = expertscope::simt;
using simt::call;
using simt::Home;
using simt::Needs;
using simt::release;
using simt::Runtime;

namespace {

/// A rectangle of bytes to copy; one row is a plain copy.
struct Copy {
  void* to;
  std::size_t to_pitch;
  const void* from;
  std::size_t from_pitch;
  std::size_t width;
  std::size_t height;

  std::size_t to_size() const { return (height - 1) * to_pitch + width; }
  std::size_t from_size() const { return (height - 1) * from_pitch + width; }
  void run() const {
    for (std::size_t row = 0; row < height; ++row) {
      std::memmove(static_cast<std::byte*>(to) + row * to_pitch,
                   static_cast<const std::byte*>(from) + row * from_pitch, width);
    }
  }
};

/// Whether [pointer, pointer + size) is memory of the host (pinned, or the program's own) or of a device, as
/// `on_device` says. Memory the emulator handed out is checked to its end.
bool lies(const Runtime& runtime, const void* pointer, std::size_t size, bool on_device) {
  const simt::Allocation* allocation = runtime.memory.find(pointer);
  if (allocation == nullptr) return !on_device;
  if (on_device && allocation->home != Home::device) return false;
  if (!on_device && allocation->home == Home::device) return false;
  return runtime.memory.contains(pointer, size);
}

cudaError_t check(const Runtime& runtime, const Copy& copy, cudaMemcpyKind kind) {
  if (copy.to == nullptr || copy.from == nullptr) return cudaErrorInvalidValue;
  if (kind < cudaMemcpyHostToHost || kind > cudaMemcpyDefault) return cudaErrorInvalidMemcpyDirection;
  const auto on_device = [&](const void* pointer) {
    const simt::Allocation* allocation = runtime.memory.find(pointer);
    return allocation != nullptr && allocation->home == Home::device;
  };
  const bool any = kind == cudaMemcpyDefault;
  const bool to_device =
      any ? on_device(copy.to) : kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device =
      any ? on_device(copy.from) : kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  const bool valid = lies(runtime, copy.to, copy.to_size(), to_device) &&
                     lies(runtime, copy.from, copy.from_size(), from_device);
  return valid ? cudaSuccess : cudaErrorInvalidValue;
}

/// A GPU cannot read pageable memory by itself: the driver waits for the stream and copies before it returns.
bool is_pageable(const Runtime& runtime, const Copy& copy) {
  return runtime.memory.find(copy.to) == nullptr || runtime.memory.find(copy.from) == nullptr;
}

cudaError_t queue_copy(Runtime& runtime, const Copy& copy, cudaMemcpyKind kind, cudaStream_t stream) {
  if (stream != nullptr && !runtime.queues.exists(stream)) return cudaErrorInvalidResourceHandle;
  if (copy.width == 0 || copy.height == 0) return cudaSuccess;
  if (const cudaError_t error = check(runtime, copy, kind)) return error;
  const int device = runtime.host().device;
  const auto work = [copy] {
    copy.run();
    return cudaSuccess;
  };
  if (const cudaError_t error = runtime.queues.submit(stream, device, work)) return error;
  const bool capturing = stream != nullptr && stream->capture;
  if (capturing || !is_pageable(runtime, copy)) return cudaSuccess;
  return runtime.queues.synchronize(stream, device);
}

cudaError_t queue_set(Runtime& runtime, void* to, int value, std::size_t size, cudaStream_t stream) {
  if (stream != nullptr && !runtime.queues.exists(stream)) return cudaErrorInvalidResourceHandle;
  if (size == 0) return cudaSuccess;
  if (!runtime.memory.contains(to, size)) return cudaErrorInvalidValue;
  return runtime.queues.submit(stream, runtime.host().device, [to, value, size] {
    std::memset(to, value, size);
    return cudaSuccess;
  });
}

cudaError_t allocate_pinned(Runtime& runtime, void** pointer, std::size_t size) {
  if (pointer == nullptr) return cudaErrorInvalidValue;
  *pointer = nullptr;
  if (const cudaError_t error = runtime.queues.forbid_in_capture()) return error;
  if (size == 0) return cudaSuccess;
  *pointer = runtime.memory.allocate(Home::pinned, size, runtime.host().device);
  return *pointer != nullptr ? cudaSuccess : cudaErrorMemoryAllocation;
}

/// Freeing waits for the work that may still use the memory.
cudaError_t free_memory(Runtime& runtime, Home home, void* pointer) {
  if (pointer == nullptr) return cudaSuccess;
  if (const cudaError_t error = runtime.queues.forbid_in_capture()) return error;
  cudaError_t error = cudaSuccess;
  for (int device = 0; device < runtime.settings.devices; ++device) {
    if (const cudaError_t one = runtime.queues.synchronize_device(device)) error = one;
  }
  if (!runtime.memory.release(home, pointer)) return cudaErrorInvalidValue;
  return error;
}

}  // namespace

cudaError_t cudaMalloc(void** pointer, std::size_t size) {
  return call("cudaMalloc", Needs::device, [&](Runtime& runtime) {
    if (pointer == nullptr) return cudaErrorInvalidValue;
    *pointer = nullptr;
    if (const cudaError_t error = runtime.queues.forbid_in_capture()) return error;
    if (size == 0) return cudaSuccess;
    const int device = runtime.host().device;
    const std::size_t used = runtime.memory.device_bytes(device);
    if (size > runtime.settings.memory - used) return cudaErrorMemoryAllocation;
    *pointer = runtime.memory.allocate(Home::device, size, device);
    return *pointer != nullptr ? cudaSuccess : cudaErrorMemoryAllocation;
  });
}

cudaError_t cudaFree(void* pointer) {
  return release("cudaFree", [&](Runtime& runtime) { return free_memory(runtime, Home::device, pointer); });
}

cudaError_t cudaHostAlloc(void** pointer, std::size_t size, unsigned flags) {
  return call("cudaHostAlloc", Needs::device, [&](Runtime& runtime) {
    constexpr unsigned kKnown = cudaHostAllocPortable | cudaHostAllocMapped | cudaHostAllocWriteCombined;
    if ((flags & ~kKnown) != 0) return cudaErrorInvalidValue;
    return allocate_pinned(runtime, pointer, size);
  });
}

cudaError_t cudaMallocHost(void** pointer, std::size_t size) {
  return call("cudaMallocHost", Needs::device,
              [&](Runtime& runtime) { return allocate_pinned(runtime, pointer, size); });
}

cudaError_t cudaFreeHost(void* pointer) {
  return release("cudaFreeHost",
                 [&](Runtime& runtime) { return free_memory(runtime, Home::pinned, pointer); });
}

cudaError_t cudaHostGetDevicePointer(void** device, void* host, unsigned flags) {
  return call("cudaHostGetDevicePointer", Needs::device, [&](Runtime& runtime) {
    if (device == nullptr || flags != 0) return cudaErrorInvalidValue;
    const simt::Allocation* allocation = runtime.memory.find(host);
    if (allocation == nullptr || allocation->home != Home::pinned) return cudaErrorInvalidValue;
    *device = host;
    return cudaSuccess;
  });
}

cudaError_t cudaMemcpy(void* to, const void* from, std::size_t size, cudaMemcpyKind kind) {
  return call("cudaMemcpy", Needs::device, [&](Runtime& runtime) {
    if (const cudaError_t error = runtime.queues.forbid_in_capture()) return error;
    return queue_copy(runtime, {to, size, from, size, size, 1}, kind, nullptr);
  });
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t size, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  return call("cudaMemcpyAsync", Needs::device, [&](Runtime& runtime) {
    return queue_copy(runtime, {to, size, from, size, size, 1}, kind, stream);
  });
}

cudaError_t cudaMemcpy2DAsync(void* to, std::size_t to_pitch, const void* from, std::size_t from_pitch,
                              std::size_t width, std::size_t height, cudaMemcpyKind kind,
                              cudaStream_t stream) {
  return call("cudaMemcpy2DAsync", Needs::device, [&](Runtime& runtime) {
    if (width > to_pitch || width > from_pitch) return cudaErrorInvalidPitchValue;
    return queue_copy(runtime, {to, to_pitch, from, from_pitch, width, height}, kind, stream);
  });
}

cudaError_t cudaMemset(void* to, int value, std::size_t size) {
  return call("cudaMemset", Needs::device, [&](Runtime& runtime) {
    if (const cudaError_t error = runtime.queues.forbid_in_capture()) return error;
    return queue_set(runtime, to, value, size, nullptr);
  });
}

cudaError_t cudaMemsetAsync(void* to, int value, std::size_t size, cudaStream_t stream) {
  return call("cudaMemsetAsync", Needs::device,
              [&](Runtime& runtime) { return queue_set(runtime, to, value, size, stream); });
}
