// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "simt/order.h"
#include "simt/thread.h"
#include "tests/simt/fibers/fiber.h"
#include "tests/simt/fibers/random.h"
#include "tests/simt/fibers/shared_memory.h"

namespace expertscope::simt {

/// A kernel with its arguments, and the grid it is started for.
struct Launch {
  dim3 grid;
  dim3 block;
  std::size_t dynamic_shared = 0;
  std::function<void()> kernel;
};

/// A copy that was started and not waited for.
struct PendingCopy {
  void* to;
  const void* from;
  bool valid;
  int group;
};

/// One CUDA thread of the block that runs. What a switch reads is in one line of the cache.
struct alignas(64) Thread {
  uint3 index{};
  unsigned position = 0;   // in the block
  Fiber* fiber = nullptr;  // that carries it, from its first instruction to its last
  unsigned mask = 0;       // of the warp collective it waits in, or 0
  Where where;             // what it waits in
  std::vector<PendingCopy> copies;
  int copy_group = 0;  // that is open
};

/// A warp collective that some of its lanes have come to.
struct Meeting {
  unsigned mask;
  unsigned arrived;
  Complete complete;
};

/// Sets of lanes are bit masks. A lane is in exactly one of: ready, waiting for others (in a meeting or at
/// the barrier), ended, or it is the one that runs.
struct Warp {
  unsigned ready = 0;
  unsigned at_barrier = 0;
  unsigned ended = 0;
  int meetings = 0;  // in progress: the first of `meeting`
  Meeting meeting[32];
  void* lanes[32];  // what each lane brought to the meeting it is in
};

/// Runs blocks, one at a time, on the OS thread that calls it. Every CUDA thread runs until it has to wait; a
/// fiber whose thread has ended goes on with the next thread that has not begun, so threads that never wait
/// share one stack and cost no switch.
class Worker {
 public:
  Worker() = default;
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// This OS thread's.
  static Worker& mine();
  /// The one whose CUDA thread is asking.
  static Worker& running();

  void begin(const Launch& launch, Order order, std::uint64_t seed);
  /// Runs one block to its end. Returns what went wrong, or nothing.
  std::string run_block(uint3 index);

  // What thread.h declares, for the thread that runs.
  void meet(unsigned mask, void* mine, Complete complete, Where where);
  BarrierCount barrier(bool predicate, Where where);
  void yield();
  [[noreturn]] void fail(const char* what, Where where);
  void start_copy(void* to, const void* from, bool valid, Where where);
  void finish_copies(int pending_groups);
  Thread& current() { return *current_; }
  unsigned char* dynamic_shared() { return shared_.data(); }

 private:
  static void run_threads();

  void prepare_block(uint3 index);
  Thread* pick();
  unsigned pick_bit(unsigned set, unsigned last);
  void make_ready(Warp& warp, unsigned lanes);
  void enter(Thread& thread);
  void give_fiber(Thread& thread);
  void wait(unsigned mask, Where where);
  void switch_away(Fiber& from, Thread* next);
  void end_thread();
  void release_barrier();
  [[noreturn]] void leave_for_good();
  void abandon_block();
  Meeting& meeting_of(Warp& warp, unsigned mask, Complete complete, Where where);

  // Words for what went wrong: diagnosis.cpp.
  std::string block_text() const;
  std::string thread_text(const Thread& thread) const;
  std::string missing_text(const Warp& warp, const Meeting& meeting) const;
  std::string explain_deadlock() const;
  void record_failure(std::string_view what, Where where);
  [[noreturn]] void fail_divergent_barrier(Where where);

  const Launch* launch_ = nullptr;
  Order order_ = Order::forward;
  Random random_;
  SharedMemory shared_;

  std::vector<Thread> threads_;  // at least as many as a block has
  std::vector<Warp> warps_;
  unsigned thread_count_ = 0;
  unsigned warp_count_ = 0;
  unsigned alive_ = 0;
  unsigned ready_warps_ = 0;  // those with a ready lane
  Thread* current_ = nullptr;

  unsigned waiting_ = 0;  // at the barrier
  unsigned nonzero_ = 0;
  Where barrier_where_;
  BarrierCount barrier_count_{};
  std::uint64_t idle_turns_ = 0;

  Fiber main_;
  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<Fiber*> idle_fibers_;
  std::string failure_;
};

}  // namespace expertscope::simt
