// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>

namespace expertscope::simt {

/// The dynamic shared memory of a block: aligned to 16 bytes, of exactly the size asked for.
class SharedMemory {
 public:
  SharedMemory() = default;
  ~SharedMemory();
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;

  void resize(std::size_t size);
  /// Every byte 0xCD, as a new block may find it.
  void poison();
  /// Whether nothing was written behind the end. AddressSanitizer reports that at once and needs no help.
  bool intact() const;
  /// Makes intact() true again.
  void repair();
  unsigned char* data() { return memory_; }

 private:
  unsigned char* memory_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace expertscope::simt
