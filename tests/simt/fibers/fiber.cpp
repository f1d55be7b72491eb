// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/simt/fibers/fiber.h"

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <new>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace expertscope::simt {

namespace {

// Kernels keep little on the stack, and pages nobody touches cost nothing. Instrumented code needs more, and
// the report of a sanitizer is written on the stack where the fault is.
#if defined(__SANITIZE_ADDRESS__)
constexpr std::size_t kStack = 512 * 1024;
#else
constexpr std::size_t kStack = 128 * 1024;
#endif

// Stacks that all begin at the same offset of a page compete for the same lines of the first level cache.
constexpr std::size_t kStagger = 832;
constexpr std::size_t kStaggerRange = 16384;

}  // namespace

Fiber::Fiber(unsigned number, void (*entry)()) : stagger_(number * kStagger % kStaggerRange), entry_(entry) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  mapped_ = kStack + page;
  void* mapping =
      mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping == MAP_FAILED) throw std::bad_alloc();
  mapping_ = static_cast<std::byte*>(mapping);
  mprotect(mapping_, page, PROT_NONE);
  stack_ = mapping_ + page;
  size_ = kStack;
  prepare_entry();
}

Fiber::~Fiber() {
  if (mapping_ == nullptr) return;
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(stack_, size_);  // the addresses may be mapped again for something else
#endif
  munmap(mapping_, mapped_);
}

void Fiber::adopt_stack() {
#if defined(__SANITIZE_ADDRESS__)
  if (stack_ != nullptr) return;
  pthread_attr_t attributes;
  pthread_getattr_np(pthread_self(), &attributes);
  void* bottom = nullptr;
  pthread_attr_getstack(&attributes, &bottom, &size_);
  stack_ = static_cast<std::byte*>(bottom);
  pthread_attr_destroy(&attributes);
#endif
}

void Fiber::arrived() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, nullptr, nullptr);
#endif
}

void Fiber::abandon() {
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(stack_, size_);  // the frames that were there never returned
#endif
  fake_stack_ = nullptr;
  prepare_entry();
}

void Fiber::prepare_entry() {
  prepare(context_, stack_, stack_ + size_ - stagger_, entry_);
}

}  // namespace expertscope::simt
