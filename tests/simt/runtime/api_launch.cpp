// SPDX-License-Identifier: GPL-3.0-or-later
#include <cuda_runtime.h>

#include <algorithm>
#include <limits>
#include <memory>

#include "tests/simt/runtime/runtime.h"

/// Kernels.

namespace expertscope::simt {

namespace {

bool is_valid(const dim3& grid, const dim3& block) {
  constexpr unsigned kMaxGrid = 65535;
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || block.x == 0 || block.y == 0 || block.z == 0) return false;
  if (grid.x > static_cast<unsigned>(std::numeric_limits<int>::max())) return false;
  if (grid.y > kMaxGrid || grid.z > kMaxGrid) return false;
  return block.x <= 1024 && block.y <= 1024 && block.z <= 64 &&
         block.x * block.y * block.z <= kThreadsPerBlock;
}

cudaError_t check_attributes(const cudaLaunchConfig_t& config) {
  if (config.numAttrs > 0 && config.attrs == nullptr) return cudaErrorInvalidValue;
  for (unsigned i = 0; i < config.numAttrs; ++i) {
    const cudaLaunchAttribute& attribute = config.attrs[i];
    const auto& cluster = attribute.val.clusterDim;
    const bool clustered =
        attribute.id == cudaLaunchAttributeClusterDimension && cluster.x * cluster.y * cluster.z != 1;
    const bool cooperative = attribute.id == cudaLaunchAttributeCooperative && attribute.val.cooperative != 0;
    if (clustered || cooperative) return cudaErrorNotSupported;
  }
  return cudaSuccess;
}

cudaError_t queue_launch(Runtime& runtime, const cudaLaunchConfig_t& config, const void* kernel,
                         std::function<void()> body) {
  const int device = runtime.host().device;
  if (config.stream != nullptr) {
    if (!runtime.queues.exists(config.stream)) return cudaErrorInvalidResourceHandle;
    if (config.stream->device != device) return cudaErrorInvalidResourceHandle;
  }
  if (!is_valid(config.gridDim, config.blockDim)) return cudaErrorInvalidConfiguration;
  if (const cudaError_t error = check_attributes(config)) return error;
  const auto allowed = runtime.dynamic_shared.find(kernel);
  const std::size_t limit = allowed != runtime.dynamic_shared.end() ? allowed->second : kDynamicUnasked;
  if (config.dynamicSmemBytes > std::max(limit, kDynamicUnasked)) return cudaErrorInvalidValue;

  auto launch = std::make_shared<Launch>();
  launch->grid = config.gridDim;
  launch->block = config.blockDim;
  launch->dynamic_shared = config.dynamicSmemBytes;
  launch->kernel = std::move(body);
  return runtime.queues.submit(config.stream, device,
                               [&runtime, launch] { return runtime.run_kernel(*launch); });
}

}  // namespace

cudaError_t launch(const cudaLaunchConfig_t* config, const void* kernel, std::function<void()> body) {
  return call("cudaLaunchKernelEx", Needs::device, [&](Runtime& runtime) {
    if (config == nullptr) return cudaErrorInvalidValue;
    if (kernel == nullptr) return cudaErrorInvalidDeviceFunction;
    return queue_launch(runtime, *config, kernel, std::move(body));
  });
}

}  // namespace expertscope::simt

namespace simt = expertscope::simt;

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* kernel) {
  return simt::call("cudaFuncGetAttributes", simt::Needs::device, [&](simt::Runtime& runtime) {
    if (attributes == nullptr) return cudaErrorInvalidValue;
    if (kernel == nullptr) return cudaErrorInvalidDeviceFunction;
    const auto allowed = runtime.dynamic_shared.find(kernel);
    *attributes = {};
    attributes->maxThreadsPerBlock = static_cast<int>(simt::kThreadsPerBlock);
    attributes->numRegs = 32;
    attributes->ptxVersion = attributes->binaryVersion =
        10 * runtime.settings.compute_major + runtime.settings.compute_minor;
    attributes->maxDynamicSharedSizeBytes =
        static_cast<int>(allowed != runtime.dynamic_shared.end() ? allowed->second : simt::kSharedPerBlock);
    return cudaSuccess;
  });
}

cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute attribute, int value) {
  return simt::call("cudaFuncSetAttribute", simt::Needs::device, [&](simt::Runtime& runtime) {
    if (kernel == nullptr) return cudaErrorInvalidDeviceFunction;
    if (attribute == cudaFuncAttributePreferredSharedMemoryCarveout) {
      return value >= -1 && value <= 100 ? cudaSuccess : cudaErrorInvalidValue;
    }
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaErrorInvalidValue;
    if (value < 0 || static_cast<std::size_t>(value) > simt::kSharedPerBlockOptin)
      return cudaErrorInvalidValue;
    runtime.dynamic_shared[kernel] = static_cast<std::size_t>(value);
    return cudaSuccess;
  });
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void* kernel, int block_size,
                                                          std::size_t dynamic_shared) {
  return simt::call(
      "cudaOccupancyMaxActiveBlocksPerMultiprocessor", simt::Needs::device, [&](simt::Runtime&) {
        if (blocks == nullptr || block_size < 1) return cudaErrorInvalidValue;
        if (kernel == nullptr) return cudaErrorInvalidDeviceFunction;
        const int warps = (block_size + warpSize - 1) / warpSize;
        const auto by_shared =
            static_cast<int>(simt::kSharedPerMultiprocessor / (dynamic_shared + simt::kSharedReserved));
        *blocks = std::min({simt::kThreadsPerMultiprocessor / (warps * warpSize), by_shared,
                            simt::kBlocksPerMultiprocessor});
        return cudaSuccess;
      });
}
