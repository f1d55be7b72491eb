// SPDX-License-Identifier: GPL-3.0-or-later
// A CUDA plugin without CUDA: the CPU computes, and the environment variable EXPERTSCOPE_FAKE_CUDA says what
// goes wrong (the words are in fake_cuda.h).
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <optional>
#include <sstream>
#include <thread>
#include <utility>

#include "engine/cpu/cpu_backend.h"
#include "engine/cuda/plugin.h"

#ifndef FAKE_BUILD
#define FAKE_BUILD expertscope::cuda::kPluginBuild
#endif
#ifndef FAKE_LAYOUT
#define FAKE_LAYOUT expertscope::cuda::kPluginLayout
#endif

namespace expertscope::testing {
namespace {

constexpr int kNever = std::numeric_limits<int>::max();
constexpr std::int64_t kGiB = std::int64_t{1} << 30;

/// The number after "word=", 1 for the word alone; empty when it was not said.
std::optional<int> told(const std::string& word) {
  const char* text = std::getenv("EXPERTSCOPE_FAKE_CUDA");
  std::istringstream words(text != nullptr ? text : "");
  for (std::string said; words >> said;) {
    if (said == word) return 1;
    if (said.compare(0, word.size() + 1, word + "=") == 0) return std::atoi(said.c_str() + word.size() + 1);
  }
  return std::nullopt;
}

DeviceInfo device(int index) {
  DeviceInfo info;
  info.index = index;
  info.name = "NVIDIA Fake";
  info.uuid = fmt::format("GPU-fake-{}", index);
  info.compute_capability = "9.0";
  info.driver = "999.1, CUDA 13.0";
  info.memory_total = 8 * kGiB;
  info.memory_free = 7 * kGiB;
  if (told("old-device") == index) info.problem = "compute capability 7.5; 8.0 or newer is needed";
  return info;
}

Result<std::vector<DeviceInfo>> list_devices() {
  if (told("old-driver"))
    return fail(ErrorCode::unsupported, "the NVIDIA driver 470.1 is too old, CUDA 13.0 needs 580");
  std::vector<DeviceInfo> devices;
  for (int i = 0; i < told("devices").value_or(1); ++i)
    devices.push_back(device(i));
  return devices;
}

class FakeBackend final : public Backend {
 public:
  FakeBackend(std::unique_ptr<Backend> cpu, BackendInfo info) : cpu_(std::move(cpu)), info_(std::move(info)) {
    ++alive;
  }
  ~FakeBackend() override { --alive; }
  FakeBackend(const FakeBackend&) = delete;
  FakeBackend& operator=(const FakeBackend&) = delete;

  static std::atomic<int> alive;
  std::string description() const override { return "CUDA bf16 (NVIDIA Fake)"; }
  const BackendInfo& info() const override { return info_; }
  Status forward(const Batch& batch, const std::shared_ptr<const RoutingTable>& table,
                 const CaptureRequest& request, StepOutput& output, CaptureBlock* capture) override {
    ++steps_;
    if (steps_ > told("lost-after").value_or(kNever))
      return fail(ErrorCode::device, "moe, layer 1: an illegal memory access was encountered");
    if (steps_ > told("full-after").value_or(kNever))
      return fail(ErrorCode::out_of_memory, "the capture buffer needs 1.0 GiB on the device");
    if (steps_ > told("lacks-after").value_or(kNever))
      return fail(ErrorCode::unsupported, "the CUDA backend has no kernels for 40 experts a token");
    return cpu_->forward(batch, table, request, output, capture);
  }
  void set_observer(TensorObserver* observer) override { cpu_->set_observer(observer); }

 private:
  std::unique_ptr<Backend> cpu_;
  BackendInfo info_;
  int steps_ = 0;
};

std::atomic<int> FakeBackend::alive = 0;

Result<MemoryPlan> plan_memory(const Model& model, const BackendOptions& options) {
  if (told("unsupported") || told("refuses") == options.choice.device)
    return fail(ErrorCode::unsupported, "the CUDA backend has no kernels for a head size of 24");
  if (told("out-of-memory")) {
    return fail(ErrorCode::out_of_memory, "80.0 GiB are needed on the device, 7.0 GiB of 8.0 GiB are free");
  }
  MemoryPlan plan;
  plan.weights = model.identity().total_bytes;
  plan.kv_cache = kGiB / 8 * options.max_sequences;
  plan.workspace = kGiB / 4096 * options.max_batch;
  plan.capture = kGiB / 4;
  plan.staging = kGiB / 8;
  plan.available = 7 * kGiB;
  plan.resident_experts = model.config().num_experts();
  if (told("plain")) plan.plain_because = "the tuned path of CUDA has no sliding windows (layer 1)";
  return plan;
}

/// Copies nothing, and tells how far it is.
Status load_weights(const MemoryPlan& plan, const OpenProgress& progress, const std::stop_token& stop) {
  const bool endless = told("endless").has_value();
  for (int part = 0; part <= 10 || endless; ++part) {
    if (stop.stop_requested()) return fail(ErrorCode::cancelled, "cancelled");
    if (progress)
      progress("loading to a GPU: " + describe(plan, BackendKind::cuda), std::min(part, 9) / 10.0);
    // Whoever waits for the mark knows that the progress has been told.
    if (const char* mark = std::getenv("EXPERTSCOPE_FAKE_CUDA_MARK"); mark != nullptr && part == 0)
      std::ofstream(mark) << "loading";
    if (endless) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    if (part == 5 && told("broken"))
      return fail(ErrorCode::device, "copying the weights: unspecified failure");
  }
  return {};
}

Result<std::unique_ptr<Backend>> make_backend(std::shared_ptr<const Model> model,
                                              const BackendOptions& options, std::string reason,
                                              const OpenProgress& progress, const std::stop_token& stop) {
  if (told("one-model") && FakeBackend::alive > 0)
    return fail(ErrorCode::out_of_memory, "the device holds another model");
  auto plan = plan_memory(*model, options);
  if (!plan) return forward_error(plan);
  if (auto loaded = load_weights(*plan, progress, stop); !loaded) return forward_error(loaded);
  auto cpu = make_cpu_backend(std::move(model), options, reason);
  if (!cpu) return forward_error(cpu);
  BackendInfo info{.kind = BackendKind::cuda,
                   .reason = std::move(reason),
                   .device = device(options.choice.device),
                   .memory = *plan};
  return std::make_unique<FakeBackend>(std::move(*cpu), std::move(info));
}

constexpr cuda::Plugin kPlugin = {FAKE_BUILD, FAKE_LAYOUT, list_devices, make_backend, plan_memory};

}  // namespace
}  // namespace expertscope::testing

extern "C" __attribute__((visibility("default"))) const expertscope::cuda::Plugin* expertscope_cuda_plugin() {
  return &expertscope::testing::kPlugin;
}
