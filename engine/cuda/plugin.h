// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "engine/backend/backend.h"
#include "engine/backend/backend_info.h"
#include "engine/error.h"
#include "engine/model/model.h"

namespace expertscope::cuda {

/// C++ types cross the boundary, so a plugin of another build is refused: the version of the program and its
/// compiler have to be the same,
inline constexpr const char* kPluginBuild = EXPERTSCOPE_PLUGIN_BUILD;

constexpr std::uint64_t layout_of(std::initializer_list<std::size_t> sizes) {
  std::uint64_t hash = 14695981039346656037u;  // FNV-1a
  for (const std::size_t size : sizes)
    hash = (hash ^ size) * 1099511628211u;
  return hash;
}
/// and, while it is worked on, the sizes of what crosses.
inline constexpr std::uint64_t kPluginLayout = layout_of(
    {sizeof(Model), sizeof(ModelConfig), sizeof(LayerSpec), sizeof(Weights), sizeof(LayerWeights),
     sizeof(BackendOptions), sizeof(BackendInfo), sizeof(DeviceInfo), sizeof(Batch), sizeof(RoutingTable),
     sizeof(LayerRouting), sizeof(CaptureRequest), sizeof(CaptureBlock), sizeof(StepOutput), sizeof(Error)});

/// Name of the function a plugin exports.
inline constexpr const char* kPluginFunction = "expertscope_cuda_plugin";
/// File name of the plugin.
inline constexpr const char* kPluginFile = "libexpertscope_cuda.so";

/// What the program asks of libexpertscope_cuda.so. Objects made behind it hold code of the plugin, which is
/// therefore never unloaded. No exception crosses: plugin.cpp guards every function.
struct Plugin {
  /// kPluginBuild and kPluginLayout of the plugin's build. First, and a C string, so that they can be read
  /// before anything is trusted.
  const char* build;
  std::uint64_t layout;

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
};

}  // namespace expertscope::cuda

/// The plugin's one exported symbol; the pointer is to something that lives as long as the process.
extern "C" const expertscope::cuda::Plugin* expertscope_cuda_plugin();
