// SPDX-License-Identifier: GPL-3.0-or-later
#include <functional>

#include "tests/simt/testing.h"

/// Shuffles, votes and reductions.

namespace expertscope::simt {
namespace {

constexpr unsigned kAll = 0xffffffffu;

enum class Shuffle { index, up, down, exclusive_or };

template <Shuffle kShuffle>
__global__ void shuffle_lanes(int* to, int argument, int width) {
  const int lane = int(threadIdx.x);
  int value = 100 + lane;
  if (kShuffle == Shuffle::index) value = __shfl_sync(kAll, value, argument, width);
  if (kShuffle == Shuffle::up) value = __shfl_up_sync(kAll, value, unsigned(argument), width);
  if (kShuffle == Shuffle::down) value = __shfl_down_sync(kAll, value, unsigned(argument), width);
  if (kShuffle == Shuffle::exclusive_or) value = __shfl_xor_sync(kAll, value, argument, width);
  to[lane] = value - 100;
}

/// Every lane has to read from source(lane).
template <Shuffle kShuffle>
void expect_sources(int argument, int width, const std::function<int(int)>& source) {
  Array<int> array(32);
  ASSERT_EQ(launch_now(1, 32, shuffle_lanes<kShuffle>, array.data(), argument, width), cudaSuccess);
  const std::vector<int> read = array.read();
  for (int lane = 0; lane < 32; ++lane) {
    EXPECT_EQ(read[std::size_t(lane)], source(lane)) << "lane " << lane << " width " << width;
  }
}

TEST(SimtWarps, ShufflesReadWhereCudaSays) {
  for (const Order order : {Order::forward, Order::reverse, Order::random}) {
    Settings settings;
    settings.order = order;
    const Emulation emulation(settings);
    for (const int width : {2, 8, 32}) {
      for (const int by : {1, 3}) {
        expect_sources<Shuffle::index>(by, width,
                                       [=](int lane) { return lane / width * width + by % width; });
        expect_sources<Shuffle::up>(by, width,
                                    [=](int lane) { return lane % width >= by ? lane - by : lane; });
        expect_sources<Shuffle::down>(by, width,
                                      [=](int lane) { return lane % width + by < width ? lane + by : lane; });
      }
      expect_sources<Shuffle::exclusive_or>(width / 2, width, [=](int lane) { return lane ^ (width / 2); });
    }
    // Over the end of its segment a lane reads back, never forward.
    expect_sources<Shuffle::exclusive_or>(8, 8, [](int lane) { return (lane & 8) != 0 ? lane ^ 8 : lane; });
  }
}

__global__ void reduce_lanes(unsigned* largest, int* smallest, unsigned mask) {
  const int lane = int(threadIdx.x);
  if ((mask >> lane & 1u) == 0) return;
  largest[lane] = __reduce_max_sync(mask, 0x80000000u + unsigned(lane));
  smallest[lane] = __reduce_min_sync(mask, 5 - lane);
}

TEST(SimtWarps, ReducesTheLanesOfTheMask) {
  Array<unsigned> largest(std::vector<unsigned>(32));
  Array<int> smallest(std::vector<int>(32));
  ASSERT_EQ(launch_now(1, 32, reduce_lanes, largest.data(), smallest.data(), kAll), cudaSuccess);
  EXPECT_EQ(largest.read(), std::vector<unsigned>(32, 0x8000001fu));
  EXPECT_EQ(smallest.read(), std::vector<int>(32, -26));
  ASSERT_EQ(launch_now(1, 32, reduce_lanes, largest.data(), smallest.data(), 0x16u), cudaSuccess);
  EXPECT_EQ(largest.read()[1], 0x80000004u);
  EXPECT_EQ(smallest.read()[4], 1);
  EXPECT_EQ(largest.read()[0], 0x8000001fu) << "a lane outside the mask takes no part";
}

__global__ void shuffle_types(double* d, long long* l, float* f) {
  const int lane = int(threadIdx.x);
  d[lane] = __shfl_sync(kAll, lane + 0.25, 31 - lane);
  l[lane] = __shfl_sync(kAll, (1ll << 40) + lane, 31 - lane);
  f[lane] = __shfl_sync(kAll, float(lane), 31 - lane);
}

TEST(SimtWarps, ShufflesTakeNumbersOfAllSizes) {
  const Emulation emulation;
  Array<double> d(32);
  Array<long long> l(32);
  Array<float> f(32);
  ASSERT_EQ(launch_now(1, 32, shuffle_types, d.data(), l.data(), f.data()), cudaSuccess);
  EXPECT_EQ(d.read()[3], 28.25);
  EXPECT_EQ(l.read()[3], (1ll << 40) + 28);
  EXPECT_EQ(f.read()[3], 28.0f);
}

__global__ void ballot(unsigned* to) {
  const unsigned lane = threadIdx.x % 32;
  to[threadIdx.x] = __ballot_sync(kAll, lane % 5 == 0 && threadIdx.x < 32);
  if (!__any_sync(kAll, lane == 3) || __any_sync(kAll, 0)) to[threadIdx.x] = 0;
  if (__all_sync(kAll, lane != 3) || !__all_sync(kAll, 1)) to[threadIdx.x] = 0;
  __syncwarp();
}

TEST(SimtWarps, BallotsAreOfTheirWarpOnly) {
  const Emulation emulation;
  Array<unsigned> array(64);
  ASSERT_EQ(launch_now(1, 64, ballot, array.data()), cudaSuccess);
  const std::vector<unsigned> votes = array.read();
  EXPECT_EQ(votes[7], 0x42108421u);
  EXPECT_EQ(votes[40], 0u);
}

/// Halves of a warp go different ways, meet among themselves, and then all meet.
__global__ void diverge(int* to) {
  const int lane = int(threadIdx.x);
  int value = lane;
  if (lane < 16) {
    for (int step = 8; step > 0; step /= 2) {
      value += __shfl_xor_sync(0x0000ffffu, value, step);
    }
  } else {
    value = __ballot_sync(0xffff0000u, lane % 2) != 0 ? -1 : 1;
  }
  to[lane] = __shfl_xor_sync(kAll, value, 16);
}

TEST(SimtWarps, GroupsOfLanesMeetApart) {
  for (const Order order : {Order::forward, Order::reverse, Order::random}) {
    Settings settings;
    settings.order = order;
    const Emulation emulation(settings);
    Array<int> array(32);
    ASSERT_EQ(launch_now(1, 32, diverge, array.data()), cudaSuccess);
    EXPECT_EQ(array.read()[5], -1);
    EXPECT_EQ(array.read()[20], 120);
  }
}

/// A lane that runs ahead must not overwrite what another has not read yet.
__global__ void run_ahead(int* to) {
  const int lane = int(threadIdx.x);
  int value = 1000 + lane;
  const int first = __shfl_sync(kAll, value, 0);
  int last = 0;
  if (lane < 2) {
    for (int i = 0; i < 10; ++i) {
      last = __shfl_xor_sync(3u, i * 10 + lane, 1);
    }
  }
  to[lane] = first * 100 + last;
}

TEST(SimtWarps, LanesThatRunAheadDisturbNobody) {
  const Emulation emulation;
  Array<int> array(32);
  ASSERT_EQ(launch_now(1, 32, run_ahead, array.data()), cudaSuccess);
  EXPECT_EQ(array.read()[0], 100091);
  EXPECT_EQ(array.read()[31], 100000);
}

__global__ void read_outside_the_mask(unsigned* to) {
  if (threadIdx.x < 16) to[threadIdx.x] = __shfl_down_sync(0xffffu, threadIdx.x, 8);
}

TEST(SimtWarps, LaneOutsideTheMaskGivesPoison) {
  const Emulation emulation;
  Array<unsigned> array(16);
  ASSERT_EQ(launch_now(1, 32, read_outside_the_mask, array.data()), cudaSuccess);
  EXPECT_EQ(array.read()[7], 15u);
  EXPECT_EQ(array.read()[8], 0xffffffffu);
}

}  // namespace
}  // namespace expertscope::simt
