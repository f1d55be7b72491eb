// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>

#include "tests/simt/fibers/context.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace expertscope::simt {

struct Thread;

/// A stack of its own and where the execution on it stands. A fiber carries one CUDA thread after another;
/// one that carries none waits for its next in its own loop.
class Fiber {
 public:
  /// `number` tells fibers apart; `entry` is where the first switch to this one arrives.
  Fiber(unsigned number, void (*entry)());
  /// The OS thread's own stack as a fiber, so that it can be switched away from and back to. Call adopt_stack
  /// on that OS thread before the first switch.
  Fiber() = default;
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  void adopt_stack();

  /// Goes on with `other`; returns when something switches back to this fiber, which is the one that runs.
  void switch_to(Fiber& other) {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(&fake_stack_, other.stack_, other.size_);
#endif
    switch_context(context_, other.context_);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(fake_stack_, nullptr, nullptr);
#endif
  }
  /// To be called first in `entry`.
  static void arrived();

  /// Forgets what the fiber was doing, and makes the next switch arrive at its entry again.
  void abandon();

  /// The CUDA thread this fiber carries, if any.
  Thread* thread = nullptr;

 private:
  void prepare_entry();

  Context context_;
  std::byte* stack_ = nullptr;  // lowest usable address
  std::size_t size_ = 0;
  std::byte* mapping_ = nullptr;  // the stack with its guard page; null when the stack is an OS thread's
  std::size_t mapped_ = 0;
  std::size_t stagger_ = 0;
  void (*entry_)() = nullptr;
  void* fake_stack_ = nullptr;  // AddressSanitizer's, while the fiber is switched away from
};

}  // namespace expertscope::simt
