// SPDX-License-Identifier: GPL-3.0-or-later
#include <cstring>

#include "tests/simt/testing.h"

/// Device and pinned memory, and copies.

namespace expertscope::simt {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;

TEST(SimtMemory, IsPoisonUntilItIsWritten) {
  const Emulation emulation;
  const Array<float> array(5);
  for (const float value : array.read()) {
    EXPECT_NE(value, value) << "a NaN";
  }
}

TEST(SimtMemory, IsLimited) {
  Settings settings;
  settings.memory = 4 * kMiB;
  const Emulation emulation(settings);
  void* first = nullptr;
  void* second = nullptr;
  ASSERT_EQ(cudaMalloc(&first, 3 * kMiB), cudaSuccess);
  EXPECT_EQ(cudaMalloc(&second, 2 * kMiB), cudaErrorMemoryAllocation);
  EXPECT_EQ(second, nullptr);
  std::size_t free = 0;
  std::size_t total = 0;
  ASSERT_EQ(cudaMemGetInfo(&free, &total), cudaSuccess);
  EXPECT_EQ(free, kMiB);
  EXPECT_EQ(total, 4 * kMiB);
  ASSERT_EQ(cudaFree(first), cudaSuccess);
  EXPECT_EQ(cudaMalloc(&second, 4 * kMiB), cudaSuccess);
  EXPECT_EQ(cudaFree(second), cudaSuccess);
}

TEST(SimtMemory, CountsWhatIsAlive) {
  const Emulation emulation;
  EXPECT_EQ(alive(), Alive{});
  void* device = nullptr;
  void* pinned = nullptr;
  ASSERT_EQ(cudaMalloc(&device, 100), cudaSuccess);
  ASSERT_EQ(cudaHostAlloc(&pinned, 50, cudaHostAllocMapped), cudaSuccess);
  EXPECT_EQ(alive().device_bytes, 100u);
  EXPECT_EQ(alive().pinned_bytes, 50u);
  EXPECT_EQ(alive().allocations, 2);
  EXPECT_EQ(cudaFreeHost(pinned), cudaSuccess);
  EXPECT_EQ(cudaFree(device), cudaSuccess);
  EXPECT_EQ(alive(), Alive{});
}

TEST(SimtMemory, NothingIsAllocatedForNothing) {
  const Emulation emulation;
  void* pointer = &pointer;
  EXPECT_EQ(cudaMalloc(&pointer, 0), cudaSuccess);
  EXPECT_EQ(pointer, nullptr);
  EXPECT_EQ(cudaFree(nullptr), cudaSuccess);
  EXPECT_EQ(cudaFreeHost(nullptr), cudaSuccess);
}

TEST(SimtMemory, OnlyWhatWasAllocatedIsFreed) {
  const Emulation emulation;
  int mine = 0;
  char* device = nullptr;
  ASSERT_EQ(cudaMalloc(&device, 16), cudaSuccess);
  EXPECT_EQ(cudaFree(&mine), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFree(device + 4), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFreeHost(device), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFree(device), cudaSuccess);
  EXPECT_EQ(cudaFree(device), cudaErrorInvalidValue) << "once";
}

TEST(SimtMemory, CopiesKnowWhereMemoryIs) {
  const Emulation emulation;
  Array<int> device(4);
  int host[4] = {1, 2, 3, 4};
  EXPECT_EQ(cudaMemcpy(device.data(), host, 16, cudaMemcpyHostToDevice), cudaSuccess);
  EXPECT_EQ(cudaMemcpy(device.data(), host, 16, cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpy(host, host + 2, 8, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpy(device.data() + 1, host, 16, cudaMemcpyHostToDevice), cudaErrorInvalidValue)
      << "over the end";
  EXPECT_EQ(cudaMemcpy(host, device.data() + 1, 8, cudaMemcpyDefault), cudaSuccess);
  EXPECT_EQ(host[0], 2);
  EXPECT_EQ(host[1], 3);
  EXPECT_EQ(cudaMemset(device.data(), 0, 17), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemset(device.data(), 1, 8), cudaSuccess);
  EXPECT_EQ(device.read(), (std::vector<int>{0x01010101, 0x01010101, 3, 4}));
}

TEST(SimtMemory, RectanglesAreCopied) {
  const Emulation emulation;
  Array<char> device(std::vector<char>(20, '.'));
  const char host[] = "abcdefghi";
  ASSERT_EQ(cudaMemcpy2DAsync(device.data() + 1, 5, host, 3, 2, 3, cudaMemcpyHostToDevice), cudaSuccess);
  const std::vector<char> to = device.read();
  EXPECT_EQ(std::string(to.begin(), to.end()), ".ab...de...gh.......");
  EXPECT_EQ(cudaMemcpy2DAsync(device.data(), 2, host, 3, 3, 1, cudaMemcpyHostToDevice),
            cudaErrorInvalidPitchValue);
}

__global__ void increment(int* value) {
  *value += 1;
}

TEST(SimtMemory, PinnedMemoryIsThereForBoth) {
  const Emulation emulation;
  int* host = nullptr;
  int* device = nullptr;
  ASSERT_EQ(cudaHostAlloc(&host, sizeof(int), cudaHostAllocMapped), cudaSuccess);
  *host = 41;
  ASSERT_EQ(cudaHostGetDevicePointer(&device, host, 0), cudaSuccess);
  ASSERT_EQ(launch_now(1, 1, increment, device), cudaSuccess);
  EXPECT_EQ(*host, 42);
  int mine = 0;
  EXPECT_EQ(cudaHostGetDevicePointer(&device, &mine, 0), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFreeHost(host), cudaSuccess);
}

TEST(SimtMemory, ResetFreesEverything) {
  const Emulation emulation;
  void* pointer = nullptr;
  cudaStream_t stream = nullptr;
  ASSERT_EQ(cudaMalloc(&pointer, 16), cudaSuccess);
  ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  reset();
  EXPECT_EQ(alive(), Alive{});
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaErrorInvalidResourceHandle);
}

#if defined(__SANITIZE_ADDRESS__)
__global__ void read_at(const int* from, int at, int* to) {
  *to = from[at];
}

TEST(SimtMemory, AddressSanitizerSeesItsEndsAndTheHostInIt) {
  const Emulation emulation;
  Array<int> array(std::vector<int>{1, 2, 3});
  Array<int> to(1);
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(launch_now(1, 1, read_at, array.data(), 3, to.data()), "heap-buffer-overflow");
  EXPECT_DEATH(to.data()[0] = 1, "use-after-poison");
}
#endif

}  // namespace
}  // namespace expertscope::simt
