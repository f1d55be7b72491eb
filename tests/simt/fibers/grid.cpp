// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/simt/fibers/grid.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <numeric>
#include <utility>
#include <vector>

#include "tests/simt/fibers/crew.h"

namespace expertscope::simt {

namespace {

/// The n-th block to run, for every n.
class BlockOrder {
 public:
  BlockOrder(std::size_t count, const Schedule& schedule) : count_(count), order_(schedule.order) {
    if (order_ != Order::random) return;
    shuffled_.resize(count);
    std::iota(shuffled_.begin(), shuffled_.end(), 0u);
    Random random(schedule.seed);
    for (std::size_t i = count; i > 1; --i) {
      std::swap(shuffled_[i - 1], shuffled_[random.below(static_cast<unsigned>(i))]);
    }
  }
  std::size_t operator[](std::size_t n) const {
    if (order_ == Order::forward) return n;
    return order_ == Order::reverse ? count_ - 1 - n : shuffled_[n];
  }

 private:
  std::size_t count_;
  Order order_;
  std::vector<unsigned> shuffled_;
};

}  // namespace

std::string run_grid(const Launch& launch, const Schedule& schedule) {
  const dim3 grid = launch.grid;
  const std::size_t count = std::size_t{grid.x} * grid.y * grid.z;
  const BlockOrder blocks(count, schedule);
  std::atomic<std::size_t> next{0};
  std::atomic<bool> failed{false};
  std::mutex failure_mutex;
  std::string failure;

  const auto run_blocks = [&](int member) {
    Worker& worker = Worker::mine();
    worker.begin(launch, schedule.order, schedule.seed + static_cast<unsigned>(member));
    for (;;) {
      const std::size_t n = next.fetch_add(1, std::memory_order_relaxed);
      if (n >= count || failed.load(std::memory_order_relaxed)) return;
      const std::size_t block = blocks[n];
      std::string wrong = worker.run_block({static_cast<unsigned>(block % grid.x),
                                            static_cast<unsigned>(block / grid.x % grid.y),
                                            static_cast<unsigned>(block / (std::size_t{grid.x} * grid.y))});
      if (wrong.empty()) continue;
      const std::lock_guard lock(failure_mutex);
      if (!failed.exchange(true)) failure = std::move(wrong);
    }
  };
  const int members = static_cast<int>(std::min<std::size_t>(std::max(1, schedule.workers), count));
  if (members == 1) {
    run_blocks(0);
  } else {
    static Crew crew;
    crew.run(members, run_blocks);
  }
  return failure;
}

}  // namespace expertscope::simt
