// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/simt/runtime/memory.h"

#include <cstdlib>
#include <cstring>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#endif

namespace expertscope::simt {

namespace {

constexpr std::size_t kAlignment = 256;  // what CUDA promises at least
constexpr int kPoison = 0xFF;            // NaN in every floating-point type

std::uintptr_t address_of(const void* pointer) {
  return reinterpret_cast<std::uintptr_t>(pointer);
}

}  // namespace

void* Memory::allocate(Home home, std::size_t size, int device) {
  void* data = nullptr;
  if (posix_memalign(&data, kAlignment, size) != 0) return nullptr;
  std::memset(data, kPoison, size);
  if (home == Home::device) ASAN_POISON_MEMORY_REGION(data, size);
  allocations_[address_of(data)] = {static_cast<std::byte*>(data), size, home, device};
  return data;
}

bool Memory::release(Home home, void* data) {
  const auto found = allocations_.find(address_of(data));
  if (found == allocations_.end() || found->second.home != home) return false;
  ASAN_UNPOISON_MEMORY_REGION(data, found->second.size);
  allocations_.erase(found);
  std::free(data);
  return true;
}

void Memory::clear() {
  while (!allocations_.empty()) {
    const Allocation& first = allocations_.begin()->second;
    release(first.home, first.data);
  }
}

const Allocation* Memory::find(const void* pointer) const {
  auto next = allocations_.upper_bound(address_of(pointer));
  if (next == allocations_.begin()) return nullptr;
  const Allocation& before = std::prev(next)->second;
  return address_of(pointer) <= address_of(before.data) + before.size ? &before : nullptr;
}

bool Memory::contains(const void* pointer, std::size_t size) const {
  const Allocation* allocation = find(pointer);
  return allocation != nullptr &&
         size <= allocation->size - (address_of(pointer) - address_of(allocation->data));
}

std::size_t Memory::bytes(Home home) const {
  std::size_t sum = 0;
  for (const auto& [address, allocation] : allocations_) {
    if (allocation.home == home) sum += allocation.size;
  }
  return sum;
}

std::size_t Memory::device_bytes(int device) const {
  std::size_t sum = 0;
  for (const auto& [address, allocation] : allocations_) {
    if (allocation.home == Home::device && allocation.device == device) sum += allocation.size;
  }
  return sum;
}

Memory::Window::Window(const Memory& memory) : memory_(memory) {
  for (const auto& [address, allocation] : memory_.allocations_) {
    if (allocation.home == Home::device) ASAN_UNPOISON_MEMORY_REGION(allocation.data, allocation.size);
  }
}

Memory::Window::~Window() {
  for (const auto& [address, allocation] : memory_.allocations_) {
    if (allocation.home == Home::device) ASAN_POISON_MEMORY_REGION(allocation.data, allocation.size);
  }
}

}  // namespace expertscope::simt
