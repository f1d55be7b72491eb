// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/cuda/runtime/kernel_image.h"

namespace expertscope::cuda {
namespace {

/// All kernels are compiled for the same devices, so the smallest one speaks for them.
__global__ void any_kernel() {}

}  // namespace

cudaError_t find_kernel_image() {
  cudaFuncAttributes attributes;
  return cudaFuncGetAttributes(&attributes, any_kernel);
}

}  // namespace expertscope::cuda
