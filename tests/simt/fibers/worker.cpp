// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/simt/fibers/worker.h"

#include <algorithm>
#include <bit>
#include <cstring>

constinit thread_local uint3 threadIdx{};
constinit thread_local uint3 blockIdx{};
constinit thread_local dim3 blockDim{};
constinit thread_local dim3 gridDim{};

// What runs at every switch: as one piece of code it takes half the time that it takes as calls.
#define HOT [[gnu::always_inline]] inline

namespace expertscope::simt {

namespace {

/// Threads that ask to sleep this often, while none does anything else, wait for what never comes.
constexpr std::uint64_t kMaxIdleTurns = 1'000'000;

constinit thread_local Worker* this_worker = nullptr;

bool is_same_place(const Where& a, const Where& b) {
  return a.line() == b.line() && a.column() == b.column() &&
         (a.file_name() == b.file_name() || std::strcmp(a.file_name(), b.file_name()) == 0);
}

}  // namespace

Worker& Worker::mine() {
  static thread_local Worker worker;
  return worker;
}

Worker& Worker::running() {
  return *this_worker;
}

void Worker::begin(const Launch& launch, Order order, std::uint64_t seed) {
  this_worker = this;
  launch_ = &launch;
  order_ = order;
  random_ = Random(seed);
  shared_.resize(launch.dynamic_shared);
  main_.adopt_stack();

  const dim3 size = launch.block;
  thread_count_ = size.x * size.y * size.z;
  warp_count_ = (thread_count_ + 31) / 32;
  if (threads_.size() < thread_count_) threads_.resize(thread_count_);
  if (warps_.size() < warp_count_) warps_.resize(warp_count_);
  for (unsigned i = 0; i < thread_count_; ++i) {
    threads_[i].index = {i % size.x, i / size.x % size.y, i / (size.x * size.y)};
    threads_[i].position = i;
  }
  blockDim = size;
  gridDim = launch.grid;
}

std::string Worker::run_block(uint3 index) {
  prepare_block(index);
  failure_.clear();
  if (Thread* first = pick()) switch_away(main_, first);
  current_ = nullptr;
  if (failure_.empty() && alive_ != 0) failure_ = explain_deadlock();
  if (failure_.empty() && !shared_.intact()) {
    failure_ = block_text() + ": wrote behind the end of its dynamic shared memory";
    shared_.repair();
  }
  if (alive_ != 0) abandon_block();
  return failure_;
}

void Worker::prepare_block(uint3 index) {
  blockIdx = index;
  shared_.poison();
  alive_ = thread_count_;
  ready_warps_ = warp_count_ == 32 ? ~0u : (1u << warp_count_) - 1;
  waiting_ = nonzero_ = 0;
  idle_turns_ = 0;
  for (unsigned w = 0; w < warp_count_; ++w) {
    Warp& warp = warps_[w];
    const unsigned lanes = std::min(32u, thread_count_ - w * 32);
    warp.ready = lanes == 32 ? ~0u : (1u << lanes) - 1;
    warp.at_barrier = warp.ended = 0;
    warp.meetings = 0;
  }
  current_ = nullptr;
}

/// The member of `set` that comes after `last` in this launch's order, round about; a random order goes on
/// from anywhere.
HOT unsigned Worker::pick_bit(unsigned set, unsigned last) {
  if (order_ == Order::random) last = static_cast<unsigned>(random_.next() >> 59);
  if (order_ == Order::reverse) {
    const unsigned before = set & ((1u << last) - 1);
    return 31 - static_cast<unsigned>(std::countl_zero(before != 0 ? before : set));
  }
  const unsigned behind = set & ~(((1u << last) << 1) - 1);
  return static_cast<unsigned>(std::countr_zero(behind != 0 ? behind : set));
}

/// Takes the next thread that can run out of the ready ones, or none. In order, a warp goes on as long as one
/// of its lanes can: its lanes meet soonest, and their stacks are still in the cache.
HOT Thread* Worker::pick() {
  if (ready_warps_ == 0) return nullptr;
  const unsigned before_first = order_ == Order::reverse ? 0 : 31;
  unsigned w = current_ != nullptr ? current_->position / 32 : before_first;
  unsigned last_lane = before_first;
  if (current_ != nullptr && order_ != Order::random && warps_[w].ready != 0) {
    last_lane = current_->position % 32;
  } else {
    w = pick_bit(ready_warps_, w);
  }
  Warp& warp = warps_[w];
  const unsigned lane = pick_bit(warp.ready, last_lane);
  warp.ready &= ~(1u << lane);
  if (warp.ready == 0) ready_warps_ &= ~(1u << w);
  return &threads_[w * 32 + lane];
}

HOT void Worker::make_ready(Warp& warp, unsigned lanes) {
  if (lanes == 0) return;
  warp.ready |= lanes;
  ready_warps_ |= 1u << static_cast<unsigned>(&warp - warps_.data());
}

HOT void Worker::enter(Thread& thread) {
  current_ = &thread;
  threadIdx = thread.index;
}

/// Gives a thread that is to begin a fiber.
void Worker::give_fiber(Thread& thread) {
  if (idle_fibers_.empty()) {
    const auto number = static_cast<unsigned>(fibers_.size());
    fibers_.push_back(std::make_unique<Fiber>(number, &Worker::run_threads));
    idle_fibers_.push_back(fibers_.back().get());
  }
  thread.fiber = idle_fibers_.back();
  thread.fiber->thread = &thread;
  idle_fibers_.pop_back();
}

/// Leaves `from` for the fiber of `next`, or for the main one when no thread can run.
HOT void Worker::switch_away(Fiber& from, Thread* next) {
  if (next == nullptr) {
    from.switch_to(main_);
    return;
  }
  if (next->fiber == nullptr) give_fiber(*next);
  enter(*next);
  from.switch_to(*next->fiber);
}

/// What every fiber does, for ever: it runs the thread it carries, then the next that has not begun, and
/// waits among the idle ones when the next to run is in the middle of something on its own fiber.
void Worker::run_threads() {
  Fiber::arrived();
  Worker& worker = running();
  Fiber& self = *worker.current_->fiber;
  for (;;) {
    worker.launch_->kernel();
    worker.end_thread();
    Thread* next = worker.pick();
    if (next != nullptr && next->fiber == nullptr) {
      next->fiber = &self;
      self.thread = next;
      worker.enter(*next);
      continue;
    }
    self.thread = nullptr;
    worker.idle_fibers_.push_back(&self);
    worker.switch_away(self, next);
  }
}

void Worker::end_thread() {
  Thread& me = *current_;
  warps_[me.position / 32].ended |= 1u << (me.position % 32);
  me.fiber = nullptr;
  me.copies.clear();
  me.copy_group = 0;
  --alive_;
  idle_turns_ = 0;
  // Since sm_70 a barrier waits for the threads that have not ended, not for all.
  if (waiting_ != 0 && waiting_ == alive_) release_barrier();
}

HOT void Worker::wait(unsigned mask, Where where) {
  Thread& me = *current_;
  me.mask = mask;
  me.where = where;
  switch_away(*me.fiber, pick());
}

HOT Meeting& Worker::meeting_of(Warp& warp, unsigned mask, Complete complete, Where where) {
  for (int i = 0; i < warp.meetings; ++i) {
    if (warp.meeting[i].mask != mask) continue;
    if (warp.meeting[i].complete != complete) {
      fail("a warp collective that others of its mask wait for in a different one", where);
    }
    return warp.meeting[i];
  }
  Meeting& meeting = warp.meeting[warp.meetings++];
  meeting = {mask, 0, complete};
  return meeting;
}

HOT void Worker::meet(unsigned mask, void* mine, Complete complete, Where where) {
  const unsigned position = current_->position;
  Warp& warp = warps_[position / 32];
  const unsigned me = 1u << (position % 32);
  if ((mask & me) == 0) fail("a warp collective by a lane that is not in its mask", where);
  idle_turns_ = 0;
  Meeting& meeting = meeting_of(warp, mask, complete, where);
  meeting.arrived |= me;
  warp.lanes[position % 32] = mine;
  if (meeting.arrived != mask) return wait(mask, where);
  meeting = warp.meeting[--warp.meetings];
  complete(warp.lanes, mask);
  make_ready(warp, mask & ~me);
}

HOT BarrierCount Worker::barrier(bool predicate, Where where) {
  Thread& me = *current_;
  if (waiting_ == 0) {
    barrier_where_ = where;
  } else if (!is_same_place(barrier_where_, where)) {
    fail_divergent_barrier(where);
  }
  idle_turns_ = 0;
  ++waiting_;
  nonzero_ += predicate;
  if (waiting_ == alive_) {
    release_barrier();
  } else {
    warps_[me.position / 32].at_barrier |= 1u << (me.position % 32);
    wait(0, where);
  }
  return barrier_count_;  // nobody can change it before this thread comes to the next barrier
}

void Worker::release_barrier() {
  barrier_count_ = {static_cast<int>(waiting_), static_cast<int>(nonzero_)};
  waiting_ = nonzero_ = 0;
  for (unsigned w = 0; w < warp_count_; ++w) {
    make_ready(warps_[w], warps_[w].at_barrier);
    warps_[w].at_barrier = 0;
  }
}

void Worker::yield() {
  Thread& me = *current_;
  if (++idle_turns_ > kMaxIdleTurns) fail("the block only sleeps", Where::current());
  make_ready(warps_[me.position / 32], 1u << (me.position % 32));
  Thread* next = pick();
  if (next != &me) switch_away(*me.fiber, next);
}

/// After a failure nothing of the block runs again; kernels hold nothing that would have to be given back.
void Worker::abandon_block() {
  for (const auto& fiber : fibers_) {
    if (fiber->thread == nullptr) continue;
    Thread& thread = *fiber->thread;
    thread.fiber = nullptr;
    thread.copies.clear();
    thread.copy_group = 0;
    fiber->thread = nullptr;
    fiber->abandon();
    idle_fibers_.push_back(fiber.get());
  }
}

void Worker::fail(const char* what, Where where) {
  record_failure(what, where);
  leave_for_good();
}

void Worker::leave_for_good() {
  current_->fiber->switch_to(main_);
  __builtin_unreachable();  // the fiber is abandoned
}

void meet(unsigned mask, void* mine, Complete complete, Where where) {
  this_worker->meet(mask, mine, complete, where);
}
BarrierCount barrier(bool predicate, Where where) {
  return this_worker->barrier(predicate, where);
}
void yield() {
  this_worker->yield();
}
void fail(const char* what, Where where) {
  this_worker->fail(what, where);
}
unsigned char* dynamic_shared() {
  return this_worker->dynamic_shared();
}

}  // namespace expertscope::simt
