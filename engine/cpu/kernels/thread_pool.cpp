// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/cpu/kernels/thread_pool.h"

#include <sched.h>

#include <algorithm>
#include <chrono>
#include <exception>

#include "engine/cpu/kernels/cpu_quota.h"

namespace expertscope::cpu {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::microseconds kSpin{30};

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

/// Looks until `done` for at most kSpin; false when the time is up.
template <class Done>
bool spin_until(Done done) {
  const Clock::time_point limit = Clock::now() + kSpin;
  do {
    for (int i = 0; i < 16; ++i) {
      if (done()) return true;
      relax();
    }
  } while (Clock::now() < limit);
  return done();
}

}  // namespace

int available_threads() {
  cpu_set_t set;
  CPU_ZERO(&set);
  int count = 0;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) count = CPU_COUNT(&set);
  if (count < 1) count = std::max(static_cast<int>(std::thread::hardware_concurrency()), 1);
  return std::min(count, quota_threads().value_or(count));
}

ThreadPool::ThreadPool(int threads) {
  const int wanted = std::min(threads > 0 ? threads : available_threads(), kMaxThreads);
  workers_.reserve(static_cast<std::size_t>(wanted) - 1);
  for (int worker = 1; worker < wanted; ++worker) {
    try {
      workers_.emplace_back([this, worker] { work(worker); });
    } catch (const std::exception&) {  // no thread, or no memory for one
      break;
    }
  }
}

ThreadPool::~ThreadPool() {
  stopping_.store(true);
  state_.fetch_add(kLoop);
  state_.notify_all();
  for (std::thread& worker : workers_)
    worker.join();
}

void ThreadPool::run(std::int64_t count, std::int64_t grain, Body body, void* object) {
  if (count <= 0) return;
  if (grain < 1) grain = 1;
  if (workers_.empty() || count <= grain) {
    for (std::int64_t i = 0; i < count; i += grain)
      body(object, i, i + grain < count ? i + grain : count, 0);
    return;
  }
  // Nobody is inside: the previous loop waited for that.
  body_ = body;
  object_ = object;
  count_ = count;
  grain_ = grain;
  next_.store(0, std::memory_order_relaxed);
  state_.fetch_add(kLoop | kOpen, std::memory_order_release);
  state_.notify_all();
  take_chunks(0);
  state_.fetch_and(~kOpen, std::memory_order_acq_rel);
  const auto left = [this] { return (state_.load(std::memory_order_acquire) & kInside) == 0; };
  while (!spin_until(left)) {
    const std::uint32_t state = state_.load(std::memory_order_acquire);
    if ((state & kInside) != 0) state_.wait(state, std::memory_order_acquire);
  }
}

void ThreadPool::take_chunks(int worker) {
  for (;;) {
    const std::int64_t begin = next_.fetch_add(grain_, std::memory_order_relaxed);
    if (begin >= count_) return;
    body_(object_, begin, begin + grain_ < count_ ? begin + grain_ : count_, worker);
  }
}

void ThreadPool::work(int worker) {
  std::uint32_t seen = 0;  // the loop this worker took part in last
  for (;;) {
    std::uint32_t state = state_.load(std::memory_order_acquire);
    const auto news = [&] {
      state = state_.load(std::memory_order_acquire);
      return state / kLoop != seen && ((state & kOpen) != 0 || stopping_.load());
    };
    while (!spin_until(news))
      state_.wait(state, std::memory_order_acquire);
    if (stopping_.load()) return;
    // Enters only while the loop is open; a worker that comes late leaves it to the others.
    if (!state_.compare_exchange_strong(state, state + kOneInside, std::memory_order_acquire)) continue;
    seen = state / kLoop;
    take_chunks(worker);
    if ((state_.fetch_sub(kOneInside, std::memory_order_release) & kInside) == kOneInside)
      state_.notify_all();
  }
}

}  // namespace expertscope::cpu
