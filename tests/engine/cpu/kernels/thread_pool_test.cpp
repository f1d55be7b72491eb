// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/cpu/kernels/thread_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <numeric>

namespace expertscope::cpu {
namespace {

TEST(ThreadPool, DefaultsToTheProcessorsOfTheProcess) {
  EXPECT_GE(available_threads(), 1);
  EXPECT_EQ(ThreadPool().threads(), available_threads());
  EXPECT_EQ(ThreadPool(1).threads(), 1);
  EXPECT_EQ(ThreadPool(5).threads(), 5);
}

TEST(ThreadPool, VisitsEveryElementOnce) {
  for (const int threads : {1, 2, 7}) {
    ThreadPool pool(threads);
    for (const std::int64_t count : {0, 1, 2, 63, 1000}) {
      for (const std::int64_t grain : {0, 1, 3, 64, 5000}) {
        std::vector<int> visits(static_cast<std::size_t>(count));
        pool.parallel_for(count, grain, [&](std::int64_t begin, std::int64_t end, int) {
          EXPECT_LE(end - begin, std::max<std::int64_t>(grain, 1));
          for (std::int64_t i = begin; i < end; ++i)
            ++visits[static_cast<std::size_t>(i)];
        });
        EXPECT_EQ(visits, std::vector<int>(static_cast<std::size_t>(count), 1));
      }
    }
  }
}

TEST(ThreadPool, AWorkerNumberIsNeverInUseTwice) {
  ThreadPool pool(4);
  std::vector<std::atomic<int>> inside(4);
  std::atomic<bool> clash{false};
  for (int round = 0; round < 200; ++round) {
    pool.parallel_for(40, 1, [&](std::int64_t, std::int64_t, int worker) {
      ASSERT_GE(worker, 0);
      ASSERT_LT(worker, 4);
      if (inside[static_cast<std::size_t>(worker)].fetch_add(1) != 0) clash = true;
      inside[static_cast<std::size_t>(worker)].fetch_sub(1);
    });
  }
  EXPECT_FALSE(clash);
}

TEST(ThreadPool, ALoopSeesWhatTheLoopBeforeWrote) {
  constexpr std::size_t kSize = 257;
  ThreadPool pool(3);
  std::vector<int> from(kSize, 0);
  std::vector<int> to(kSize, 0);
  for (int round = 0; round < 3000; ++round) {
    pool.parallel_for(kSize, 16, [&](std::int64_t begin, std::int64_t end, int) {
      for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i)
        to[i] = from[kSize - 1 - i] + 1;
    });
    ASSERT_EQ(to, std::vector<int>(kSize, round + 1));
    std::swap(from, to);
    if (round % 1000 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));  // workers fall asleep
  }
}

TEST(ThreadPool, StartsAndStopsWithoutALoop) {
  for (int i = 0; i < 50; ++i)
    ThreadPool pool(3);
}

}  // namespace
}  // namespace expertscope::cpu
