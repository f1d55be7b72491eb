// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <string>

#include "simt/order.h"
#include "tests/simt/fibers/worker.h"

namespace expertscope::simt {

/// How a grid is run where a GPU leaves it open.
struct Schedule {
  Order order = Order::forward;
  std::uint64_t seed = 0;
  int workers = 1;  // OS threads that run blocks, this one included
};

/// Runs all blocks of a launch. Returns what went wrong, or nothing; blocks that had not begun then never do.
/// One grid at a time.
std::string run_grid(const Launch& launch, const Schedule& schedule);

}  // namespace expertscope::simt
