// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/run/backend_choice.h"
#include "engine/cpu/cpu_backend.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "engine/cpu/memory_plan.h"
#include "engine/cuda/loader/loader.h"

namespace expertscope {
namespace {

constexpr const char* kVariable = "EXPERTSCOPE_BACKEND";
constexpr const char* kAskedFor = "asked for";
constexpr const char* kFirstUsable = "automatic: the first usable GPU";

Result<DeviceInfo> find_device(const std::vector<DeviceInfo>& devices, int index) {
  std::string names;
  for (const DeviceInfo& device : devices) {
    if (device.index == index && !device.problem.empty())
      return fail(ErrorCode::unsupported, "{} cannot be used: {}", device_label(device), device.problem);
    if (device.index == index) return device;
    names += (names.empty() ? "" : ", ") + device_label(device);
  }
  return fail(ErrorCode::unsupported, "there is no device cuda:{}; there is {}", index, names);
}

/// What several devices say, each by its name; one alone, or all alike, without.
class Refusals {
 public:
  void add(const DeviceInfo& device, const std::string& why) {
    alike_ = labelled_.empty() || (alike_ && why == last_);
    last_ = why;
    labelled_ += fmt::format("{}{}: {}", labelled_.empty() ? "" : "; ", device_label(device), why);
  }
  bool any() const { return !labelled_.empty(); }
  const std::string& labelled() const { return labelled_; }
  const std::string& text() const { return alike_ ? last_ : labelled_; }

 private:
  std::string labelled_;
  std::string last_;
  bool alike_ = true;
};

/// The first device that can be used, why not those before it, and the usable ones after it.
void choose_device(const std::vector<DeviceInfo>& devices, BackendDecision& decision) {
  Refusals problems;
  for (const DeviceInfo& device : devices) {
    const bool chosen = decision.choice.kind == BackendKind::cuda;
    if (!device.problem.empty()) {
      if (!chosen) problems.add(device, device.problem);
    } else if (chosen) {
      decision.others.push_back(device);
    } else {
      decision.choice = {BackendKind::cuda, device.index};
      decision.device = device;
    }
  }
  decision.reason = problems.labelled();
  if (decision.choice.kind == BackendKind::cpu) return;
  decision.reason = problems.any() ? fmt::format("{}; {}", kFirstUsable, problems.labelled()) : kFirstUsable;
}

}  // namespace

bool is_refusal(ErrorCode code) {
  return code == ErrorCode::unsupported || code == ErrorCode::out_of_memory || code == ErrorCode::device;
}

Result<WantedBackend> wanted_backend(const BackendChoice& choice) {
  if (choice.kind != BackendKind::automatic) return WantedBackend{choice, kAskedFor};
  const char* text = std::getenv(kVariable);
  if (text == nullptr || *text == '\0') return WantedBackend{choice, {}};
  auto parsed = parse_backend_choice(text);
  if (!parsed) return fail(parsed.error().code, "{}: {}", kVariable, parsed.error().message);
  return WantedBackend{*parsed, fmt::format("asked for by {}", kVariable)};
}

GpuBackends installed_gpu_backends() {
  GpuBackends gpu;
  gpu.devices = []() -> Result<std::vector<DeviceInfo>> {
    const auto plugin = cuda::load_plugin();
    if (!plugin) return forward_error(plugin);
    return cuda::list_devices(**plugin);
  };
  gpu.make = [](std::shared_ptr<const Model> model, const BackendOptions& options, std::string reason,
                const OpenProgress& progress,
                const std::stop_token& stop) -> Result<std::unique_ptr<Backend>> {
    const auto plugin = cuda::load_plugin();
    if (!plugin) return forward_error(plugin);
    return (*plugin)->make_backend(std::move(model), options, std::move(reason), progress, stop);
  };
  gpu.plan = [](const Model& model, const BackendOptions& options) -> Result<MemoryPlan> {
    const auto plugin = cuda::load_plugin();
    if (!plugin) return forward_error(plugin);
    return (*plugin)->plan_memory(model, options);
  };
  gpu.expected = [] { return cuda::expects_gpu(); };
  return gpu;
}

Result<BackendDecision> decide_backend(const BackendChoice& choice, const GpuBackends& gpu) {
  auto wanted = wanted_backend(choice);
  if (!wanted) return forward_error(wanted);
  BackendDecision decision;
  decision.choice = wanted->choice;
  decision.reason = std::move(wanted->reason);
  decision.automatic = wanted->choice.kind == BackendKind::automatic;
  if (wanted->choice.kind == BackendKind::cpu) return decision;
  const auto devices = gpu.devices();
  if (decision.automatic) {
    decision.choice = {BackendKind::cpu, 0};
    if (devices) {
      choose_device(*devices, decision);
    } else {
      decision.reason = devices.error().message;
    }
    return decision;
  }
  if (!devices) return forward_error(devices);
  auto device = find_device(*devices, decision.choice.device);
  if (!device) return forward_error(device);
  decision.device = std::move(*device);
  return decision;
}

BackendOptions on_gpu(const BackendOptions& options) {
  BackendOptions gpu = options;
  gpu.max_batch = std::max(options.max_batch, options.gpu_batch);
  gpu.max_sequences = std::max(options.max_sequences, options.gpu_sequences);
  return gpu;
}

Result<std::unique_ptr<Backend>> make_backend(std::shared_ptr<const Model> model, BackendOptions options,
                                              const OpenProgress& progress, const std::stop_token& stop,
                                              const GpuBackends& gpu) {
  const auto decision = decide_backend(options.choice, gpu);
  if (!decision) return forward_error(decision);
  options.choice = decision->choice;
  if (decision->choice.kind == BackendKind::cpu)
    return make_cpu_backend(std::move(model), options, decision->reason);
  std::vector<DeviceInfo> devices = {decision->device};
  devices.insert(devices.end(), decision->others.begin(), decision->others.end());
  Refusals refusals;
  for (const DeviceInfo& device : devices) {
    options.choice.device = device.index;
    std::string reason = decision->reason;
    if (refusals.any()) reason += "; " + refusals.labelled();
    auto made = gpu.make(model, on_gpu(options), std::move(reason), progress, stop);
    if (made || !decision->automatic || !is_refusal(made.error().code)) return made;
    refusals.add(device, made.error().message);
  }
  options.choice = {BackendKind::cpu, 0};
  return make_cpu_backend(std::move(model), options, refusals.text());
}

std::string gpu_refusal(const BackendChoice& choice, const BackendInfo& info, const GpuBackends& gpu) {
  if (info.kind != BackendKind::cpu) return {};
  const auto wanted = wanted_backend(choice);
  if (!wanted || wanted->choice.kind != BackendKind::automatic) return {};
  const bool told = gpu.devices() || (gpu.expected && gpu.expected());
  return told ? info.reason : std::string();
}

Result<MemoryPlan> plan_memory(const Model& model, const BackendOptions& options, const GpuBackends& gpu) {
  if (options.choice.kind == BackendKind::cuda) return gpu.plan(model, on_gpu(options));
  return cpu::plan_memory(model, options);
}

}  // namespace expertscope
