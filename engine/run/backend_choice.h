// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "engine/backend/backend.h"
#include "engine/backend/backend_info.h"
#include "engine/error.h"
#include "engine/model/model.h"

namespace expertscope {

/// The GPUs of this machine and how to run on them. Functions, so that a test can bring its own machine.
struct GpuBackends {
  /// The visible ones; fails with what to tell a person when there are none or they cannot be used.
  std::function<Result<std::vector<DeviceInfo>>()> devices;
  /// As Plugin::make_backend and Plugin::plan_memory of engine/cuda/plugin.h.
  std::function<Result<std::unique_ptr<Backend>>(std::shared_ptr<const Model>, const BackendOptions&,
                                                 std::string reason, const OpenProgress&,
                                                 const std::stop_token&)>
      make;
  std::function<Result<MemoryPlan>(const Model&, const BackendOptions&)> plan;
  /// After `devices` failed: whether somebody would have expected a GPU. Null: no.
  std::function<bool()> expected;
};

/// Those of the CUDA plugin. Nothing is loaded before one of the functions is called.
GpuBackends installed_gpu_backends();

/// An error of a GPU after which the CPU may run the model: ErrorCode::unsupported, out_of_memory or device.
bool is_refusal(ErrorCode code);

/// What a choice comes to on this machine.
struct BackendDecision {
  BackendChoice choice;            ///< cpu or cuda, no longer automatic
  std::string reason;              ///< "asked for", "no NVIDIA driver: libcuda.so.1 was not found", ...
  DeviceInfo device;               ///< cuda
  std::vector<DeviceInfo> others;  ///< automatic: usable ones that take the device's place when it refuses
  bool automatic = false;          ///< nobody asked for it: then the CPU may take its place
};

/// A choice, and whose it is.
struct WantedBackend {
  BackendChoice choice;
  std::string reason;  ///< empty for an automatic choice
};
/// The choice, or where it is automatic what the environment variable EXPERTSCOPE_BACKEND names (auto, cpu,
/// cuda, cuda:N). Fails when the variable names nothing that exists.
Result<WantedBackend> wanted_backend(const BackendChoice& choice);

/// The wanted backend; automatic: the first GPU without a `problem`, else the CPU. Fails when a GPU that was
/// asked for cannot be used. GPUs are looked at only where they matter.
Result<BackendDecision> decide_backend(const BackendChoice& choice, const GpuBackends& gpu);

/// The options as a GPU takes them: with its own step size and number of sequences.
BackendOptions on_gpu(const BackendOptions& options);

/// The backend of options.choice; BackendInfo::reason says why it is that one. Where nobody asked for a GPU
/// and the first one refuses this model (ErrorCode::unsupported, out_of_memory or device), the next one is
/// tried, and in the end the CPU; the reason holds their errors. `progress` is told of weights on their way
/// to the device.
Result<std::unique_ptr<Backend>> make_backend(std::shared_ptr<const Model> model, BackendOptions options,
                                              const OpenProgress& progress = {},
                                              const std::stop_token& stop = {},
                                              const GpuBackends& gpu = installed_gpu_backends());

/// Why a GPU that is there does not run a model that it was not kept from: what `info` says of a backend made
/// of `choice`. Empty when a GPU runs it, when there is none, and when the CPU was asked for.
std::string gpu_refusal(const BackendChoice& choice, const BackendInfo& info, const GpuBackends& gpu);

/// Where the bytes would go on the backend of options.choice, which is not automatic; nothing is loaded.
Result<MemoryPlan> plan_memory(const Model& model, const BackendOptions& options,
                               const GpuBackends& gpu = installed_gpu_backends());

}  // namespace expertscope
