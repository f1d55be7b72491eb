// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/simt/fibers/shared_memory.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

namespace expertscope::simt {

namespace {

constexpr std::size_t kAlignment = 16;
constexpr unsigned char kPoison = 0xCD;
// Bytes behind the end that show whether a block wrote there.
#if defined(__SANITIZE_ADDRESS__)
constexpr std::size_t kGuard = 0;
#else
constexpr std::size_t kGuard = 64;
#endif
constexpr unsigned char kGuardByte = 0xFD;

}  // namespace

SharedMemory::~SharedMemory() {
  std::free(memory_);
}

void SharedMemory::resize(std::size_t size) {
  if (memory_ != nullptr && size == size_) return;
  std::free(memory_);
  void* memory = nullptr;
  if (posix_memalign(&memory, kAlignment, size + kGuard) != 0) throw std::bad_alloc();
  memory_ = static_cast<unsigned char*>(memory);
  size_ = size;
  repair();
}

void SharedMemory::repair() {
  std::memset(memory_ + size_, kGuardByte, kGuard);
}

void SharedMemory::poison() {
  std::memset(memory_, kPoison, size_);
}

bool SharedMemory::intact() const {
  return std::all_of(memory_ + size_, memory_ + size_ + kGuard,
                     [](unsigned char byte) { return byte == kGuardByte; });
}

}  // namespace expertscope::simt
