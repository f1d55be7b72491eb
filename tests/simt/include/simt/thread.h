// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "host_defines.h"
#include "simt/where.h"
#include "vector_types.h"

/// What a kernel knows about itself, and how its threads meet. The thread that runs is the one these
/// describe: the emulator sets them whenever it turns to another. Only kernels may read them; nobody may
/// write them.
extern constinit thread_local uint3 threadIdx;
extern constinit thread_local uint3 blockIdx;
extern constinit thread_local dim3 blockDim;
extern constinit thread_local dim3 gridDim;
inline constexpr int warpSize = 32;

namespace expertscope::simt {

/// What the last lane to arrive at a warp collective does for all of them. `lanes[l]` is what lane l brought;
/// only the lanes of `mask` brought anything.
using Complete = void (*)(void* const (&lanes)[32], unsigned mask);

/// Returns when all lanes of `mask` have come to the same collective (the same `complete`) with the same mask
/// and `complete` has run once. `mine` is what this lane brings and where its result is put; it stays valid
/// because the lane waits here. Lanes that never come are reported when nothing else in the block can run.
void meet(unsigned mask, void* mine, Complete complete, Where where);

/// What __syncthreads and its relatives count: threads that arrived, and those whose predicate was not 0.
struct BarrierCount {
  int arrived;
  int nonzero;
};
/// Returns when every thread of the block that has not ended has come to the same place.
BarrierCount barrier(bool predicate, Where where);

/// Lets other threads of the block run.
void yield();

/// Dynamic shared memory of this block.
unsigned char* dynamic_shared();

/// Ends the launch with an error whose message is `what`, the place and the thread.
[[noreturn]] void fail(const char* what, Where where);

/// An asynchronous copy of 16 bytes; see simt_instructions.h.
void start_copy(void* to, const void* from, bool valid, Where where);
void close_copy_group();
void finish_copies(int pending_groups);

}  // namespace expertscope::simt

inline void __syncthreads(expertscope::simt::Where where = expertscope::simt::Where::current()) {
  expertscope::simt::barrier(false, where);
}
inline int __syncthreads_count(int predicate,
                               expertscope::simt::Where where = expertscope::simt::Where::current()) {
  return expertscope::simt::barrier(predicate != 0, where).nonzero;
}
inline int __syncthreads_or(int predicate,
                            expertscope::simt::Where where = expertscope::simt::Where::current()) {
  return expertscope::simt::barrier(predicate != 0, where).nonzero != 0;
}
inline int __syncthreads_and(int predicate,
                             expertscope::simt::Where where = expertscope::simt::Where::current()) {
  const expertscope::simt::BarrierCount count = expertscope::simt::barrier(predicate != 0, where);
  return count.nonzero == count.arrived;
}

/// Threads of a block take turns here, so memory is always in order between them; between blocks on different
/// OS threads a fence is a fence.
inline void __threadfence_block() {
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
}
inline void __threadfence() {
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
}
inline void __threadfence_system() {
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

inline void __nanosleep(unsigned) {
  expertscope::simt::yield();
}
[[noreturn]] inline void __trap(expertscope::simt::Where where = expertscope::simt::Where::current()) {
  expertscope::simt::fail("__trap", where);
}
