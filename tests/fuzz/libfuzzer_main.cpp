// SPDX-License-Identifier: GPL-3.0-or-later
// What libFuzzer calls, for the one target this was compiled for.
#include <cstddef>
#include <cstdint>

#include "tests/fuzz/targets.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  expertscope::testing::EXPERTSCOPE_FUZZ_TARGET({reinterpret_cast<const char*>(data), size});
  return 0;
}
