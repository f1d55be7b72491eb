// SPDX-License-Identifier: GPL-3.0-or-later
// Which backend runs a model, and what is said about it.
#include "engine/run/backend_choice.h"
#include "engine/cpu/cpu_backend.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <utility>

#include "engine/cpu/memory_plan.h"
#include "tests/support/fake_cuda/fake_cuda.h"
#include "tests/support/random_model.h"

namespace expertscope {
namespace {

using ::testing::HasSubstr;

constexpr BackendChoice kAuto{};
constexpr BackendChoice kCpu{BackendKind::cpu, 0};
constexpr BackendChoice kCuda{BackendKind::cuda, 0};

/// A machine with GPUs on which the test decides what happens.
class Machine {
 public:
  std::vector<DeviceInfo> devices{{0, "A", "GPU-a", "9.0", "580.1", 100, 90},
                                  {1, "B", "GPU-b", "9.0", "580.1", 50, 40}};
  std::optional<Error> no_devices;
  std::optional<Error> refusal;          ///< of every device
  std::map<int, Error> device_refusals;  ///< of one
  int looked = 0;                        ///< at the devices
  std::vector<int> made;                 ///< device of every backend that was asked for
  std::vector<std::string> told{};       ///< by its progress

  GpuBackends gpu() {
    GpuBackends functions;
    functions.devices = [this]() -> Result<std::vector<DeviceInfo>> {
      ++looked;
      if (no_devices) return tl::unexpected<Error>(*no_devices);
      return devices;
    };
    functions.make = [this](std::shared_ptr<const Model> model, const BackendOptions& options,
                            const std::string& reason, const OpenProgress& progress,
                            const std::stop_token& stop) -> Result<std::unique_ptr<Backend>> {
      made.push_back(options.choice.device);
      if (stop.stop_requested()) return fail(ErrorCode::cancelled, "cancelled");
      if (refusal) return tl::unexpected<Error>(*refusal);
      const auto refused = device_refusals.find(options.choice.device);
      if (refused != device_refusals.end()) return tl::unexpected<Error>(refused->second);
      if (progress) progress("weights", 1);
      return make_cpu_backend(std::move(model), options, "GPU: " + reason);
    };
    functions.plan = [](const Model&, const BackendOptions&) -> Result<MemoryPlan> {
      MemoryPlan plan;
      plan.weights = 4711;
      return plan;
    };
    return functions;
  }
};

class BackendChoosing : public ::testing::Test {
 protected:
  BackendChoosing() { environment_.unset("EXPERTSCOPE_BACKEND"); }

  Result<std::unique_ptr<Backend>> make(const BackendChoice& choice, const std::stop_token& stop = {}) {
    BackendOptions options;
    options.choice = choice;
    options.threads = 1;
    options.max_context = 8;
    options.max_batch = 8;
    const auto progress = [this](const std::string& what, double) { machine_.told.push_back(what); };
    return make_backend(model_, options, progress, stop, machine_.gpu());
  }
  /// The reason of the backend that was made, or the error.
  std::string reason(const BackendChoice& choice) {
    const auto made = make(choice);
    return made ? (*made)->info().reason : "error: " + made.error().message;
  }
  Result<BackendDecision> decide(const BackendChoice& choice) {
    return decide_backend(choice, machine_.gpu());
  }

  testing::Environment environment_;
  Machine machine_;
  std::shared_ptr<const Model> model_ = testing::random_model(testing::tiny_config(), FormatId::f32);
};

TEST(BackendChoiceText, IsReadBackAsItIsWritten) {
  for (const BackendChoice& choice : {kAuto, kCpu, kCuda, BackendChoice{BackendKind::cuda, 13}})
    EXPECT_EQ(*parse_backend_choice(to_string(choice)), choice);
  EXPECT_EQ(to_string(kAuto), "auto");
  EXPECT_EQ(to_string(kCuda), "cuda");
  EXPECT_EQ(to_string(BackendChoice{BackendKind::cuda, 1}), "cuda:1");
  EXPECT_EQ(*parse_backend_choice("cuda:0"), kCuda);
}

TEST(BackendChoiceText, WhatIsNoBackendIsRefusedWithWhatIs) {
  for (const char* text : {"", "gpu", "CPU", "cuda:", "cuda:-1", "cuda:1x", "cuda:99999999999", "cuda 1"}) {
    const auto parsed = parse_backend_choice(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_EQ(parsed.error().code, ErrorCode::invalid_argument);
    EXPECT_THAT(parsed.error().message, HasSubstr("auto, cpu, cuda and cuda:N"));
  }
}

TEST_F(BackendChoosing, TheCpuIsAskedForWithoutALookAtTheGpus) {
  EXPECT_EQ(reason(kCpu), "asked for");
  EXPECT_EQ(machine_.looked, 0);
  EXPECT_TRUE(machine_.made.empty());
}

TEST_F(BackendChoosing, AutomaticTakesTheFirstGpu) {
  EXPECT_EQ(reason(kAuto), "GPU: automatic: the first usable GPU");
  EXPECT_EQ(machine_.made, std::vector<int>{0});
  EXPECT_EQ(machine_.told, std::vector<std::string>{"weights"});
}

TEST_F(BackendChoosing, AutomaticTakesTheCpuWhereThereIsNoGpuAndSaysWhy) {
  machine_.no_devices = Error{ErrorCode::unsupported, "no NVIDIA driver"};
  EXPECT_EQ(reason(kAuto), "no NVIDIA driver");
  EXPECT_TRUE(machine_.made.empty());
  EXPECT_EQ(gpu_refusal(kAuto, (*make(kAuto))->info(), machine_.gpu()), "") << "there is no GPU to refuse it";
}

TEST_F(BackendChoosing, AutomaticTakesTheCpuWhereTheGpuRefusesTheModelAndSaysWhy) {
  for (const ErrorCode code : {ErrorCode::unsupported, ErrorCode::out_of_memory, ErrorCode::device}) {
    machine_.refusal = Error{code, "not this one"};
    EXPECT_EQ(reason(kAuto), "not this one");
    const BackendInfo info = (*make(kAuto))->info();
    EXPECT_EQ(info.kind, BackendKind::cpu);
    EXPECT_EQ(gpu_refusal(kAuto, info, machine_.gpu()), "not this one");
    EXPECT_EQ(gpu_refusal(kCpu, info, machine_.gpu()), "");
  }
}

TEST_F(BackendChoosing, AutomaticPassesOverADeviceThatNoModelCanRunOn) {
  machine_.devices[0].problem = "too old";
  EXPECT_EQ(reason(kAuto), "GPU: automatic: the first usable GPU; cuda:0 A: too old");
  EXPECT_EQ(machine_.made, std::vector<int>{1});
  EXPECT_EQ(reason(kCuda), "error: cuda:0 A cannot be used: too old");
  machine_.devices[1].name.clear();
  machine_.devices[1].problem = "it fell off the bus";
  EXPECT_EQ(reason(kAuto), "cuda:0 A: too old; cuda:1: it fell off the bus");
  EXPECT_EQ(gpu_refusal(kAuto, (*make(kAuto))->info(), machine_.gpu()),
            "cuda:0 A: too old; cuda:1: it fell off the bus");
  machine_.devices[0].problem.clear();
  EXPECT_EQ(reason(kAuto), "GPU: automatic: the first usable GPU") << "the second one hides nothing";
}

TEST_F(BackendChoosing, AutomaticTriesTheNextGpuBeforeTheCpu) {
  machine_.device_refusals = {{0, {ErrorCode::unsupported, "no kernels"}}};
  EXPECT_EQ(reason(kAuto), "GPU: automatic: the first usable GPU; cuda:0 A: no kernels");
  EXPECT_EQ(machine_.made, (std::vector<int>{0, 1}));
  machine_.device_refusals[1] = {ErrorCode::out_of_memory, "too small"};
  EXPECT_EQ(reason(kAuto), "cuda:0 A: no kernels; cuda:1 B: too small");
  EXPECT_EQ(reason(kCuda), "error: no kernels") << "who asks for one device does not get another";
}

TEST_F(BackendChoosing, WhatIsNotTheGpusFaultIsNotTriedOnTheCpu) {
  machine_.refusal = Error{ErrorCode::io, "the weights cannot be read"};
  EXPECT_EQ(reason(kAuto), "error: the weights cannot be read");
  machine_.refusal.reset();
  std::stop_source stopped;
  stopped.request_stop();
  EXPECT_EQ(make(kAuto, stopped.get_token()).error().code, ErrorCode::cancelled);
}

TEST_F(BackendChoosing, AGpuThatWasAskedForRunsOrFails) {
  EXPECT_EQ(reason({BackendKind::cuda, 1}), "GPU: asked for");
  EXPECT_EQ(machine_.made, std::vector<int>{1});
  machine_.refusal = Error{ErrorCode::out_of_memory, "too large"};
  EXPECT_EQ(reason(kCuda), "error: too large");
  machine_.no_devices = Error{ErrorCode::unsupported, "no NVIDIA driver"};
  EXPECT_EQ(reason(kCuda), "error: no NVIDIA driver");
}

TEST_F(BackendChoosing, ADeviceThatDoesNotExistIsRefusedWithThoseThatDo) {
  EXPECT_EQ(reason({BackendKind::cuda, 2}), "error: there is no device cuda:2; there is cuda:0 A, cuda:1 B");
}

TEST_F(BackendChoosing, TheEnvironmentDecidesWhereNobodyDid) {
  environment_.set("EXPERTSCOPE_BACKEND", "cpu");
  EXPECT_EQ(reason(kAuto), "asked for by EXPERTSCOPE_BACKEND");
  EXPECT_EQ(machine_.looked, 0);
  EXPECT_EQ(reason(kCuda), "GPU: asked for");
  environment_.set("EXPERTSCOPE_BACKEND", "cuda:1");
  EXPECT_EQ(reason(kAuto), "GPU: asked for by EXPERTSCOPE_BACKEND");
  machine_.refusal = Error{ErrorCode::out_of_memory, "too large"};
  EXPECT_EQ(reason(kAuto), "error: too large") << "who asks for the GPU does not get the CPU";
  environment_.set("EXPERTSCOPE_BACKEND", "quantum");
  EXPECT_THAT(reason(kAuto), HasSubstr("EXPERTSCOPE_BACKEND: there is no backend 'quantum'"));
  EXPECT_EQ(reason(kCpu), "asked for") << "nobody asks it then";
  environment_.set("EXPERTSCOPE_BACKEND", "");
  machine_.refusal.reset();
  EXPECT_EQ(reason(kAuto), "GPU: automatic: the first usable GPU");
}

TEST_F(BackendChoosing, ADecisionNamesTheDevice) {
  const auto second = decide({BackendKind::cuda, 1});
  ASSERT_TRUE(second);
  EXPECT_EQ(second->device.uuid, "GPU-b");
  EXPECT_FALSE(second->automatic);
  const auto first = decide(kAuto);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->choice, kCuda);
  EXPECT_TRUE(first->automatic);
  EXPECT_EQ(decide(kCpu)->device.name, "");
}

TEST_F(BackendChoosing, MemoryIsPlannedByTheBackendThatWouldTakeIt) {
  BackendOptions options;
  options.choice = kCuda;
  EXPECT_EQ(plan_memory(*model_, options, machine_.gpu())->weights, 4711);
  options.choice = kCpu;
  options.max_context = 8;
  options.max_batch = 8;
  const MemoryPlan plan = *plan_memory(*model_, options, machine_.gpu());
  EXPECT_EQ(plan.resident_experts, model_->config().num_experts());
  const ModelConfig& config = model_->config();
  EXPECT_EQ(plan.kv_cache, std::int64_t{2} * config.num_layers() * config.widest().key_width * 8 * 2);
  EXPECT_GT(plan.workspace, 0);
  const auto backend = make(kCpu);
  EXPECT_EQ((*backend)->info().memory.kv_cache, plan.kv_cache);
  EXPECT_EQ((*backend)->info().memory.workspace, plan.workspace);
}

}  // namespace
}  // namespace expertscope
