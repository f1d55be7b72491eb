// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

// libstdc++ writes __attribute__((__noinline__)) in here, so it has to be read before that word is a macro.
#include <memory>

/// CUDA's words for where a function runs and where a variable lives, for a compiler that knows one place
/// only.
#define __global__
#define __device__
#define __host__
#define __constant__
#define __grid_constant__
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))

/// An OS thread runs one block at a time, so what belongs to a block can belong to the OS thread. As on a
/// GPU, a block finds what the block before it left there.
#define __shared__ static thread_local
