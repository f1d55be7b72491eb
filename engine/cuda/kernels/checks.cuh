// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "engine/cuda/kernels/rows.cuh"

namespace expertscope::cuda {

/// Raises `flag` when a value is NaN or infinite. `counted`, when there, says how many rows of `width` count.
__global__ void __launch_bounds__(kRowThreads)
    check_finite(const float* values, std::size_t count, const std::int32_t* rows, int width,
                 unsigned* flag) {
  if (rows != nullptr) count = static_cast<std::size_t>(*rows) * static_cast<std::size_t>(width);
  bool finite = true;
  const std::size_t step = static_cast<std::size_t>(gridDim.x) * kRowThreads;
  for (std::size_t i = static_cast<std::size_t>(blockIdx.x) * kRowThreads + threadIdx.x; i < count; i += step)
    finite = finite && isfinite(values[i]);
  if (!finite) atomicOr(flag, 1u);
}

}  // namespace expertscope::cuda
