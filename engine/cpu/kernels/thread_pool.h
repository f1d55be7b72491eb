// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <type_traits>
#include <vector>

namespace expertscope::cpu {

/// Processors this process may run on (its affinity mask), as many as the quota of its container pays for;
/// at least 1.
int available_threads();

/// Persistent workers that share loops. The caller of parallel_for works too, so `threads` counts it. Workers
/// spin some microseconds after a loop, because the next one usually follows at once, then sleep: on a
/// machine that others use as well, spinning for long costs more than it gains.
class ThreadPool {
 public:
  /// Fewer than the pool's counter holds, and more than the machines it was made for have.
  static constexpr int kMaxThreads = 1024;

  /// `threads` <= 0: available_threads(); at most kMaxThreads. When the system refuses a thread, the pool
  /// runs with fewer.
  explicit ThreadPool(int threads = 0);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  /// Calls fn(begin, end, worker) for disjoint ranges that cover [0, count), each of `grain` elements (the
  /// last may be shorter), and returns when all are done. `worker` is in [0, threads()), never used by two
  /// calls at once; 0 is the caller. One loop at a time; fn must not throw and must not start a loop of this
  /// pool.
  template <class Fn>
  void parallel_for(std::int64_t count, std::int64_t grain, Fn&& fn) {
    using Function = std::remove_reference_t<Fn>;
    run(
        count, grain,
        [](void* object, std::int64_t begin, std::int64_t end, int worker) {
          (*static_cast<Function*>(object))(begin, end, worker);
        },
        const_cast<std::remove_const_t<Function>*>(&fn));
  }

 private:
  using Body = void (*)(void* object, std::int64_t begin, std::int64_t end, int worker);

  void run(std::int64_t count, std::int64_t grain, Body body, void* object);
  void take_chunks(int worker);
  void work(int worker);

  // state_: loops started so far (upper bits), workers inside the loop, whether the loop can be entered. One
  // word, so that a worker enters exactly the loop it saw, and the caller never waits for one that sleeps.
  static constexpr std::uint32_t kOpen = 1;
  static constexpr std::uint32_t kOneInside = 2;
  static constexpr std::uint32_t kLoop = 1u << 12;
  static constexpr std::uint32_t kInside = kLoop - kOneInside;
  static_assert(kMaxThreads <= kInside / kOneInside, "all workers inside at once would count as a loop");

  // The loop in progress; written by the caller while nobody is inside.
  Body body_ = nullptr;
  void* object_ = nullptr;
  std::int64_t count_ = 0;
  std::int64_t grain_ = 1;

  alignas(64) std::atomic<std::int64_t> next_{0};  // first element nobody took
  alignas(64) std::atomic<std::uint32_t> state_{0};
  std::atomic<bool> stopping_{false};
  std::vector<std::thread> workers_;
};

}  // namespace expertscope::cpu
