// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/support/steps.h"

namespace {

thread_local std::uint64_t steps = 0;
thread_local std::uint64_t call_at = 0;
thread_local const std::function<void()>* to_call = nullptr;

}  // namespace

/// What the compiler calls in every basic block (-fsanitize-coverage=trace-pc).
extern "C" void __sanitizer_cov_trace_pc() {
  if (++steps == call_at && to_call != nullptr) (*to_call)();
}

namespace expertscope::testing {

std::uint64_t steps_of(const std::function<void()>& work) {
  const std::uint64_t before = steps;
  work();
  return steps - before;
}

std::uint64_t steps_after(std::uint64_t at, const std::function<void()>& then,
                          const std::function<void()>& work) {
  call_at = steps + at;
  to_call = &then;
  const auto all = steps_of(work);
  to_call = nullptr;
  return all > at ? all - at : 0;
}

}  // namespace expertscope::testing
