// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <type_traits>

#include "engine/backend/control_group.h"
#include "engine/backend/sizes.h"

namespace expertscope {

/// Uninitialised memory for `count` elements, aligned to cache lines (large ones to huge pages).
template <class T>
class Buffer {
 public:
  /// False when there is no memory; the buffer is empty then.
  [[nodiscard]] bool allocate(std::size_t count);

  T* data() { return data_.get(); }
  const T* data() const { return data_.get(); }
  std::size_t size() const { return size_; }
  T& operator[](std::size_t index) { return data_.get()[index]; }
  const T& operator[](std::size_t index) const { return data_.get()[index]; }

 private:
  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };
  std::unique_ptr<T, Free> data_;
  std::size_t size_ = 0;
};

/// `bytes` of memory aligned to a cache line, or from 4 MiB on to a huge page; null when there is none.
void* allocate_aligned(std::size_t bytes);

template <class T>
bool Buffer<T>::allocate(std::size_t count) {
  static_assert(std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T>);
  data_.reset();
  size_ = 0;
  const std::size_t bytes =
      (CheckedSize(static_cast<std::int64_t>(sizeof(T))) * CheckedSize(static_cast<std::int64_t>(count)))
          .value();
  data_.reset(static_cast<T*>(allocate_aligned(bytes)));
  if (data_) size_ = count;
  return data_ != nullptr;
}

/// MemAvailable of the text of /proc/meminfo, in bytes.
std::optional<std::size_t> machine_available(const std::string& meminfo);

/// What the control groups of a process (version 1 or 2, its own and those above it) still allow. Page cache
/// counts as free, the pages of mapped weights among it: the kernel takes it back before it refuses memory.
/// Empty when there is no limit. `groups`: the text of /proc/self/cgroup.
std::optional<std::size_t> group_available(const std::string& groups, const FileReader& read);

/// Memory this process can still take without swapping: MemAvailable of /proc/meminfo, lowered by the limits
/// of its control groups. Empty when neither can be read.
std::optional<std::size_t> available_memory();

}  // namespace expertscope
