// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "engine/cuda/device_type.h"
#include "engine/cuda/runtime/queue.h"
#include "engine/half.h"
#include "tests/simt/testing.h"

/// What the tests of single kernels share. Include it before a kernel's header: the library under test holds
/// the kernels as well, so those of a test are its own.
#undef __global__
#define __global__ [[maybe_unused]] static

namespace expertscope::cuda {

using simt::Array;
using simt::random_floats;

/// Threads and blocks in another order from launch to launch, as long as it lives.
class NextOrder {
 public:
  NextOrder() {
    static std::uint64_t launches = 0;
    constexpr simt::Order kOrders[] = {simt::Order::forward, simt::Order::reverse, simt::Order::random};
    ++launches;
    simt::change_schedule(kOrders[launches % 3], simt::Async::late, launches);
  }
  ~NextOrder() { simt::change_schedule(simt::Order::forward, simt::Async::late); }
  NextOrder(const NextOrder&) = delete;
  NextOrder& operator=(const NextOrder&) = delete;
};

/// Runs a kernel at once. A fault of it (a missing barrier, a read outside an allocation) fails the test.
template <class... Parameters, class... Arguments>
void run(void (*kernel)(Parameters...), const Shape& shape, Arguments&&... arguments) {
  const NextOrder order;
  Queue queue(nullptr);
  queue.enter("a kernel");
  queue.launch(kernel, shape, std::forward<Arguments>(arguments)...);
  queue.wait();
  const Status ok = queue.take_status();
  ASSERT_TRUE(ok) << ok.error().message << "\n" << simt::last_failure();
}

inline dim3 blocks(int x, int y = 1, int z = 1) {
  return dim3(static_cast<unsigned>(x), static_cast<unsigned>(y), static_cast<unsigned>(z));
}

inline float rounded(float value) {
  return bf16_to_f32(f32_to_bf16(value));
}

/// [rows, cols] floats as rows of `stride` elements of a type, zeros behind `cols`.
inline std::vector<std::uint8_t> rows_of(const std::vector<float>& values, int cols, int stride,
                                         DeviceType type) {
  const std::size_t rows = values.size() / static_cast<std::size_t>(cols);
  std::vector<std::uint8_t> bytes(rows * static_cast<std::size_t>(stride) * device_bytes(type));
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t c = 0; c < static_cast<std::size_t>(cols); ++c) {
      const float value = values[r * static_cast<std::size_t>(cols) + c];
      const std::uint16_t half = type == DeviceType::f16 ? f32_to_f16(value) : f32_to_bf16(value);
      const void* from = type == DeviceType::f32 ? static_cast<const void*>(&value) : &half;
      std::memcpy(bytes.data() + (r * static_cast<std::size_t>(stride) + c) * device_bytes(type), from,
                  device_bytes(type));
    }
  }
  return bytes;
}

/// What an element becomes when it is stored in a type.
inline float stored(float value, DeviceType type) {
  if (type == DeviceType::f32) return value;
  return type == DeviceType::f16 ? f16_to_f32(f32_to_f16(value)) : rounded(value);
}

/// Every element within `tolerance` of the largest magnitude of `expected`.
inline void expect_near(const std::vector<float>& actual, const std::vector<float>& expected,
                        double tolerance, const std::string& what) {
  ASSERT_EQ(actual.size(), expected.size()) << what;
  double largest = 0;
  for (const float value : expected)
    largest = std::max(largest, std::abs(static_cast<double>(value)));
  for (std::size_t i = 0; i < expected.size(); ++i) {
    // Not EXPECT_NEAR for all: NaN is far from everything.
    ASSERT_NEAR(actual[i], expected[i], tolerance * largest) << what << ", element " << i;
  }
}

}  // namespace expertscope::cuda
