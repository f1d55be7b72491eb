// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cuda_runtime.h>

namespace expertscope::cuda {

/// Whether the calling thread's device can run what this build was compiled for: cudaSuccess, or why not.
cudaError_t find_kernel_image();

}  // namespace expertscope::cuda
