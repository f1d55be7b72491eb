// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/support/steps.h"

namespace {

thread_local std::uint64_t steps = 0;

}  // namespace

/// What the compiler calls in every basic block (-fsanitize-coverage=trace-pc).
extern "C" void __sanitizer_cov_trace_pc() {
  ++steps;
}

namespace expertscope::testing {

std::uint64_t steps_of(const std::function<void()>& work) {
  const std::uint64_t before = steps;
  work();
  return steps - before;
}

}  // namespace expertscope::testing
