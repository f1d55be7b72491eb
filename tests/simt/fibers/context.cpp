// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/simt/fibers/context.h"

namespace expertscope::simt {

#if !defined(EXPERTSCOPE_SIMT_UCONTEXT)

// Saves what the System V ABI wants preserved over a call, and resumes the other side where it did the same.
// A jump instead of a return: all fibers resume at the same few addresses, which a processor predicts well
// for jumps; its stack of return addresses is wrong after every switch.
asm(R"(
.text
.globl expertscope_simt_switch
.hidden expertscope_simt_switch
.type expertscope_simt_switch, @function
expertscope_simt_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  popq %rcx
  jmpq *%rcx
.size expertscope_simt_switch, .-expertscope_simt_switch
)");

void prepare(Context& context, std::byte*, std::byte* top, void (*entry)()) {
  constexpr int kSavedRegisters = 6;
  auto** word = reinterpret_cast<void**>(top);
  *--word = nullptr;  // where `entry` would return to: a debugger ends its backtrace here
  *--word = reinterpret_cast<void*>(entry);
  for (int i = 0; i < kSavedRegisters; ++i) {
    *--word = nullptr;
  }
  context.stack_pointer = word;
}

#else

void prepare(Context& context, std::byte* bottom, std::byte* top, void (*entry)()) {
  getcontext(&context.state);
  context.state.uc_stack.ss_sp = bottom;
  context.state.uc_stack.ss_size = static_cast<std::size_t>(top - bottom);
  context.state.uc_link = nullptr;
  makecontext(&context.state, entry, 0);
}

#endif

}  // namespace expertscope::simt
