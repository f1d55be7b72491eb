// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <memory>
#include <string>
#include <type_traits>

#include "engine/cuda/runtime/queue.h"
#include "engine/error.h"

namespace expertscope::cuda {

/// Memory of the device for `size()` elements, uninitialised.
template <class T>
class DeviceBuffer {
 public:
  /// The error says what the memory was for, how much was needed and how much is free.
  Status allocate(std::size_t count, const char* purpose);

  T* data() const { return data_.get(); }
  std::size_t size() const { return size_; }
  std::size_t bytes() const { return size_ * sizeof(T); }

 private:
  struct Free {
    void operator()(T* memory) const { cudaFree(memory); }
  };
  std::unique_ptr<T, Free> data_;
  std::size_t size_ = 0;
};

/// Page-locked memory of the host, which the device copies from and to without a detour and may read in
/// place.
template <class T>
class PinnedBuffer {
 public:
  Status allocate(std::size_t count, const char* purpose);

  T* data() const { return data_.get(); }
  T& operator[](std::size_t index) const { return data_.get()[index]; }
  std::size_t size() const { return size_; }
  std::size_t bytes() const { return size_ * sizeof(T); }
  /// The address under which kernels reach it.
  Result<T*> on_device() const;

 private:
  struct Free {
    void operator()(T* memory) const { cudaFreeHost(memory); }
  };
  std::unique_ptr<T, Free> data_;
  std::size_t size_ = 0;
};

/// A stream; work on it waits for no other stream unless told to.
class Stream {
 public:
  Status create();
  cudaStream_t get() const { return stream_.get(); }

 private:
  struct Destroy {
    void operator()(cudaStream_t stream) const { cudaStreamDestroy(stream); }
  };
  std::unique_ptr<std::remove_pointer_t<cudaStream_t>, Destroy> stream_;
};

/// A point in a stream that another stream or the host can wait for.
class Event {
 public:
  Status create();
  cudaEvent_t get() const { return event_.get(); }

 private:
  struct Destroy {
    void operator()(cudaEvent_t event) const { cudaEventDestroy(event); }
  };
  std::unique_ptr<std::remove_pointer_t<cudaEvent_t>, Destroy> event_;
};

/// Takes device or pinned host memory; the error of a failure names purpose, size and what is free.
Result<void*> allocate_device(std::size_t bytes, const char* purpose);
Result<void*> allocate_pinned(std::size_t bytes, const char* purpose);

template <class T>
Status DeviceBuffer<T>::allocate(std::size_t count, const char* purpose) {
  static_assert(std::is_trivially_copyable_v<T>);
  data_.reset();
  size_ = 0;
  if (count == 0) return {};
  auto memory = allocate_device(count * sizeof(T), purpose);
  if (!memory) return forward_error(memory);
  data_.reset(static_cast<T*>(*memory));
  size_ = count;
  return {};
}

template <class T>
Status PinnedBuffer<T>::allocate(std::size_t count, const char* purpose) {
  static_assert(std::is_trivially_copyable_v<T>);
  data_.reset();
  size_ = 0;
  if (count == 0) return {};
  auto memory = allocate_pinned(count * sizeof(T), purpose);
  if (!memory) return forward_error(memory);
  data_.reset(static_cast<T*>(*memory));
  size_ = count;
  return {};
}

template <class T>
Result<T*> PinnedBuffer<T>::on_device() const {
  void* address = nullptr;
  if (auto ok = check(cudaHostGetDevicePointer(&address, data_.get(), 0), "mapping host memory"); !ok)
    return forward_error(ok);
  return static_cast<T*>(address);
}

}  // namespace expertscope::cuda
