// SPDX-License-Identifier: GPL-3.0-or-later
#include <cuda_runtime.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "tests/simt/runtime/runtime.h"

/// Errors, and what the devices say about themselves.

namespace simt = expertscope::simt;
using simt::call;
using simt::Needs;
using simt::Runtime;

namespace {

struct ErrorText {
  cudaError_t error;
  const char* name;
  const char* text;
};

#define ERROR_TEXT(error, text) \
  { error, #error, text }
constexpr ErrorText kErrors[] = {
    ERROR_TEXT(cudaSuccess, "no error"),
    ERROR_TEXT(cudaErrorInvalidValue, "invalid argument"),
    ERROR_TEXT(cudaErrorMemoryAllocation, "out of memory"),
    ERROR_TEXT(cudaErrorInitializationError, "initialization error"),
    ERROR_TEXT(cudaErrorCudartUnloading, "driver shutting down"),
    ERROR_TEXT(cudaErrorInvalidConfiguration, "invalid configuration argument"),
    ERROR_TEXT(cudaErrorInvalidPitchValue, "invalid pitch argument"),
    ERROR_TEXT(cudaErrorInvalidHostPointer, "invalid host pointer"),
    ERROR_TEXT(cudaErrorInvalidDevicePointer, "invalid device pointer"),
    ERROR_TEXT(cudaErrorInvalidMemcpyDirection, "invalid copy direction for memcpy"),
    ERROR_TEXT(cudaErrorInsufficientDriver, "CUDA driver version is insufficient for CUDA runtime version"),
    ERROR_TEXT(cudaErrorDevicesUnavailable, "CUDA-capable device(s) is/are busy or unavailable"),
    ERROR_TEXT(cudaErrorInvalidDeviceFunction, "invalid device function"),
    ERROR_TEXT(cudaErrorNoDevice, "no CUDA-capable device is detected"),
    ERROR_TEXT(cudaErrorInvalidDevice, "invalid device ordinal"),
    ERROR_TEXT(cudaErrorStartupFailure, "startup failure in cuda runtime"),
    ERROR_TEXT(cudaErrorDeviceUninitialized, "invalid device context"),
    ERROR_TEXT(cudaErrorNoKernelImageForDevice, "no kernel image is available for execution on the device"),
    ERROR_TEXT(cudaErrorECCUncorrectable, "uncorrectable ECC error encountered"),
    ERROR_TEXT(cudaErrorUnsupportedPtxVersion,
               "the provided PTX was compiled with an unsupported toolchain."),
    ERROR_TEXT(cudaErrorOperatingSystem, "OS call failed or operation not supported on this OS"),
    ERROR_TEXT(cudaErrorInvalidResourceHandle, "invalid resource handle"),
    ERROR_TEXT(cudaErrorIllegalState, "the operation cannot be performed in the present state"),
    ERROR_TEXT(cudaErrorNotReady, "device not ready"),
    ERROR_TEXT(cudaErrorIllegalAddress, "an illegal memory access was encountered"),
    ERROR_TEXT(cudaErrorLaunchOutOfResources, "too many resources requested for launch"),
    ERROR_TEXT(cudaErrorLaunchTimeout, "the launch timed out and was terminated"),
    ERROR_TEXT(cudaErrorContextIsDestroyed, "context is destroyed"),
    ERROR_TEXT(cudaErrorAssert, "device-side assert triggered"),
    ERROR_TEXT(cudaErrorHardwareStackError, "hardware stack error"),
    ERROR_TEXT(cudaErrorIllegalInstruction, "an illegal instruction was encountered"),
    ERROR_TEXT(cudaErrorMisalignedAddress, "misaligned address"),
    ERROR_TEXT(cudaErrorLaunchFailure, "unspecified launch failure"),
    ERROR_TEXT(cudaErrorNotPermitted, "operation not permitted"),
    ERROR_TEXT(cudaErrorNotSupported, "operation not supported"),
    ERROR_TEXT(cudaErrorSystemNotReady, "system not yet initialized"),
    ERROR_TEXT(cudaErrorSystemDriverMismatch,
               "system has unsupported display driver / cuda driver combination"),
    ERROR_TEXT(cudaErrorCompatNotSupportedOnDevice,
               "forward compatibility was attempted on non supported HW"),
    ERROR_TEXT(cudaErrorStreamCaptureUnsupported, "operation not permitted when stream is capturing"),
    ERROR_TEXT(cudaErrorStreamCaptureInvalidated, "operation failed due to a previous error during capture"),
    ERROR_TEXT(cudaErrorStreamCaptureMerge,
               "operation would result in a merge of separate capture sequences"),
    ERROR_TEXT(cudaErrorStreamCaptureUnmatched, "capture was not ended in the same stream as it began"),
    ERROR_TEXT(cudaErrorStreamCaptureUnjoined, "capturing stream has unjoined work"),
    ERROR_TEXT(cudaErrorStreamCaptureIsolation, "dependency created on uncaptured work in another stream"),
    ERROR_TEXT(cudaErrorStreamCaptureImplicit,
               "operation would make the legacy stream depend on a capturing blocking stream"),
    ERROR_TEXT(cudaErrorCapturedEvent,
               "operation not permitted on an event last recorded in a capturing stream"),
    ERROR_TEXT(cudaErrorStreamCaptureWrongThread,
               "attempt to terminate a thread-local capture sequence from another thread"),
    ERROR_TEXT(cudaErrorTimeout, "wait operation timed out"),
    ERROR_TEXT(cudaErrorUnknown, "unknown error"),
};
#undef ERROR_TEXT

const ErrorText* find_text(cudaError_t error) {
  const auto* found = std::find_if(std::begin(kErrors), std::end(kErrors),
                                   [error](const ErrorText& entry) { return entry.error == error; });
  return found != std::end(kErrors) ? found : nullptr;
}

bool is_device(const Runtime& runtime, int device) {
  return device >= 0 && device < runtime.settings.devices;
}

cudaDeviceProp describe(const simt::Settings& settings, int device) {
  cudaDeviceProp properties{};
  settings.name.copy(properties.name, sizeof properties.name - 1);
  for (std::size_t i = 0; i < sizeof properties.uuid.bytes; ++i) {
    properties.uuid.bytes[i] = static_cast<char>(0x10 * (device + 1) + static_cast<int>(i));
  }
  properties.totalGlobalMem = settings.memory;
  properties.sharedMemPerBlock = simt::kSharedPerBlock;
  properties.sharedMemPerBlockOptin = simt::kSharedPerBlockOptin;
  properties.sharedMemPerMultiprocessor = simt::kSharedPerMultiprocessor;
  properties.reservedSharedMemPerBlock = simt::kSharedReserved;
  properties.regsPerBlock = properties.regsPerMultiprocessor = 65536;
  properties.warpSize = warpSize;
  properties.maxThreadsPerBlock = simt::kThreadsPerBlock;
  properties.maxThreadsDim[0] = properties.maxThreadsDim[1] = 1024;
  properties.maxThreadsDim[2] = 64;
  properties.maxGridSize[0] = std::numeric_limits<int>::max();
  properties.maxGridSize[1] = properties.maxGridSize[2] = 65535;
  properties.major = settings.compute_major;
  properties.minor = settings.compute_minor;
  properties.multiProcessorCount = settings.sms;
  properties.canMapHostMemory = properties.concurrentKernels = properties.unifiedAddressing = 1;
  properties.ECCEnabled = 1;
  properties.pciBusID = device + 1;
  properties.asyncEngineCount = 2;
  properties.memoryBusWidth = 5120;
  properties.l2CacheSize = 4 << 20;
  properties.maxThreadsPerMultiProcessor = simt::kThreadsPerMultiprocessor;
  properties.maxBlocksPerMultiProcessor = simt::kBlocksPerMultiprocessor;
  return properties;
}

/// What an attribute is among the properties.
struct Attribute {
  cudaDeviceAttr attribute;
  std::size_t (*read)(const cudaDeviceProp& properties);
};

#define ATTRIBUTE(attribute, property)                                                     \
  {                                                                                        \
    cudaDevAttr##attribute,                                                                \
        [](const cudaDeviceProp& from) { return static_cast<std::size_t>(from.property); } \
  }
constexpr Attribute kAttributes[] = {
    ATTRIBUTE(MaxThreadsPerBlock, maxThreadsPerBlock),
    ATTRIBUTE(MaxBlockDimX, maxThreadsDim[0]),
    ATTRIBUTE(MaxBlockDimY, maxThreadsDim[1]),
    ATTRIBUTE(MaxBlockDimZ, maxThreadsDim[2]),
    ATTRIBUTE(MaxGridDimX, maxGridSize[0]),
    ATTRIBUTE(MaxGridDimY, maxGridSize[1]),
    ATTRIBUTE(MaxGridDimZ, maxGridSize[2]),
    ATTRIBUTE(MaxSharedMemoryPerBlock, sharedMemPerBlock),
    ATTRIBUTE(WarpSize, warpSize),
    ATTRIBUTE(MaxRegistersPerBlock, regsPerBlock),
    ATTRIBUTE(MultiProcessorCount, multiProcessorCount),
    ATTRIBUTE(Integrated, integrated),
    ATTRIBUTE(CanMapHostMemory, canMapHostMemory),
    ATTRIBUTE(ConcurrentKernels, concurrentKernels),
    ATTRIBUTE(EccEnabled, ECCEnabled),
    ATTRIBUTE(PciBusId, pciBusID),
    ATTRIBUTE(PciDeviceId, pciDeviceID),
    ATTRIBUTE(PciDomainId, pciDomainID),
    ATTRIBUTE(GlobalMemoryBusWidth, memoryBusWidth),
    ATTRIBUTE(L2CacheSize, l2CacheSize),
    ATTRIBUTE(MaxThreadsPerMultiProcessor, maxThreadsPerMultiProcessor),
    ATTRIBUTE(AsyncEngineCount, asyncEngineCount),
    ATTRIBUTE(UnifiedAddressing, unifiedAddressing),
    ATTRIBUTE(ComputeCapabilityMajor, major),
    ATTRIBUTE(ComputeCapabilityMinor, minor),
    ATTRIBUTE(MaxSharedMemoryPerMultiprocessor, sharedMemPerMultiprocessor),
    ATTRIBUTE(MaxRegistersPerMultiprocessor, regsPerMultiprocessor),
    ATTRIBUTE(ManagedMemory, managedMemory),
    ATTRIBUTE(PageableMemoryAccess, pageableMemoryAccess),
    ATTRIBUTE(CooperativeLaunch, cooperativeLaunch),
    ATTRIBUTE(MaxSharedMemoryPerBlockOptin, sharedMemPerBlockOptin),
    ATTRIBUTE(MaxBlocksPerMultiprocessor, maxBlocksPerMultiProcessor),
    ATTRIBUTE(ReservedSharedMemoryPerBlock, reservedSharedMemPerBlock),
};
#undef ATTRIBUTE

/// Attributes that are not among the properties.
constexpr std::pair<cudaDeviceAttr, int> kOtherAttributes[] = {
    {cudaDevAttrClockRate, 1'000'000},  // kHz
    {cudaDevAttrMemoryClockRate, 1'000'000}, {cudaDevAttrComputeMode, 0},
    {cudaDevAttrConcurrentManagedAccess, 0}, {cudaDevAttrMemoryPoolsSupported, 0},
};

std::optional<int> attribute_value(const cudaDeviceProp& properties, cudaDeviceAttr attribute) {
  for (const Attribute& known : kAttributes) {
    if (known.attribute == attribute) return static_cast<int>(known.read(properties));
  }
  for (const auto& [known, value] : kOtherAttributes) {
    if (known == attribute) return value;
  }
  return std::nullopt;
}

}  // namespace

const char* cudaGetErrorName(cudaError_t error) {
  const ErrorText* entry = find_text(error);
  return entry != nullptr ? entry->name : "unrecognized error code";
}

const char* cudaGetErrorString(cudaError_t error) {
  const ErrorText* entry = find_text(error);
  return entry != nullptr ? entry->text : "unrecognized error code";
}

cudaError_t cudaPeekAtLastError() {
  Runtime& runtime = Runtime::instance();
  const std::lock_guard lock(runtime.mutex);
  return runtime.host().last_error;
}

cudaError_t cudaGetLastError() {
  Runtime& runtime = Runtime::instance();
  const std::lock_guard lock(runtime.mutex);
  cudaError_t& last = runtime.host().last_error;
  const cudaError_t error = last;
  // The loss of a device is not forgotten.
  last = runtime.driver_error() == cudaSuccess ? runtime.device_error() : cudaSuccess;
  return error;
}

cudaError_t cudaDriverGetVersion(int* version) {
  Runtime& runtime = Runtime::instance();
  const std::lock_guard lock(runtime.mutex);
  if (const cudaError_t fault = runtime.count_call("cudaDriverGetVersion")) return simt::remember(fault);
  if (version == nullptr) return simt::remember(cudaErrorInvalidValue);
  *version = runtime.settings.driver_version;
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  Runtime& runtime = Runtime::instance();
  const std::lock_guard lock(runtime.mutex);
  if (const cudaError_t fault = runtime.count_call("cudaRuntimeGetVersion")) return simt::remember(fault);
  if (version == nullptr) return simt::remember(cudaErrorInvalidValue);
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int* count) {
  if (count != nullptr) *count = 0;
  return call("cudaGetDeviceCount", Needs::device, [&](Runtime& runtime) {
    if (count == nullptr) return cudaErrorInvalidValue;
    *count = runtime.settings.devices;
    return cudaSuccess;
  });
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  return call("cudaGetDeviceProperties", Needs::device, [&](Runtime& runtime) {
    if (properties == nullptr) return cudaErrorInvalidValue;
    if (!is_device(runtime, device)) return cudaErrorInvalidDevice;
    *properties = describe(runtime.settings, device);
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  return call("cudaDeviceGetAttribute", Needs::device, [&](Runtime& runtime) {
    if (value == nullptr) return cudaErrorInvalidValue;
    if (!is_device(runtime, device)) return cudaErrorInvalidDevice;
    const std::optional<int> known = attribute_value(describe(runtime.settings, device), attribute);
    if (!known) return cudaErrorInvalidValue;
    *value = *known;
    return cudaSuccess;
  });
}

cudaError_t cudaSetDevice(int device) {
  return call("cudaSetDevice", Needs::driver, [&](Runtime& runtime) {
    if (!is_device(runtime, device)) return cudaErrorInvalidDevice;
    runtime.host().device = device;
    return runtime.device_error();
  });
}

cudaError_t cudaGetDevice(int* device) {
  return call("cudaGetDevice", Needs::device, [&](Runtime& runtime) {
    if (device == nullptr) return cudaErrorInvalidValue;
    *device = runtime.host().device;
    return cudaSuccess;
  });
}

cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  return call("cudaMemGetInfo", Needs::device, [&](Runtime& runtime) {
    if (free == nullptr || total == nullptr) return cudaErrorInvalidValue;
    *total = runtime.settings.memory;
    *free = runtime.settings.memory - runtime.memory.device_bytes(runtime.host().device);
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceSynchronize() {
  return call("cudaDeviceSynchronize", Needs::device, [&](Runtime& runtime) {
    if (const cudaError_t error = runtime.queues.forbid_in_capture()) return error;
    return runtime.queues.synchronize_device(runtime.host().device);
  });
}
