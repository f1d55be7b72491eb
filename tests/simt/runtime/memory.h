// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>

namespace expertscope::simt {

enum class Home { device, pinned };

struct Allocation {
  std::byte* data = nullptr;
  std::size_t size = 0;
  Home home = Home::device;
  int device = 0;
};

/// Every allocation of the emulated runtime, each a piece of its own so that AddressSanitizer sees its ends.
class Memory {
 public:
  Memory() = default;
  ~Memory() { clear(); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  /// `size` bytes of 0xFF, aligned to 256; null when the machine has no more. `size` > 0.
  void* allocate(Home home, std::size_t size, int device);
  /// False when there is no such allocation.
  bool release(Home home, void* data);
  void clear();

  /// The allocation that `pointer` points into (or to its end), or null: then it is the program's own memory.
  const Allocation* find(const void* pointer) const;
  /// Whether [pointer, pointer + size) lies within one allocation.
  bool contains(const void* pointer, std::size_t size) const;

  std::size_t bytes(Home home) const;
  std::size_t device_bytes(int device) const;
  int count() const { return static_cast<int>(allocations_.size()); }

  /// Under AddressSanitizer, device memory can be touched only while one of these exists: the host has no
  /// business there.
  class Window {
   public:
    explicit Window(const Memory& memory);
    ~Window();
    Window(const Window&) = delete;
    Window& operator=(const Window&) = delete;

   private:
    const Memory& memory_;
  };

 private:
  std::map<std::uintptr_t, Allocation> allocations_;  // by address
};

}  // namespace expertscope::simt
