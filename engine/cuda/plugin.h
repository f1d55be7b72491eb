// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "engine/backend/backend.h"
#include "engine/backend/backend_info.h"
#include "engine/cuda/baseline/expert_rates.h"
#include "engine/cuda/runtime/rates.h"
#include "engine/error.h"
#include "engine/model/model.h"

namespace expertscope::cuda {

/// What both sides were built from: version, compiler, and a hash over this header and all it includes
/// (cmake/PluginAbi.cmake). C++ types cross the boundary, so a plugin of another build is refused.
inline constexpr const char* kPluginAbi = EXPERTSCOPE_PLUGIN_ABI;

/// Name of the function a plugin exports.
inline constexpr const char* kPluginFunction = "expertscope_cuda_plugin";
/// File name of the plugin.
inline constexpr const char* kPluginFile = "libexpertscope_cuda.so";

/// What the program asks of libexpertscope_cuda.so. Objects made behind it hold code of the plugin, which is
/// therefore never unloaded. No exception crosses: plugin.cpp guards every function.
struct Plugin {
  /// kPluginAbi of the plugin's build. First, and a C string, so that it can be read before anything is
  /// trusted.
  const char* abi;

  /// The devices CUDA_VISIBLE_DEVICES leaves, in CUDA's order; empty: the driver has none. One that cannot be
  /// described or is older than the kernels is among them, with its `problem`. Fails with
  /// ErrorCode::unsupported when the driver is too old, naming both versions, and with ErrorCode::device when
  /// it does not work.
  Result<std::vector<DeviceInfo>> (*list_devices)();

  /// A backend on device options.choice.device. `reason` comes back in BackendInfo. Fails before anything is
  /// on the device with ErrorCode::unsupported (naming what of the model the kernels have no form for) and
  /// ErrorCode::out_of_memory (what was needed and what was free); with ErrorCode::device when CUDA fails,
  /// ErrorCode::cancelled when told to stop. `progress` is told of the weights on their way, 0 to 1.
  Result<std::unique_ptr<Backend>> (*make_backend)(std::shared_ptr<const Model> model,
                                                   const BackendOptions& options, std::string reason,
                                                   const OpenProgress& progress, const std::stop_token& stop);

  /// What make_backend() would put where; the same errors, and nothing is loaded.
  Result<MemoryPlan> (*plan_memory)(const Model& model, const BackendOptions& options);

  /// What the device can do at most, for benchmarks: engine/cuda/runtime/rates.h.
  Result<DeviceRates> (*measure_rates)(int device, const RateSizes& sizes) = nullptr;

  /// The experts' kernels against cuBLAS, for benchmarks: engine/cuda/baseline/expert_rates.h.
  Result<ExpertTimes> (*measure_experts)(int device, const ExpertCase& what) = nullptr;
};

}  // namespace expertscope::cuda

/// The plugin's one exported symbol; the pointer is to something that lives as long as the process.
extern "C" const expertscope::cuda::Plugin* expertscope_cuda_plugin();
