// SPDX-License-Identifier: GPL-3.0-or-later
#include <gmock/gmock.h>
#include <simt_instructions.h>

#include <cstring>

#include "tests/simt/testing.h"

/// Dynamic shared memory.

namespace expertscope::simt {
namespace {

__global__ void sum_poison(unsigned* sums, int bytes) {
  const unsigned char* shared = cuda::dynamic_shared();
  if (reinterpret_cast<std::uintptr_t>(shared) % 16 != 0) __trap();
  unsigned sum = 0;
  for (int i = 0; i < bytes; ++i) {
    sum += shared[i];
  }
  sums[blockIdx.x] = sum;
  std::memset(cuda::dynamic_shared(), 0, std::size_t(bytes));
}

TEST(SimtSharedMemory, IsPoisonAtTheStartOfEveryBlock) {
  const Emulation emulation;
  for (const int bytes : {4, 16, 1000}) {
    Array<unsigned> sums(3);
    const cudaLaunchConfig_t at = config(3, 1, std::size_t(bytes));
    ASSERT_EQ(cudaLaunchKernelEx(&at, sum_poison, sums.data(), bytes), cudaSuccess);
    EXPECT_EQ(sums.read(), std::vector<unsigned>(3, 0xCDu * unsigned(bytes)));
  }
}

__global__ void reverse(int* values) {
  int* shared = reinterpret_cast<int*>(cuda::dynamic_shared());
  shared[threadIdx.x] = values[threadIdx.x];
  __syncthreads();
  values[threadIdx.x] = shared[blockDim.x - 1 - threadIdx.x];
}

TEST(SimtSharedMemory, IsSharedByTheBlock) {
  const Emulation emulation;
  Array<int> values(std::vector<int>{1, 2, 3, 4, 5, 6, 7});
  const cudaLaunchConfig_t at = config(1, 7, 7 * sizeof(int));
  ASSERT_EQ(cudaLaunchKernelEx(&at, reverse, values.data()), cudaSuccess);
  EXPECT_EQ(values.read(), (std::vector<int>{7, 6, 5, 4, 3, 2, 1}));
}

__global__ void write_at(int offset) {
  cuda::dynamic_shared()[offset] = 1;
}

TEST(SimtSharedMemory, MoreThan40KiBHasToBeAllowedAndMoreThan227IsNot) {
  const Emulation emulation;
  cudaLaunchConfig_t at = config(1, 1, 40 << 10);
  EXPECT_EQ(cudaLaunchKernelEx(&at, write_at, (40 << 10) - 1), cudaSuccess);
  at.dynamicSmemBytes = (40 << 10) + 16;
  EXPECT_EQ(cudaLaunchKernelEx(&at, write_at, 0), cudaErrorInvalidValue);

  const auto allow = [](int bytes) {
    return cudaFuncSetAttribute(write_at, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  };
  EXPECT_EQ(allow((227 << 10) + 1), cudaErrorInvalidValue);
  ASSERT_EQ(allow(227 << 10), cudaSuccess);
  at.dynamicSmemBytes = 227 << 10;
  EXPECT_EQ(cudaLaunchKernelEx(&at, write_at, (227 << 10) - 1), cudaSuccess);
  at.dynamicSmemBytes += 16;
  EXPECT_EQ(cudaLaunchKernelEx(&at, write_at, 0), cudaErrorInvalidValue);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess) << "a refused launch does no harm";
}

TEST(SimtSharedMemory, WriteBehindItsEndIsReported) {
  const Emulation emulation(quiet());
  const cudaLaunchConfig_t at = config(1, 1, 48);
#if defined(__SANITIZE_ADDRESS__)
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(cudaLaunchKernelEx(&at, write_at, 48), "heap-buffer-overflow");
#else
  EXPECT_EQ(cudaLaunchKernelEx(&at, write_at, 48), cudaErrorLaunchFailure);
  EXPECT_THAT(last_failure(), testing::HasSubstr("wrote behind the end of its dynamic shared memory"));
  reset();
  EXPECT_EQ(cudaLaunchKernelEx(&at, write_at, 47), cudaSuccess);
#endif
}

}  // namespace
}  // namespace expertscope::simt
