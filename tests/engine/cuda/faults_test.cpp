// SPDX-License-Identifier: GPL-3.0-or-later
// A GPU that is not there, too old, full, or gone in the middle of something: a clear error, and nothing that
// stays behind.
#include <gmock/gmock.h>

#include "engine/cuda/cuda_backend.h"
#include "engine/cuda/runtime/device.h"
#include "tests/engine/cuda/backend_fixture.h"
#include "tests/support/recycler.h"

namespace expertscope::cuda {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;

class Faults : public ::testing::Test {
 protected:
  static std::shared_ptr<const Model> model() {
    static const auto shared = make_model(odd_config(), {FormatId::bf16});
    return shared;
  }
  static BackendOptions options() { return small_options(MathMode::f32); }

  /// The error of opening; it must leave nothing.
  static Error error_of_opening() {
    auto session = open_cuda(model(), options());
    EXPECT_FALSE(session);
    Error error = session ? Error{ErrorCode::io, "opened"} : session.error();
    session = fail(ErrorCode::io, "gone");
    EXPECT_EQ(simt::alive(), simt::Alive{}) << error.message;
    return error;
  }

  simt::Emulation emulation_;
};

TEST_F(Faults, WithoutADriverThereIsNoDevice) {
  simt::reset({.driver_version = 0});
  const auto devices = list_devices();
  if (devices) {
    EXPECT_TRUE(devices->empty());
  }
  EXPECT_THAT(error_of_opening().code, AnyOf(ErrorCode::invalid_argument, ErrorCode::unsupported));
}

TEST_F(Faults, ADriverThatIsTooOldIsNamedWithBothVersions) {
  simt::reset({.driver_version = 11040});
  const auto devices = list_devices();
  ASSERT_FALSE(devices);
  EXPECT_EQ(devices.error().code, ErrorCode::unsupported);
  EXPECT_THAT(devices.error().message, AllOf(HasSubstr("CUDA 11.4"), HasSubstr("or newer")));
  EXPECT_EQ(error_of_opening().code, ErrorCode::unsupported);
}

TEST_F(Faults, NoDeviceAndADeviceThatIsNotThere) {
  simt::reset({.devices = 0});
  ASSERT_TRUE(list_devices());
  EXPECT_TRUE(list_devices()->empty());
  EXPECT_THAT(error_of_opening().message, HasSubstr("there is no GPU 0: none can be used"));
  simt::reset({.devices = 2});
  EXPECT_EQ(list_devices()->size(), 2u);
  for (const int index : {-1, 2}) {
    BackendOptions options = this->options();
    options.choice.device = index;
    const auto session = open_cuda(model(), options);
    ASSERT_FALSE(session);
    EXPECT_EQ(session.error().code, ErrorCode::invalid_argument);
    EXPECT_THAT(session.error().message, HasSubstr("2 (0 to 1)"));
    const auto plan = plan_memory(*model(), options);
    ASSERT_FALSE(plan);
    EXPECT_EQ(plan.error().code, ErrorCode::invalid_argument) << plan.error().message;
  }
}

TEST_F(Faults, ACardThatCannotBeDescribedDoesNotHideTheOthers) {
  simt::reset({.devices = 3});
  simt::fail_call("cudaGetDeviceProperties", 2, cudaErrorUnknown);
  const auto listed = list_devices();
  ASSERT_TRUE(listed);
  const std::vector<DeviceInfo>& devices = *listed;
  ASSERT_EQ(devices.size(), 3u);
  EXPECT_EQ(devices[0].problem, "");
  EXPECT_THAT(devices[1].problem, HasSubstr("describing the GPU failed"));
  EXPECT_EQ(devices[1].index, 1);
  EXPECT_EQ(devices[2].problem, "");
  EXPECT_EQ(devices[2].name, "Emulated GPU");
}

TEST_F(Faults, ACardOlderThanTheKernelsIsRefused) {
  simt::reset({.compute_major = 7, .compute_minor = 5});
  EXPECT_EQ(list_devices()->front().problem, "compute capability 7.5; 8.0 or newer is needed");
  const Error error = error_of_opening();
  EXPECT_EQ(error.code, ErrorCode::unsupported);
  EXPECT_THAT(error.message, HasSubstr("compute capability 7.5; 8.0 or newer"));
}

TEST_F(Faults, ACardThatTheBuildHasNoKernelsForIsRefusedBeforeWeightsAreLoaded) {
  for (const cudaError_t code : {cudaErrorNoKernelImageForDevice, cudaErrorInvalidDeviceFunction}) {
    simt::reset({.name = "Emulated B200", .compute_major = 10});
    simt::fail_call("cudaFuncGetAttributes", 1, code);
    const Error error = error_of_opening();
    EXPECT_EQ(error.code, ErrorCode::unsupported);
    EXPECT_THAT(error.message,
                HasSubstr("Emulated B200 has compute capability 10.0, and this build has no kernels"));
    EXPECT_EQ(simt::calls("cudaMalloc") + simt::calls("cudaHostAlloc"), 0);
    EXPECT_EQ(cudaPeekAtLastError(), cudaSuccess) << "the next call would return it";
  }
  simt::reset();
  simt::fail_call("cudaFuncGetAttributes", 1, cudaErrorUnsupportedPtxVersion);
  EXPECT_THAT(error_of_opening().message, HasSubstr("driver is too old to translate"));
}

TEST_F(Faults, AfterAFaultOfAKernelTheProgramHasToBeStartedAgain) {
  constexpr const char* kAgain = "; start the program again to use the GPU";
  for (const cudaError_t lasting : {cudaErrorIllegalAddress, cudaErrorLaunchFailure, cudaErrorAssert}) {
    simt::reset({.print_failures = false});
    {
      const auto session = must(open_cuda(model(), options()));
      simt::lose_device(lasting);
      const auto output = session->run(next_batch(*session, {{0, 3}}));
      ASSERT_FALSE(output);
      EXPECT_THAT(output.error().message, Not(HasSubstr(kAgain)));
    }
    const auto session = open_cuda(model(), options());
    ASSERT_FALSE(session);
    EXPECT_EQ(session.error().code, ErrorCode::device);
    EXPECT_THAT(session.error().message, EndsWith(kAgain));
  }
  simt::reset();
  simt::fail_call("cudaSetDevice", 1, cudaErrorUnknown);
  EXPECT_THAT(error_of_opening().message, Not(HasSubstr(kAgain))) << "which may be over next time";
}

TEST_F(Faults, TheSecondDeviceRunsLikeTheFirst) {
  simt::reset({.devices = 2});
  const std::vector<Counts> steps = {{{0, 5}}, {{0, 1}}};
  const auto first = must(open_cuda(model(), options()));
  BackendOptions second = options();
  second.choice.device = 1;
  const auto session = must(open_cuda(model(), second));
  expect_identical(watch(*session, steps, parity::all_probes()), watch(*first, steps, parity::all_probes()));
  EXPECT_EQ(session->backend_info().device.index, 1);
}

/// Whatever call of opening fails, first, second, ... until none is left to fail.
class OpeningFails : public Faults, public ::testing::WithParamInterface<const char*> {};

TEST_P(OpeningFails, AtEveryCallOfAFunctionWithAnErrorAndNothingLeft) {
  const std::string function = GetParam();
  const bool memory = function == "cudaMalloc" || function == "cudaHostAlloc";
  const MathMode math = function.starts_with("cublas") ? MathMode::bf16 : MathMode::f32;
  const cudaError_t error = memory ? cudaErrorMemoryAllocation : cudaErrorUnknown;
  int failed = 0;
  for (int nth = 1;; ++nth) {
    simt::reset();
    simt::fail_call(function, nth, error);
    auto session = open_cuda(model(), small_options(math));
    if (session) break;
    ++failed;
    SCOPED_TRACE(function + " " + std::to_string(nth) + ": " + session.error().message);
    EXPECT_EQ(session.error().code, memory ? ErrorCode::out_of_memory : ErrorCode::device);
    EXPECT_FALSE(session.error().message.empty());
    if (memory) {
      EXPECT_THAT(session.error().message, HasSubstr("needs"));
    }
    EXPECT_EQ(simt::alive(), simt::Alive{});
  }
  EXPECT_GT(failed, 0) << function << " is not called";
}

INSTANTIATE_TEST_SUITE_P(Functions, OpeningFails,
                         ::testing::Values("cudaMalloc", "cudaHostAlloc", "cudaStreamCreateWithFlags",
                                           "cudaEventCreateWithFlags", "cudaMemcpyAsync", "cudaMemsetAsync",
                                           "cudaStreamSynchronize", "cudaMemGetInfo", "cudaSetDevice",
                                           "cudaGetDeviceProperties", "cudaFuncGetAttributes",
                                           "cudaEventRecord", "cublasCreate", "cublasSetStream",
                                           "cublasSetWorkspace"),
                         [](const auto& test) { return std::string(test.param); });

/// A prompt and two decode steps with all probes: one call of `function` in them fails.
class StepFails : public Faults, public ::testing::WithParamInterface<const char*> {};

TEST_P(StepFails, AtSeveralCallsWithAnErrorAndGoesOnAfterIt) {
  const std::string function = GetParam();
  const BackendOptions math = small_options(function.starts_with("cublas") ? MathMode::bf16 : MathMode::f32);
  const std::vector<Counts> steps = {{{0, 5}}, {{0, 1}}, {{0, 1}, {1, 1}}};
  const Watched expected = watch(*must(open_cuda(model(), math)), steps, parity::all_probes());
  for (const int nth : {1, 2, 3, 7, 16, 33, 47}) {
    SCOPED_TRACE(function + " " + std::to_string(nth));
    testing::Recycler sink;  // before the session, which points at it
    const auto session = must(open_cuda(model(), math));
    session->set_capture(parity::all_probes(), &sink);
    simt::fail_call(function, nth, cudaErrorUnknown);
    int failed = 0;
    for (const Counts& counts : steps) {
      const auto output = session->run(next_batch(*session, counts));
      if (output) continue;
      ++failed;
      EXPECT_EQ(output.error().code, ErrorCode::device);
      EXPECT_THAT(output.error().message, HasSubstr("failed on the GPU"));
      ASSERT_TRUE(session->run(next_batch(*session, counts))) << "the failure was one of a kind";
    }
    if (failed == 0 && nth > 1) break;  // there are fewer calls
    EXPECT_EQ(failed, 1);
    for (const int sequence : {0, 1})
      ASSERT_TRUE(session->truncate(sequence, 0));
    expect_identical(watch(*session, steps, parity::all_probes()), expected);
  }
}

INSTANTIATE_TEST_SUITE_P(Functions, StepFails,
                         ::testing::Values("cudaLaunchKernelEx", "cudaMemcpyAsync", "cudaMemsetAsync",
                                           "cudaStreamSynchronize", "cudaGraphLaunch", "cudaSetDevice",
                                           "cudaEventRecord", "cudaStreamWaitEvent", "cudaEventSynchronize",
                                           "cublasGemmEx"),
                         [](const auto& test) { return std::string(test.param); });

TEST_F(Faults, AStepThatCannotBeRecordedRunsWithoutAGraphAndSoDoThoseAfterIt) {
  const std::vector<Counts> steps = {{{0, 5}}, {{0, 1}}, {{0, 1}}};
  const Watched expected = watch(*must(open_cuda(model(), options())), steps, parity::all_probes());
  for (const char* function : {"cudaStreamBeginCapture", "cudaGraphInstantiate"}) {
    SCOPED_TRACE(function);
    simt::reset();
    const auto session = must(open_cuda(model(), options()));
    simt::fail_call(function, 1, cudaErrorMemoryAllocation);
    expect_identical(watch(*session, steps, parity::all_probes()), expected);
    EXPECT_EQ(simt::calls("cudaGraphLaunch"), 0);
    EXPECT_EQ(cudaPeekAtLastError(), cudaSuccess) << "the next call would return it";
  }
}

TEST_F(Faults, ADeviceThatIsLostInAStepIsAnErrorOfEveryStepAfterIt) {
  for (const char* function : {"", "cudaMemcpyAsync", "cudaStreamSynchronize", "cudaGraphLaunch"}) {
    for (const int nth : {1, 4, 11}) {
      SCOPED_TRACE(std::string(function) + " " + std::to_string(nth));
      simt::reset({.print_failures = false});
      auto session = must(open_cuda(model(), options()));
      simt::fail_call(function, nth, cudaErrorDeviceUninitialized, true);
      Status last;
      for (int step = 0; step < 12 && last; ++step) {
        const auto output = session->run(next_batch(*session, {{0, step == 0 ? 3 : 1}}));
        if (!output) last = forward_error(output);
      }
      ASSERT_FALSE(last);
      EXPECT_EQ(last.error().code, ErrorCode::device);
      EXPECT_FALSE(session->run(next_batch(*session, {{0, 1}})));
      session.reset();  // what the runtime refuses to free is gone with the device
    }
  }
}

/// What a kernel does wrong shows later, at a wait: then the layer is the one the device told of.
TEST_F(Faults, AnErrorThatShowsAtAWaitTellsTheLayerThatHadBegun) {
  for (const int tokens : {3, 1}) {
    auto session = must(open_cuda(model(), options()));
    simt::fail_call("cudaStreamSynchronize", 1, cudaErrorIllegalAddress);
    const auto output = session->run(next_batch(*session, {{0, tokens}}));
    ASSERT_FALSE(output);
    EXPECT_THAT(output.error().message, HasSubstr(" (it had begun layer 1)"));
  }
}

TEST_F(Faults, TheErrorOfALaunchNamesOperationAndLayer) {
  std::vector<std::string> messages;
  for (int nth = 1; nth <= 40; ++nth) {
    auto session = must(open_cuda(model(), options()));
    simt::fail_call("cudaLaunchKernelEx", nth, cudaErrorLaunchFailure);
    const auto output = session->run(next_batch(*session, {{0, 3}}));
    simt::reset();
    if (output) break;
    messages.push_back(output.error().message);
  }
  for (const char* place : {"embed failed", "layer 0, attention failed", "layer 1, router failed",
                            "layer 1, moe failed", "head failed", "checking the logits failed"})
    EXPECT_THAT(messages, ::testing::Contains(HasSubstr(place)));
}

TEST_F(Faults, ACaptureBufferThatFindsNoRoomCostsAStepAndNothingElse) {
  for (const char* function : {"cudaMalloc", "cudaHostAlloc"}) {
    SCOPED_TRACE(function);
    auto session = must(open_cuda(model(), options()));
    const auto whole = must(open_cuda(model(), options()));
    const std::vector<Counts> steps = {{{0, 5}}, {{0, 1}}};
    class Sink final : public CaptureSink {
      std::unique_ptr<CaptureBlock> acquire() override { return std::make_unique<CaptureBlock>(); }
      Status deliver(std::unique_ptr<CaptureBlock>) override { return {}; }
    } sink;
    session->set_capture(parity::all_probes(), &sink);
    simt::fail_call(function, 1, cudaErrorMemoryAllocation);
    const auto output = session->run(next_batch(*session, {{0, 5}}));
    ASSERT_FALSE(output);
    EXPECT_EQ(output.error().code, ErrorCode::out_of_memory);
    EXPECT_THAT(output.error().message, AllOf(HasSubstr("the capture buffer"), HasSubstr("needs")));
    expect_identical(watch(*session, steps, parity::all_probes()),
                     watch(*whole, steps, parity::all_probes()));
  }
}

/// NaN in a weight: both backends say the same.
class Damaged : public Faults, public ::testing::WithParamInterface<int> {};

TEST_P(Damaged, WeightsAreExplainedAsByTheCpu) {
  const auto damage = [&](Weights& w) {
    LayerWeights& layer = w.layers[1];
    const Matrix targets[] = {w.embed_tokens,
                              layer.q_proj,
                              layer.o_proj,
                              layer.router,
                              layer.experts[3].gate_proj,
                              layer.experts[3].down_proj,
                              w.lm_head};
    const Matrix& target = targets[GetParam()];
    for (std::int64_t row = 0; row < target.rows; ++row)
      static_cast<float*>(const_cast<void*>(target.data))[row * target.cols + 1] =
          std::numeric_limits<float>::quiet_NaN();
  };
  const auto damaged = make_model(odd_config(), {FormatId::f32}, damage);
  for (const LogitsWanted wanted : {LogitsWanted::all, LogitsWanted::candidates, LogitsWanted::log_probs}) {
    std::vector<std::string> messages;
    for (const bool on_cpu : {false, true}) {
      const auto session = must(on_cpu ? open_cpu(damaged, options()) : open_cuda(damaged, options()));
      std::string told;
      for (const int count : {30, 1, 1, 1, 1}) {
        Batch batch = next_batch(*session, {{0, count}}, wanted);
        batch.candidates = 3;
        batch.targets.assign(wanted == LogitsWanted::log_probs ? batch.tokens.size() : 0, 2);
        const auto output = session->run(std::move(batch));
        if (output) continue;
        told = output.error().message;
        EXPECT_EQ(output.error().code, ErrorCode::format);
        break;
      }
      messages.push_back(told);
    }
    EXPECT_FALSE(messages[0].empty());
    EXPECT_EQ(messages[0], messages[1]);
  }
}

INSTANTIATE_TEST_SUITE_P(Weights, Damaged, ::testing::Range(0, 7));

TEST_F(Faults, ADecodeStepExplainsNanToo) {
  const auto damaged = make_model(odd_config(), {FormatId::f32}, [](Weights& w) {
    // One id is damaged; a prompt without it passes.
    static_cast<float*>(const_cast<void*>(w.embed_tokens.data))[52 * 37] =
        std::numeric_limits<float>::infinity();
  });
  const auto session = must(open_cuda(damaged, options()));
  ASSERT_TRUE(session->prefill(0, std::vector<std::int32_t>{1, 2, 3}));
  const auto bad = session->prefill(0, std::vector<std::int32_t>{52});
  ASSERT_FALSE(bad);
  EXPECT_THAT(bad.error().message, AllOf(HasSubstr("the embedding"), HasSubstr("embed_tokens")));
  EXPECT_EQ(session->length(0), 3);
  EXPECT_TRUE(session->prefill(0, std::vector<std::int32_t>{4})) << "the next step is sound again";
}

}  // namespace
}  // namespace expertscope::cuda
