// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>

/// Leaving one stack and going on with another. On x86-64 that is a dozen instructions; elsewhere, or when
/// EXPERTSCOPE_SIMT_UCONTEXT asks for it, ucontext, which makes a system call each time for the signal mask.
#if !defined(__x86_64__) && !defined(EXPERTSCOPE_SIMT_UCONTEXT)
#define EXPERTSCOPE_SIMT_UCONTEXT
#endif

#if defined(EXPERTSCOPE_SIMT_UCONTEXT)
#include <ucontext.h>
#endif

namespace expertscope::simt {

/// Where an execution stands while another runs.
struct Context {
#if !defined(EXPERTSCOPE_SIMT_UCONTEXT)
  void* stack_pointer = nullptr;
#else
  ucontext_t state;
#endif
};

/// Makes `context` the beginning of `entry` on the stack [bottom, top). `entry` must never return.
void prepare(Context& context, std::byte* bottom, std::byte* top, void (*entry)());

#if !defined(EXPERTSCOPE_SIMT_UCONTEXT)
extern "C" void expertscope_simt_switch(void** save_stack_pointer, void* stack_pointer);
inline void switch_context(Context& from, Context& to) {
  expertscope_simt_switch(&from.stack_pointer, to.stack_pointer);
}
#else
inline void switch_context(Context& from, Context& to) {
  swapcontext(&from.state, &to.state);
}
#endif

}  // namespace expertscope::simt
