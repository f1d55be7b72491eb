// SPDX-License-Identifier: GPL-3.0-or-later
// The way of weights to the device, and the plan that is made before it.
#include <gmock/gmock.h>

#include <cstring>
#include <limits>
#include <numeric>

#include "engine/cuda/cuda_backend.h"
#include "engine/cuda/weights/memory_plan.h"
#include "engine/cuda/weights/weight_stream.h"
#include "engine/half.h"
#include "tests/engine/cuda/backend_fixture.h"
#include "tests/simt/testing.h"
#include "tests/support/random_model.h"
#include "tests/support/stored_weights.h"

namespace expertscope::cuda {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::uint8_t> bytes_of(const std::vector<float>& values) {
  std::vector<std::uint8_t> bytes(values.size() * sizeof(float));
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

TEST(ConvertRows, WidensToF32AndFillsThePadding) {
  const std::vector<std::uint16_t> halves = {f32_to_bf16(1), f32_to_bf16(-2), f32_to_bf16(3),
                                             f32_to_bf16(4), f32_to_bf16(5),  f32_to_bf16(6)};
  const WeightCopy copy{{halves.data(), &weight_format(FormatId::bf16), 2, 3}, DeviceType::f32, 8, 0};
  std::vector<std::uint8_t> to(2 * 8 * 4, 0xff);
  convert_rows(copy, 0, 2, to.data());
  EXPECT_EQ(to, bytes_of({1, -2, 3, 0, 0, 0, 0, 0, 4, 5, 6, 0, 0, 0, 0, 0}));
}

TEST(ConvertRows, KeepsTheBitsOfItsOwnType) {
  const std::vector<std::uint16_t> halves = {0x7fc1, 0x0001, 0xff80};  // NaN with a payload, subnormal, -inf
  const WeightCopy copy{{halves.data(), &weight_format(FormatId::bf16), 3, 1}, DeviceType::bf16, 8, 0};
  std::vector<std::uint16_t> to(2 * 8, 0xffff);
  convert_rows(copy, 1, 2, reinterpret_cast<std::uint8_t*>(to.data()));
  EXPECT_THAT(to, ElementsAre(0x0001, 0, 0, 0, 0, 0, 0, 0, 0xff80, 0, 0, 0, 0, 0, 0, 0));
}

TEST(ConvertRows, WidensF16SubnormalsToo) {
  const std::vector<std::uint16_t> halves = {0x0001, 0x3c00, 0xfc00};
  const WeightCopy copy{{halves.data(), &weight_format(FormatId::f16), 1, 3}, DeviceType::f32, 8, 0};
  std::vector<float> to(8);
  convert_rows(copy, 0, 1, reinterpret_cast<std::uint8_t*>(to.data()));
  EXPECT_EQ(to[0], std::ldexp(1.0f, -24));
  EXPECT_EQ(to[1], 1.0f);
  EXPECT_EQ(to[2], -std::numeric_limits<float>::infinity());
}

TEST(ConvertRows, WidensFormatsThatNoKernelReads) {
  std::vector<float> values(2 * 64);
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = 0.37f * static_cast<float>(i % 29) - 4;
  const Matrix plain{values.data(), &weight_format(FormatId::f32), 2, 64};
  std::vector<std::uint8_t> blocks(2 * 2 * 34), data, scales;
  testing::store_values(values.data(), values.size(), FormatId::q8_0, blocks.data());
  for (const Matrix& source : {Matrix{blocks.data(), &weight_format(FormatId::q8_0), 2, 64},
                               testing::store_planed(plain, data, scales)}) {
    std::vector<float> exact(72), f32(72);
    source.dequantise(1, 0, 64, exact.data());
    convert_rows({source, DeviceType::f32, 72, 0}, 1, 1, reinterpret_cast<std::uint8_t*>(f32.data()));
    EXPECT_EQ(f32, exact);
    std::vector<std::uint16_t> bf16(72, 0xffff), rounded;
    convert_rows({source, DeviceType::bf16, 72, 0}, 1, 1, reinterpret_cast<std::uint8_t*>(bf16.data()));
    for (const float value : exact)
      rounded.push_back(f32_to_bf16(value));
    EXPECT_EQ(bf16, rounded);
  }
}

TEST(WeightLayout, CountsBlocksAsWhatTheyAreOnTheDevice) {
  const auto bytes = [](FormatId format, MathMode math) {
    const auto model = testing::random_model(testing::tiny_config(), format);
    const WeightLayout layout(model->config(), model->weights(), math);
    return std::pair(layout.shared_bytes(), layout.expert_bytes());
  };
  EXPECT_EQ(bytes(FormatId::q8_0, MathMode::f32), bytes(FormatId::f32, MathMode::f32));
  EXPECT_EQ(bytes(FormatId::q8_0, MathMode::bf16), bytes(FormatId::bf16, MathMode::bf16));
}

class Transfer : public ::testing::Test {
 protected:
  simt::Emulation emulation_;
};

TEST_F(Transfer, SendsMoreRowsThanABufferHolds) {
  std::vector<float> values(11 * 5);
  std::iota(values.begin(), values.end(), 1.0f);
  const std::vector<WeightCopy> copies = {
      {{values.data(), &weight_format(FormatId::f32), 11, 5}, DeviceType::f32, 8, 0},
      {{values.data(), &weight_format(FormatId::f32), 1, 8}, DeviceType::f32, 8, 11 * 32}};
  for (const std::size_t buffer : {32, 33, 64, 100, 4096}) {
    for (const simt::Async async : {simt::Async::late, simt::Async::random, simt::Async::eager}) {
      simt::change_schedule(simt::Order::forward, async);
      Stream stream;
      ASSERT_TRUE(stream.create());
      simt::Array<std::uint8_t> device(12 * 32);
      std::size_t told = 0;
      WeightStream transfer(stream.get(), [&](std::size_t bytes) { told += bytes; }, {});
      ASSERT_TRUE(transfer.create(buffer));
      ASSERT_TRUE(transfer.run(copies, device.data()));
      ASSERT_TRUE(transfer.finish());
      EXPECT_EQ(told, 12u * 32);
      std::vector<float> expected;
      for (std::size_t r = 0; r < 11; ++r) {
        expected.insert(expected.end(), values.begin() + static_cast<std::ptrdiff_t>(5 * r),
                        values.begin() + static_cast<std::ptrdiff_t>(5 * r + 5));
        expected.insert(expected.end(), 3, 0.0f);
      }
      expected.insert(expected.end(), values.begin(), values.begin() + 8);
      EXPECT_EQ(device.read(), bytes_of(expected)) << "buffers of " << buffer;
    }
  }
}

TEST_F(Transfer, RefusesARowThatNoBufferHolds) {
  const std::vector<float> values(16);
  Stream stream;
  ASSERT_TRUE(stream.create());
  simt::Array<std::uint8_t> device(64);
  WeightStream transfer(stream.get(), {}, {});
  ASSERT_TRUE(transfer.create(60));
  const Status ok = transfer.run(
      {{{values.data(), &weight_format(FormatId::f32), 1, 16}, DeviceType::f32, 16, 0}}, device.data());
  ASSERT_FALSE(ok);
  EXPECT_THAT(ok.error().message, HasSubstr("a row of weights takes"));
}

class Loading : public ::testing::Test {
 protected:
  simt::Emulation emulation_;
};

TEST_F(Loading, TellsThePlanFirstAndProgressThatOnlyGrowsUpToOne) {
  for (const bool resident : {true, false}) {
    const auto model = make_model(odd_config(), {FormatId::bf16, FormatId::f32});
    BackendOptions options = small_options(MathMode::bf16);
    if (!resident) {
      const auto all = plan_memory(*model, options);
      ASSERT_TRUE(all);
      options.device_memory = kReservedBytes + all->device_total() - 1;
    }
    const auto plan = plan_memory(*model, options);
    ASSERT_TRUE(plan);
    std::vector<double> told;
    const auto session = must(open_cuda(model, options, [&](const std::string& what, double part) {
      EXPECT_THAT(what, AllOf(HasSubstr("loading to "), HasSubstr(describe(*plan, BackendKind::cuda))));
      told.push_back(part);
    }));
    ASSERT_FALSE(told.empty());
    EXPECT_TRUE(std::is_sorted(told.begin(), told.end()));
    EXPECT_EQ(told.front(), 0) << "before anything is loaded";
    EXPECT_LE(told.back(), 1);
    EXPECT_GT(told.back(), 0.8) << "padding aside, all of it";
  }
}

TEST_F(Loading, StopsWhenToldToAndLeavesNothing) {
  const auto model = make_model(odd_config());
  for (const int after : {0, 1, 5, 20, 40}) {
    std::stop_source stop;
    int told = 0;
    if (after == 0) stop.request_stop();
    const auto session = open_cuda(
        model, small_options(MathMode::f32),
        [&](const std::string&, double) {
          if (++told == after) stop.request_stop();
        },
        stop.get_token());
    ASSERT_FALSE(session) << after;
    EXPECT_EQ(session.error().code, ErrorCode::cancelled);
    EXPECT_EQ(simt::alive(), simt::Alive{});
  }
}

class Plan : public ::testing::TestWithParam<std::tuple<MathMode, bool>> {
 protected:
  simt::Emulation emulation_;
};

TEST_P(Plan, AddsUpToWhatIsReallyTaken) {
  const auto [math, resident] = GetParam();
  const auto model = make_model(odd_config(), {FormatId::bf16, FormatId::f32, FormatId::f16});
  BackendOptions options = small_options(math);
  if (!resident) options.device_memory = kReservedBytes + plan_memory(*model, options)->device_total() - 1;
  const auto session = must(open_cuda(model, options));
  const MemoryPlan& plan = session->backend_info().memory;
  EXPECT_EQ(plan.expert_cache > 0, !resident);
  EXPECT_EQ(plan.host_weights > 0, !resident);
  // The capture buffer comes with the first step that has probes.
  const auto taken = static_cast<std::int64_t>(simt::alive().device_bytes);
  EXPECT_EQ(taken, plan.device_total() - plan.capture);
  watch(*session, {{{0, 48}}}, CaptureRequest::standard());
  const auto with_probes = static_cast<std::int64_t>(simt::alive().device_bytes);
  EXPECT_LE(with_probes, plan.device_total() + 11 * 16);
  EXPECT_GT(with_probes, taken);
}

INSTANTIATE_TEST_SUITE_P(Modes, Plan,
                         ::testing::Combine(::testing::Values(MathMode::f32, MathMode::bf16),
                                            ::testing::Bool()),
                         [](const auto& test) {
                           return std::string(std::get<0>(test.param) == MathMode::f32 ? "f32" : "bf16") +
                                  (std::get<1>(test.param) ? "_resident" : "_cached");
                         });

TEST_F(Loading, OutOfMemorySaysWhatIsNeededAndFreeBeforeAnythingIsTaken) {
  const auto model = make_model(odd_config());
  BackendOptions options = small_options(MathMode::f32);
  options.device_memory = 1 << 20;
  const auto small = open_cuda(model, options);
  ASSERT_FALSE(small);
  EXPECT_EQ(small.error().code, ErrorCode::out_of_memory);
  EXPECT_THAT(small.error().message, AllOf(HasSubstr("of GPU memory are needed"),
                                           HasSubstr("1.0 MiB are free"), HasSubstr("KV cache")));
  simt::reset({.memory = std::size_t{100} << 20});
  const auto little = open_cuda(model, small_options(MathMode::f32));
  ASSERT_FALSE(little);
  EXPECT_EQ(little.error().code, ErrorCode::out_of_memory);
  EXPECT_THAT(little.error().message, HasSubstr("100.0 MiB are free"));
  EXPECT_EQ(simt::calls("cudaMalloc"), 0);
  EXPECT_EQ(simt::alive(), simt::Alive{});
}

TEST_F(Loading, SizesWhoseBytesOverflowAreOutOfMemory) {
  ModelShape config = odd_config();
  config.max_position_embeddings = std::numeric_limits<int>::max();
  BackendOptions options = small_options(MathMode::f32);
  options.max_context = options.max_sequences = options.max_batch = std::numeric_limits<int>::max();
  const auto backend = make_cuda_backend(make_model(config), options, "test", {}, {});
  ASSERT_FALSE(backend);
  EXPECT_EQ(backend.error().code, ErrorCode::out_of_memory);
}

TEST_F(Loading, OptionsThatMakeNoSenseAreRefused) {
  for (int BackendOptions::*const field :
       {&BackendOptions::max_context, &BackendOptions::max_batch, &BackendOptions::max_sequences}) {
    BackendOptions options = small_options(MathMode::f32);
    options.*field = 0;
    const auto backend = make_cuda_backend(make_model(odd_config()), options, "test", {}, {});
    ASSERT_FALSE(backend);
    EXPECT_EQ(backend.error().code, ErrorCode::invalid_argument);
  }
}

TEST_F(Loading, TheBackendSaysWhatRunsAndWhy) {
  const auto session = must(open_cuda(make_model(odd_config()), small_options(MathMode::bf16)));
  const BackendInfo& info = session->backend_info();
  EXPECT_EQ(info.kind, BackendKind::cuda);
  EXPECT_EQ(info.reason, "emulated");
  EXPECT_EQ(info.device.name, "Emulated GPU");
  EXPECT_EQ(info.device.compute_capability, "9.0");
  EXPECT_THAT(info.device.uuid, ::testing::StartsWith("GPU-"));
  EXPECT_THAT(info.device.driver, HasSubstr("CUDA 13.0"));
  EXPECT_EQ(session->backend_description(), "CUDA bf16 (Emulated GPU)");
}

TEST_F(Loading, ABackendLeavesNothing) {
  {
    const auto session = must(open_cuda(make_model(odd_config()), small_options(MathMode::f32)));
    watch(*session, all_kinds_of_steps(), parity::all_probes());
  }
  EXPECT_EQ(simt::alive(), simt::Alive{});
}

}  // namespace
}  // namespace expertscope::cuda
