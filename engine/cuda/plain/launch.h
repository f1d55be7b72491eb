// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>

#include "engine/cuda/kernels/block.cuh"
#include "engine/cuda/runtime/queue.h"

/// Queueing the kernels of the plain path, whose first argument is how many have something to do.
namespace expertscope::cuda::plain {

inline constexpr int kThreads = 128;

/// Queues a kernel with a thread for each of `count`.
template <class... Parameters, class... Arguments>
void threads(Queue& queue, void (*kernel)(std::size_t, Parameters...), std::size_t count,
             const Arguments&... arguments) {
  const auto blocks = static_cast<unsigned>((count + kThreads - 1) / kThreads);
  if (blocks > 0) queue.launch(kernel, {dim3(blocks), kThreads, 0}, count, arguments...);
}
/// With a warp for each.
template <class... Parameters, class... Arguments>
void warps(Queue& queue, void (*kernel)(std::size_t, Parameters...), std::size_t count,
           const Arguments&... arguments) {
  constexpr std::size_t kWarps = kThreads / kWarp;
  const auto blocks = static_cast<unsigned>((count + kWarps - 1) / kWarps);
  if (blocks > 0) queue.launch(kernel, {dim3(blocks), kThreads, 0}, count, arguments...);
}

inline std::size_t size(int rows, int columns) {
  return static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns);
}

}  // namespace expertscope::cuda::plain
