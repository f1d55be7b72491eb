// SPDX-License-Identifier: GPL-3.0-or-later
#include <numeric>

#include "tests/simt/testing.h"

/// Threads, blocks, barriers and atomics.

namespace expertscope::simt {
namespace {

__global__ void write_indices(unsigned* to) {
  const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  const unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  to[block * blockDim.x * blockDim.y * blockDim.z + thread] = block * 1000 + thread;
}

TEST(SimtThreads, EveryThreadOfEveryBlockRunsOnce) {
  const Emulation emulation;
  Array<unsigned> array(2 * 3 * 4 * 5 * 6 * 7);
  ASSERT_EQ(launch_now({2, 3, 4}, {5, 6, 7}, write_indices, array.data()), cudaSuccess);
  const std::vector<unsigned> values = array.read();
  for (std::size_t i = 0; i < values.size(); ++i) {
    EXPECT_EQ(values[i], i / 210 * 1000 + i % 210);
  }
}

__global__ void log_order(int* log, int* count) {
  log[atomicAdd(count, 1)] = int(blockIdx.x * 100 + threadIdx.x);
}

std::vector<int> order_under(const Settings& settings) {
  const Emulation emulation(settings);
  Array<int> log(6);
  Array<int> count(std::vector<int>{0});
  EXPECT_EQ(launch_now(2, 3, log_order, log.data(), count.data()), cudaSuccess);
  return log.read();
}

TEST(SimtThreads, OrderIsWhatTheSettingsSay) {
  Settings settings;
  EXPECT_EQ(order_under(settings), (std::vector<int>{0, 1, 2, 100, 101, 102}));
  settings.order = Order::reverse;
  EXPECT_EQ(order_under(settings), (std::vector<int>{102, 101, 100, 2, 1, 0}));
  settings.order = Order::random;
  std::vector<std::vector<int>> orders;
  for (settings.seed = 1; settings.seed <= 5; ++settings.seed) {
    orders.push_back(order_under(settings));
    EXPECT_EQ(order_under(settings), orders.back()) << "a seed gives the same order again";
  }
  EXPECT_NE(std::count(orders.begin(), orders.end(), orders[0]), 5);
}

/// Sums the block's numbers through shared memory, with a barrier for each halving.
__global__ void sum_blocks(const int* from, int* to) {
  __shared__ int part[128];
  part[threadIdx.x] = from[blockIdx.x * blockDim.x + threadIdx.x];
  __syncthreads();
  for (unsigned width = blockDim.x / 2; width > 0; width /= 2) {
    if (threadIdx.x < width) part[threadIdx.x] += part[threadIdx.x + width];
    __syncthreads();
  }
  if (threadIdx.x == 0) to[blockIdx.x] = part[0];
}

TEST(SimtThreads, BarriersOrderSharedMemoryInEveryOrderAndOnEveryWorker) {
  std::vector<int> numbers(40 * 128);
  std::iota(numbers.begin(), numbers.end(), 0);
  for (const Order order : {Order::forward, Order::reverse, Order::random}) {
    for (const int workers : {1, 3}) {
      Settings settings;
      settings.order = order;
      settings.workers = workers;
      const Emulation emulation(settings);
      Array<int> from(numbers);
      Array<int> to(40);
      ASSERT_EQ(launch_now(40, 128, sum_blocks, from.data(), to.data()), cudaSuccess);
      const std::vector<int> sums = to.read();
      for (int block = 0; block < 40; ++block) {
        EXPECT_EQ(sums[std::size_t(block)], 128 * 128 * block + 127 * 128 / 2);
      }
    }
  }
}

/// Like sum_blocks with too few barriers.
__global__ void sum_without_barriers(const int* from, int* to) {
  __shared__ int part[128];
  part[threadIdx.x] = from[threadIdx.x];
  __syncthreads();
  for (unsigned width = blockDim.x / 2; width > 0; width /= 2) {
    if (threadIdx.x < width) part[threadIdx.x] += part[threadIdx.x + width];
  }
  if (threadIdx.x == 0) *to = part[0];
}

TEST(SimtThreads, MissingBarrierShowsAsAWrongSum) {
  const Emulation emulation;
  Array<int> from(std::vector<int>(128, 1));
  Array<int> to(1);
  ASSERT_EQ(launch_now(1, 128, sum_without_barriers, from.data(), to.data()), cudaSuccess);
  EXPECT_NE(to.read()[0], 128);
}

__global__ void vote(int* to) {
  const int i = int(threadIdx.x);
  const int some = __syncthreads_count(i % 3 == 0);
  const int any = __syncthreads_or(i == 77);
  const int none = __syncthreads_or(i > 1000);
  const int all = __syncthreads_and(i < 1000);
  const int most = __syncthreads_and(i != 77);
  to[i] = some * 16 + any * 8 + none * 4 + all * 2 + most;
}

TEST(SimtThreads, BarriersCount) {
  const Emulation emulation;
  Array<int> array(100);
  ASSERT_EQ(launch_now(1, 100, vote, array.data()), cudaSuccess);
  EXPECT_EQ(array.read(), std::vector<int>(100, 34 * 16 + 8 + 2));
}

/// Threads leave one warp after another; those that stay go on meeting.
__global__ void leave_early(int* to) {
  int rounds = 0;
  for (unsigned limit = 0; limit < 4; ++limit) {
    if (threadIdx.x / 32 == limit) return;
    ++rounds;
    to[threadIdx.x] = __syncthreads_count(1) + 1000 * rounds;
  }
}

TEST(SimtThreads, BarrierWaitsForTheThreadsThatHaveNotEnded) {
  const Emulation emulation;
  Array<int> array(std::vector<int>(160, 0));
  ASSERT_EQ(launch_now(1, 160, leave_early, array.data()), cudaSuccess);
  const std::vector<int> seen = array.read();
  EXPECT_EQ(seen[0], 0);
  EXPECT_EQ(seen[40], 1000 + 128);
  EXPECT_EQ(seen[70], 2000 + 96);
  EXPECT_EQ(seen[100], 3000 + 64);
  EXPECT_EQ(seen[159], 4000 + 32);
}

__global__ void add_up(int* i, unsigned* u, unsigned long long* l, float* f) {
  const int n = int(blockIdx.x * blockDim.x + threadIdx.x);
  atomicAdd(&i[0], n);
  atomicMax(&i[1], n);
  atomicMin(&i[2], -n);
  atomicAdd(u, 1u);
  atomicOr(u + 1, 1u << (n % 32));
  atomicExch(u + 2, 7u);
  atomicCAS(u + 3, 0u, unsigned(n) + 1);
  atomicAdd(l, 1ull << 33);
  atomicAdd(f, 0.5f);
}

TEST(SimtThreads, AtomicsLoseNothingBetweenWorkers) {
  Settings settings;
  settings.workers = 4;
  const Emulation emulation(settings);
  Array<int> i(std::vector<int>{0, 0, 0});
  Array<unsigned> u(std::vector<unsigned>{0, 0, 0, 0});
  Array<unsigned long long> l(std::vector<unsigned long long>{0});
  Array<float> f(std::vector<float>{0});
  ASSERT_EQ(launch_now(100, 64, add_up, i.data(), u.data(), l.data(), f.data()), cudaSuccess);
  EXPECT_EQ(i.read(), (std::vector<int>{6400 * 6399 / 2, 6399, -6399}));
  const std::vector<unsigned> bits = u.read();
  EXPECT_EQ(bits[0], 6400u);
  EXPECT_EQ(bits[1], ~0u);
  EXPECT_EQ(bits[2], 7u);
  EXPECT_TRUE(bits[3] >= 1 && bits[3] <= 6400);
  EXPECT_EQ(l.read()[0], 6400ull << 33);
  EXPECT_EQ(f.read()[0], 3200.0f);
}

/// The last thread gives what the first waits for.
__global__ void wait_in_turn(volatile int* flag) {
  if (threadIdx.x == 31) *flag = 5;
  if (threadIdx.x == 0) {
    while (*flag != 5) {
      __nanosleep(100);
    }
    *flag = 6;
  }
}

TEST(SimtThreads, SleepingLetsOthersRun) {
  const Emulation emulation;
  Array<int> flag(std::vector<int>{0});
  ASSERT_EQ(launch_now(1, 32, wait_in_turn, flag.data()), cudaSuccess);
  EXPECT_EQ(flag.read()[0], 6);
}

__global__ void call_math(float* f, int* i) {
  f[0] = rsqrtf(4.0f) + __expf(0.0f) + __logf(1.0f) + __fdividef(1.0f, 4.0f) + __fmaf_rn(2.0f, 3.0f, 4.0f);
  f[1] = max(1.0f, 2.0f) + min(-1.0f, fabsf(-3.0f));
  f[2] = __uint_as_float(0x40490fdbu);
  i[0] = __popc(0xff00ffu) + 100 * __clz(1) + 10000 * __ffs(8);
  i[1] = int(__brev(1u) >> 31) + __float_as_int(1.0f);
  i[2] = min(3, max(-5, 2)) + int(min(7u, 3u));
}

TEST(SimtThreads, IntrinsicsAreThere) {
  const Emulation emulation;
  Array<float> f(3);
  Array<int> i(3);
  ASSERT_EQ(launch_now(1, 1, call_math, f.data(), i.data()), cudaSuccess);
  EXPECT_EQ(f.read(), (std::vector<float>{0.5f + 1 + 0 + 0.25f + 10, 1.0f, 3.14159274f}));
  EXPECT_EQ(i.read(), (std::vector<int>{16 + 3100 + 40000, 1 + 0x3f800000, 2 + 3}));
}

}  // namespace
}  // namespace expertscope::simt
