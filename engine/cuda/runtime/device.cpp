// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/cuda/runtime/device.h"

#include <cuda_runtime.h>

#include <cstdint>
#include <fstream>

#include "engine/cuda/runtime/kernel_image.h"
#include "engine/cuda/runtime/queue.h"

namespace expertscope::cuda {
namespace {

constexpr int kOldestMajor = 8;

/// After one of these every call of the process for a GPU fails, whatever it asks for.
bool ends_cuda(cudaError_t code) {
  return code == cudaErrorECCUncorrectable || code == cudaErrorIllegalAddress ||
         code == cudaErrorLaunchTimeout || code == cudaErrorAssert ||
         (code >= cudaErrorHardwareStackError && code <= cudaErrorLaunchFailure);
}

/// check() for what opens a device: what failed here may have failed in a step long ago.
Status check_open(cudaError_t code, const std::string& operation) {
  Status ok = check(code, operation);
  if (!ok && ends_cuda(code)) ok.error().message += "; start the program again to use the GPU";
  return ok;
}

std::string version_text(int version) {
  return fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

/// "GPU-5e3f0c1d-...", as nvidia-smi writes it.
std::string uuid_text(const cudaUUID_t& uuid) {
  std::string text = "GPU";
  for (int i = 0; i < 16; ++i) {
    if (i == 0 || i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += fmt::format("{:02x}", static_cast<unsigned>(static_cast<unsigned char>(uuid.bytes[i])));
  }
  return text;
}

/// "580.159.04, CUDA 13.0"; the kernel module tells its version where /sys shows it.
std::string driver_text(int cuda_version) {
  std::ifstream file("/sys/module/nvidia/version");
  std::string version;
  file >> version;
  const std::string cuda = "CUDA " + version_text(cuda_version);
  return version.empty() ? cuda : version + ", " + cuda;
}

Result<int> count_devices() {
  int count = 0;
  const cudaError_t code = cudaGetDeviceCount(&count);
  if (code == cudaSuccess) return count;
  cudaGetLastError();
  if (code == cudaErrorNoDevice) return 0;
  if (code != cudaErrorInsufficientDriver) return forward_error(check_open(code, "looking for GPUs"));
  int driver = 0;
  int runtime = 0;
  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&runtime);
  return fail(ErrorCode::unsupported,
              "the NVIDIA driver is too old: it runs CUDA {}, and this program needs CUDA {} or newer",
              version_text(driver), version_text(runtime));
}

/// Asked before anything is loaded: a launch would tell the same after minutes of loading. The device is the
/// calling thread's.
Status check_kernels(const cudaDeviceProp& properties) {
  const cudaError_t code = find_kernel_image();
  if (code == cudaSuccess) return {};
  cudaGetLastError();
  if (code == cudaErrorUnsupportedPtxVersion)
    return fail(ErrorCode::unsupported,
                "{} has compute capability {}.{}: this build has no kernels compiled for it, and the NVIDIA "
                "driver is too old to translate those of another",
                properties.name, properties.major, properties.minor);
  if (code == cudaErrorNoKernelImageForDevice || code == cudaErrorInvalidDeviceFunction)
    return fail(ErrorCode::unsupported,
                "{} has compute capability {}.{}, and this build has no kernels for it: build it with "
                "-DEXPERTSCOPE_CUDA_ARCHITECTURES=native",
                properties.name, properties.major, properties.minor);
  return check_open(code, "looking for the kernels");
}

std::string too_old(const cudaDeviceProp& properties) {
  return fmt::format("compute capability {}.{}; {}.0 or newer is needed", properties.major, properties.minor,
                     kOldestMajor);
}

Result<DeviceInfo> describe(int index) {
  cudaDeviceProp properties;
  if (auto ok = check_open(cudaGetDeviceProperties(&properties, index), "describing the GPU"); !ok)
    return forward_error(ok);
  int driver = 0;
  cudaDriverGetVersion(&driver);
  DeviceInfo info;
  info.index = index;
  info.name = properties.name;
  info.uuid = uuid_text(properties.uuid);
  info.compute_capability = fmt::format("{}.{}", properties.major, properties.minor);
  info.driver = driver_text(driver);
  info.memory_total = static_cast<std::int64_t>(properties.totalGlobalMem);
  if (properties.major < kOldestMajor) info.problem = too_old(properties);
  return info;
}

}  // namespace

Result<DeviceInfo> describe_device(int index) {
  const auto count = count_devices();
  if (!count) return forward_error(count);
  if (index < 0 || index >= *count)
    return fail(ErrorCode::invalid_argument, "there is no GPU {}: {} can be used", index,
                *count == 0 ? "none" : fmt::format("{} (0 to {})", *count, *count - 1));
  return describe(index);
}

Result<std::vector<DeviceInfo>> list_devices() {
  const auto count = count_devices();
  if (!count) return forward_error(count);
  std::vector<DeviceInfo> devices;
  for (int i = 0; i < *count; ++i) {
    auto info = describe(i);
    DeviceInfo& device = devices.emplace_back();
    if (info) {
      device = std::move(*info);
    } else {
      device.index = i;
      device.problem = std::move(info.error().message);
    }
  }
  return devices;
}

Result<DeviceLimits> open_device(int index) {
  cudaDeviceProp properties;
  if (auto ok = check_open(cudaGetDeviceProperties(&properties, index), "describing the GPU"); !ok)
    return forward_error(ok);
  if (properties.major < kOldestMajor)
    return fail(ErrorCode::unsupported, "{} has {}", properties.name, too_old(properties));
  if (auto ok = check_open(cudaSetDevice(index), "opening the GPU"); !ok) return forward_error(ok);
  // Frees nothing; the others may be answered without a look at the device.
  if (auto ok = check_open(cudaFree(nullptr), "opening the GPU"); !ok) return forward_error(ok);
  if (auto ok = check_kernels(properties); !ok) return forward_error(ok);
  return DeviceLimits{properties.multiProcessorCount, properties.sharedMemPerBlockOptin, properties.major,
                      properties.minor};
}

Result<OpenedDevice> open_described(int index) {
  auto info = describe_device(index);
  if (!info) return forward_error(info);
  const auto limits = open_device(index);
  if (!limits) return forward_error(limits);
  std::size_t free = 0;
  std::size_t total = 0;
  if (auto ok = check(cudaMemGetInfo(&free, &total), "asking for free GPU memory"); !ok)
    return forward_error(ok);
  info->memory_free = static_cast<std::int64_t>(free);
  return OpenedDevice{std::move(*info), *limits};
}

}  // namespace expertscope::cuda
