// SPDX-License-Identifier: GPL-3.0-or-later
#include <gmock/gmock.h>
#include <simt_instructions.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "tests/simt/testing.h"

/// The functions of engine/cuda/kernels/instructions.cuh.

namespace expertscope::simt {
namespace {

using ::testing::HasSubstr;

TEST(SimtInstructions, PackRoundsToNearestEven) {
  const auto packed = [](float low) { return cuda::pack_bf16(low, 0.0f) & 0xffffu; };
  EXPECT_EQ(cuda::pack_bf16(1.0f, -2.0f), 0xc0003f80u);
  EXPECT_EQ(packed(1.0f + 0x1p-8f), 0x3f80u) << "half way, down to even";
  EXPECT_EQ(packed(1.0f + 0x3p-8f), 0x3f82u) << "half way, up to even";
  EXPECT_EQ(packed(1.0f + 0x1.01p-8f), 0x3f81u) << "more than half way";
  EXPECT_EQ(packed(std::numeric_limits<float>::max()), 0x7f80u);
  EXPECT_EQ(packed(std::numeric_limits<float>::infinity()), 0x7f80u);
  EXPECT_EQ(packed(std::numeric_limits<float>::quiet_NaN()), 0x7fffu);
}

TEST(SimtInstructions, WidenKnowsEveryKindOfNumber) {
  EXPECT_EQ(cuda::widen_f16(0x3c00), 1.0f);
  EXPECT_EQ(cuda::widen_f16(0xc500), -5.0f);
  EXPECT_EQ(cuda::widen_f16(0x7bff), 65504.0f);
  EXPECT_EQ(cuda::widen_f16(0x0400), 0x1p-14f);
  EXPECT_EQ(cuda::widen_f16(0x0001), 0x1p-24f) << "a denormal";
  EXPECT_EQ(cuda::widen_f16(0xfc00), -std::numeric_limits<float>::infinity());
  EXPECT_TRUE(std::isnan(cuda::widen_f16(0x7e00)));
  EXPECT_TRUE(std::signbit(cuda::widen_f16(0x8000)));
}

TEST(SimtInstructions, Tf32RoundsToNearestAwayFromZero) {
  const auto rounded = [](float value) { return std::bit_cast<float>(cuda::round_tf32(value)); };
  EXPECT_EQ(rounded(1.0f + 0x1p-10f), 1.0f + 0x1p-10f) << "11 significant bits";
  EXPECT_EQ(rounded(1.0f + 0x1p-11f), 1.0f + 0x1p-10f) << "half way from an even number";
  EXPECT_EQ(rounded(-1.0f - 0x1p-11f), -1.0f - 0x1p-10f);
  EXPECT_EQ(rounded(1.0f + 0x3p-11f), 1.0f + 0x2p-10f) << "half way from an odd number";
  EXPECT_EQ(rounded(1.0f + 0x0.fffp-11f), 1.0f) << "less than half way";
  EXPECT_EQ(rounded(2.0f - 0x1p-23f), 2.0f) << "a carry into the exponent";
  EXPECT_EQ(rounded(0x1.8p-136f), 0x1p-135f) << "a denormal has fewer significant bits";
  EXPECT_EQ(rounded(1e6f), 999936.0f) << "far beyond f16, in steps of 512";
  EXPECT_EQ(rounded(std::numeric_limits<float>::max()), std::numeric_limits<float>::infinity());
  EXPECT_EQ(rounded(-std::numeric_limits<float>::infinity()), -std::numeric_limits<float>::infinity());
  EXPECT_TRUE(std::isnan(rounded(std::numeric_limits<float>::quiet_NaN())));
  EXPECT_TRUE(std::isnan(rounded(std::bit_cast<float>(0xffffffffu)))) << "no carry out of a NaN";
  for (std::uint32_t half = 0; half < 0x7c00; ++half) {
    const float value = cuda::widen_f16(static_cast<std::uint16_t>(half));
    ASSERT_EQ(rounded(value), value) << "F16 weights are tf32 numbers";
  }
}

__global__ void count(unsigned* counter, unsigned* before) {
  const unsigned index = blockIdx.x * blockDim.x + threadIdx.x;
  before[index] = cuda::add_acquire_release(counter, 2);
}

TEST(SimtInstructions, AddReturnsWhatWasThere) {
  Array<unsigned> counter(std::vector<unsigned>{5});
  Array<unsigned> before(6);
  ASSERT_EQ(launch_now(2, 3, count, counter.data(), before.data()), cudaSuccess);
  EXPECT_EQ(counter.read()[0], 17u);
  EXPECT_THAT(before.read(), ::testing::UnorderedElementsAre(5u, 7u, 9u, 11u, 13u, 15u));
}

__global__ void load(const unsigned char* from, uint4* to) {
  *to = cuda::load_streaming(from);
}

TEST(SimtInstructions, StreamingLoadsAreAligned) {
  const Emulation emulation(quiet());
  Array<unsigned char> from(std::vector<unsigned char>(64, 0x11));
  Array<uint4> to(1);
  ASSERT_EQ(launch_now(1, 1, load, from.data() + 16, to.data()), cudaSuccess);
  EXPECT_EQ(to.read()[0].w, 0x11111111u);
  EXPECT_EQ(launch_now(1, 1, load, from.data() + 8, to.data()), cudaErrorLaunchFailure);
  EXPECT_THAT(last_failure(), HasSubstr("not aligned to 16 bytes"));
}

std::uint16_t bf16(float value) {
  return std::uint16_t(std::bit_cast<std::uint32_t>(value) >> 16);
}
float widen(std::uint16_t bits) {
  return std::bit_cast<float>(std::uint32_t(bits) << 16);
}

/// d = d + a b for one 16x8 tile; a is 16x16 and b 16x8, both row-major bf16. Fragments as the PTX manual has
/// them.
__global__ void multiply_tile(const std::uint16_t* a, const std::uint16_t* b, float* d) {
  const int g = int(threadIdx.x) / 4;
  const int p = int(threadIdx.x) % 4;
  const auto pair = [](std::uint16_t low, std::uint16_t high) { return low | std::uint32_t(high) << 16; };
  std::uint32_t a_fragment[4];
  std::uint32_t b_fragment[2];
  float sum[4];
  for (int i = 0; i < 4; ++i) {
    const std::uint16_t* from = a + (g + 8 * (i % 2)) * 16 + 2 * p + 8 * (i / 2);
    a_fragment[i] = pair(from[0], from[1]);
    sum[i] = d[(g + 8 * (i / 2)) * 8 + 2 * p + i % 2];
  }
  for (int i = 0; i < 2; ++i) {
    const std::uint16_t* from = b + (2 * p + 8 * i) * 8 + g;
    b_fragment[i] = pair(from[0], from[8]);
  }
  cuda::mma_bf16(sum, a_fragment, b_fragment);
  for (int i = 0; i < 4; ++i) {
    d[(g + 8 * (i / 2)) * 8 + 2 * p + i % 2] = sum[i];
  }
}

TEST(SimtInstructions, MmaMultipliesMatrices) {
  std::vector<std::uint16_t> a;
  std::vector<std::uint16_t> b;
  for (const float value : random_floats(16 * 16, 1)) {
    a.push_back(bf16(value));
  }
  for (const float value : random_floats(16 * 8, 2)) {
    b.push_back(bf16(value));
  }
  const std::vector<float> d = random_floats(16 * 8, 3);
  for (const Order order : {Order::forward, Order::reverse, Order::random}) {
    Settings settings;
    settings.order = order;
    const Emulation emulation(settings);
    Array<std::uint16_t> device_a(a);
    Array<std::uint16_t> device_b(b);
    Array<float> device_d(d);
    ASSERT_EQ(launch_now(1, 32, multiply_tile, device_a.data(), device_b.data(), device_d.data()),
              cudaSuccess);
    const std::vector<float> product = device_d.read();
    for (std::size_t row = 0; row < 16; ++row) {
      for (std::size_t column = 0; column < 8; ++column) {
        float sum = d[row * 8 + column];
        for (std::size_t k = 0; k < 16; ++k) {
          sum += widen(a[row * 16 + k]) * widen(b[k * 8 + column]);
        }
        EXPECT_EQ(product[row * 8 + column], sum) << row << " " << column;
      }
    }
  }
}

/// The same for a 16x8 and b 8x8 in tf32.
__global__ void multiply_tf32_tile(const float* a, const float* b, float* d) {
  const int g = int(threadIdx.x) / 4;
  const int p = int(threadIdx.x) % 4;
  std::uint32_t a_fragment[4];
  std::uint32_t b_fragment[2];
  float sum[4];
  for (int i = 0; i < 4; ++i) {
    a_fragment[i] = cuda::round_tf32(a[(g + 8 * (i % 2)) * 8 + p + 4 * (i / 2)]);
    sum[i] = d[(g + 8 * (i / 2)) * 8 + 2 * p + i % 2];
  }
  for (int i = 0; i < 2; ++i) {
    b_fragment[i] = cuda::round_tf32(b[(p + 4 * i) * 8 + g]);
  }
  cuda::mma_tf32(sum, a_fragment, b_fragment);
  for (int i = 0; i < 4; ++i) {
    d[(g + 8 * (i / 2)) * 8 + 2 * p + i % 2] = sum[i];
  }
}

/// Rounded to 11 significant bits, by arithmetic.
float rounded_to_tf32(float value) {
  int exponent = 0;
  const float significand = std::frexp(value, &exponent);
  return std::ldexp(std::round(std::ldexp(significand, 11)), exponent - 11);
}

TEST(SimtInstructions, MmaMultipliesTf32Matrices) {
  const std::vector<float> a = random_floats(16 * 8, 1);
  const std::vector<float> b = random_floats(8 * 8, 2);
  const std::vector<float> d = random_floats(16 * 8, 3);
  for (const Order order : {Order::forward, Order::reverse, Order::random}) {
    Settings settings;
    settings.order = order;
    const Emulation emulation(settings);
    Array<float> device_a(a);
    Array<float> device_b(b);
    Array<float> device_d(d);
    ASSERT_EQ(launch_now(1, 32, multiply_tf32_tile, device_a.data(), device_b.data(), device_d.data()),
              cudaSuccess);
    const std::vector<float> product = device_d.read();
    for (std::size_t row = 0; row < 16; ++row) {
      for (std::size_t column = 0; column < 8; ++column) {
        float sum = d[row * 8 + column];
        for (std::size_t k = 0; k < 8; ++k) {
          sum += rounded_to_tf32(a[row * 8 + k]) * rounded_to_tf32(b[k * 8 + column]);
        }
        EXPECT_EQ(product[row * 8 + column], sum) << row << " " << column;
      }
    }
  }
}

__global__ void multiply_floats(float value) {
  float sum[4] = {};
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t a[4] = {bits, bits, bits, bits};
  const std::uint32_t b[2] = {bits, bits};
  cuda::mma_tf32(sum, a, b);
}

TEST(SimtInstructions, OperandsOfTf32AreRounded) {
  const Emulation emulation(quiet());
  EXPECT_EQ(launch_now(1, 32, multiply_floats, 0.5f), cudaSuccess);
  EXPECT_EQ(launch_now(1, 32, multiply_floats, 0.1f), cudaErrorLaunchFailure);
  EXPECT_THAT(last_failure(), HasSubstr("not a tf32 number"));
}

/// Four 8x8 matrices whose elements say where they are: 100 * matrix + 10 * row + column.
__global__ void load_matrices(std::uint32_t* plain, std::uint32_t* transposed, int offset) {
  __shared__ __align__(16) std::uint16_t matrix[4][8][8];
  const int lane = int(threadIdx.x);
  for (int column = 0; column < 8; ++column) {
    matrix[lane / 8][lane % 8][column] = std::uint16_t(100 * (lane / 8) + 10 * (lane % 8) + column);
  }
  __syncwarp();
  std::uint32_t to[4];
  cuda::load_matrix_x4(to, &matrix[lane / 8][lane % 8][offset]);
  matrix[lane / 8][lane % 8][0] = matrix[lane / 8][lane % 8][0];  // the load was complete for all lanes
  std::memcpy(plain + 4 * lane, to, sizeof to);
  cuda::load_matrix_x4_transposed(to, &matrix[lane / 8][lane % 8][offset]);
  std::memcpy(transposed + 4 * lane, to, sizeof to);
}

TEST(SimtInstructions, LoadMatrixGivesFragments) {
  const Emulation emulation(quiet());
  Array<std::uint32_t> plain(32 * 4);
  Array<std::uint32_t> transposed(32 * 4);
  ASSERT_EQ(launch_now(1, 32, load_matrices, plain.data(), transposed.data(), 0), cudaSuccess);
  const std::vector<std::uint32_t> rows = plain.read();
  const std::vector<std::uint32_t> columns = transposed.read();
  for (unsigned lane = 0; lane < 32; ++lane) {
    for (unsigned m = 0; m < 4; ++m) {
      const unsigned i = lane / 4;
      const unsigned j = 2 * (lane % 4);
      EXPECT_EQ(rows[lane * 4 + m], (100 * m + 10 * i + j) | (100 * m + 10 * i + j + 1) << 16);
      EXPECT_EQ(columns[lane * 4 + m], (100 * m + 10 * j + i) | (100 * m + 10 * (j + 1) + i) << 16);
    }
  }
  EXPECT_EQ(launch_now(1, 32, load_matrices, plain.data(), transposed.data(), 4), cudaErrorLaunchFailure);
  EXPECT_THAT(last_failure(), HasSubstr("matrix row"));
}

/// Copies three groups of one piece each and logs what shared memory holds as they are waited for.
__global__ void copy_in_groups(const uint4* from, unsigned* log) {
  auto* shared = reinterpret_cast<uint4*>(cuda::dynamic_shared());
  for (int i = 0; i < 3; ++i) {
    cuda::copy_async_16(shared + i, from + i, i != 1);
    cuda::copy_async_commit();
  }
  const auto write = [&] {
    for (int i = 0; i < 3; ++i) {
      *log++ = shared[i].y;
    }
  };
  write();
  cuda::copy_async_wait<2>();
  write();
  cuda::copy_async_wait<1>();
  write();
  cuda::copy_async_wait<0>();
  write();
}

TEST(SimtInstructions, CopyIsDoneWhenItsGroupIsWaitedFor) {
  const Emulation emulation;
  Array<uint4> from(std::vector<uint4>(3, uint4{1, 2, 3, 4}));
  Array<unsigned> log(12);
  const cudaLaunchConfig_t at = config(1, 1, 48);
  ASSERT_EQ(cudaLaunchKernelEx(&at, copy_in_groups, from.data(), log.data()), cudaSuccess);
  constexpr unsigned kNot = 0xffffffffu;
  // The second copy is not valid, so it leaves zeros.
  EXPECT_EQ(log.read(), (std::vector<unsigned>{kNot, kNot, kNot, 2, kNot, kNot, 2, 0, kNot, 2, 0, 2}));
}

__global__ void wait_for_open_group(const uint4* from, unsigned* to) {
  auto* shared = reinterpret_cast<uint4*>(cuda::dynamic_shared());
  cuda::copy_async_16(shared, from, true);
  cuda::copy_async_wait<0>();
  to[0] = shared->x;
  cuda::copy_async_commit();
  cuda::copy_async_wait<0>();
  to[1] = shared->x;
}

TEST(SimtInstructions, CopyInAnOpenGroupIsNotWaitedFor) {
  const Emulation emulation;
  Array<uint4> from(std::vector<uint4>{{9, 9, 9, 9}});
  Array<unsigned> to(2);
  const cudaLaunchConfig_t at = config(1, 1, 16);
  ASSERT_EQ(cudaLaunchKernelEx(&at, wait_for_open_group, from.data(), to.data()), cudaSuccess);
  EXPECT_EQ(to.read(), (std::vector<unsigned>{0xffffffffu, 9u}));
}

__global__ void copy_between(const unsigned char* from, int to_offset, int from_offset, bool valid) {
  cuda::copy_async_16(cuda::dynamic_shared() + to_offset, from + from_offset, valid);
  cuda::copy_async_commit();
  cuda::copy_async_wait<0>();
}

TEST(SimtInstructions, CopiesAreAligned) {
  const cudaLaunchConfig_t at = config(1, 1, 64);
  const auto run = [&](int to_offset, int from_offset, bool valid) {
    reset(quiet());
    Array<unsigned char> from(std::vector<unsigned char>(64, 1));
    return cudaLaunchKernelEx(&at, copy_between, from.data(), to_offset, from_offset, valid);
  };
  EXPECT_EQ(run(16, 32, true), cudaSuccess);
  EXPECT_EQ(run(8, 32, true), cudaErrorLaunchFailure);
  EXPECT_THAT(last_failure(), HasSubstr("to an address that is not aligned"));
  EXPECT_EQ(run(16, 36, true), cudaErrorLaunchFailure);
  EXPECT_THAT(last_failure(), HasSubstr("from an address that is not aligned"));
  EXPECT_EQ(run(16, 36, false), cudaSuccess) << "what is not read may be anywhere";
  reset();
}

}  // namespace
}  // namespace expertscope::simt
