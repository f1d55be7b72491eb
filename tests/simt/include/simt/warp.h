// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <bit>
#include <cstring>
#include <type_traits>

#include "simt/thread.h"

/// Shuffles, votes and reductions. The last lane to arrive exchanges the values for all, so that no lane can
/// overwrite what another has not read yet.

namespace expertscope::simt {

/// One lane's part in a shuffle: its value, replaced by that of the lane it asks for.
template <class T>
struct Shuffle {
  T value;
  unsigned argument;  // lane, distance or lane mask
  unsigned width;     // of the segments that lanes stay in
};

/// The lane that `lane` reads from. PTX ISA, shfl.sync: distances and lane masks count modulo 32; who would
/// leave his segment reads himself; but an exclusive or may reach back into an earlier segment.
inline unsigned source_index(unsigned lane, unsigned argument, unsigned width) {
  return (lane & ~(width - 1)) | (argument & (width - 1));
}
inline unsigned source_up(unsigned lane, unsigned argument, unsigned width) {
  return (lane & (width - 1)) >= argument % 32 ? lane - argument % 32 : lane;
}
inline unsigned source_down(unsigned lane, unsigned argument, unsigned width) {
  return (lane & (width - 1)) + argument % 32 < width ? lane + argument % 32 : lane;
}
inline unsigned source_xor(unsigned lane, unsigned argument, unsigned width) {
  const unsigned source = lane ^ (argument % 32);
  return source <= (lane | (width - 1)) ? source : lane;
}

/// A lane that is not in the mask has no value to give: whoever reads it gets bytes of 0xFF.
template <class T, unsigned (*kSource)(unsigned lane, unsigned argument, unsigned width)>
void complete_shuffle(void* const (&lanes)[32], unsigned mask) {
  T values[32];
  if (mask != 0xffffffffu) std::memset(values, 0xFF, sizeof values);
  for (unsigned rest = mask; rest != 0; rest &= rest - 1) {
    const int lane = std::countr_zero(rest);
    values[lane] = static_cast<const Shuffle<T>*>(lanes[lane])->value;
  }
  for (unsigned rest = mask; rest != 0; rest &= rest - 1) {
    const int lane = std::countr_zero(rest);
    auto* shuffle = static_cast<Shuffle<T>*>(lanes[lane]);
    shuffle->value = values[kSource(static_cast<unsigned>(lane), shuffle->argument, shuffle->width)];
  }
}

template <unsigned (*kSource)(unsigned lane, unsigned argument, unsigned width), class T>
T shuffle(unsigned mask, T value, unsigned argument, int width, Where where) {
  static_assert(std::is_arithmetic_v<T>, "CUDA shuffles numbers only");
  if (width < 1 || width > 32 || !std::has_single_bit(static_cast<unsigned>(width))) {
    fail("the width of a shuffle is not a power of two up to 32", where);
  }
  Shuffle<T> mine{value, argument, static_cast<unsigned>(width)};
  meet(mask, &mine, &complete_shuffle<T, kSource>, where);
  return mine.value;
}

/// One lane's part in a reduction: its value, replaced by the largest or the smallest of all.
template <class T, bool kLargest>
void complete_reduce(void* const (&lanes)[32], unsigned mask) {
  T result = *static_cast<const T*>(lanes[std::countr_zero(mask)]);
  for (unsigned rest = mask; rest != 0; rest &= rest - 1) {
    const T value = *static_cast<const T*>(lanes[std::countr_zero(rest)]);
    if (kLargest ? value > result : value < result) result = value;
  }
  for (unsigned rest = mask; rest != 0; rest &= rest - 1)
    *static_cast<T*>(lanes[std::countr_zero(rest)]) = result;
}

/// One lane's part in a vote: its predicate, replaced by the lanes whose predicate is not 0.
void complete_ballot(void* const (&lanes)[32], unsigned mask);
void complete_nothing(void* const (&lanes)[32], unsigned mask);

}  // namespace expertscope::simt

inline void __syncwarp(unsigned mask = 0xffffffffu,
                       expertscope::simt::Where where = expertscope::simt::Where::current()) {
  expertscope::simt::meet(mask, nullptr, &expertscope::simt::complete_nothing, where);
}

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = warpSize,
              expertscope::simt::Where where = expertscope::simt::Where::current()) {
  return expertscope::simt::shuffle<expertscope::simt::source_index>(
      mask, value, static_cast<unsigned>(source), width, where);
}

template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = warpSize,
                 expertscope::simt::Where where = expertscope::simt::Where::current()) {
  return expertscope::simt::shuffle<expertscope::simt::source_up>(mask, value, delta, width, where);
}

template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = warpSize,
                   expertscope::simt::Where where = expertscope::simt::Where::current()) {
  return expertscope::simt::shuffle<expertscope::simt::source_down>(mask, value, delta, width, where);
}

template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = warpSize,
                  expertscope::simt::Where where = expertscope::simt::Where::current()) {
  return expertscope::simt::shuffle<expertscope::simt::source_xor>(
      mask, value, static_cast<unsigned>(lane_mask), width, where);
}

inline unsigned __ballot_sync(unsigned mask, int predicate,
                              expertscope::simt::Where where = expertscope::simt::Where::current()) {
  unsigned vote = predicate != 0;
  expertscope::simt::meet(mask, &vote, &expertscope::simt::complete_ballot, where);
  return vote;
}
inline int __any_sync(unsigned mask, int predicate,
                      expertscope::simt::Where where = expertscope::simt::Where::current()) {
  return __ballot_sync(mask, predicate, where) != 0;
}
inline int __all_sync(unsigned mask, int predicate,
                      expertscope::simt::Where where = expertscope::simt::Where::current()) {
  return __ballot_sync(mask, predicate, where) == mask;
}

/// Compute capability 8.0 reduces 32-bit integers only.
template <class T>
T __reduce_max_sync(unsigned mask, T value,
                    expertscope::simt::Where where = expertscope::simt::Where::current()) {
  static_assert(std::is_same_v<T, unsigned> || std::is_same_v<T, int>, "CUDA reduces 32-bit integers only");
  expertscope::simt::meet(mask, &value, &expertscope::simt::complete_reduce<T, true>, where);
  return value;
}
template <class T>
T __reduce_min_sync(unsigned mask, T value,
                    expertscope::simt::Where where = expertscope::simt::Where::current()) {
  static_assert(std::is_same_v<T, unsigned> || std::is_same_v<T, int>, "CUDA reduces 32-bit integers only");
  expertscope::simt::meet(mask, &value, &expertscope::simt::complete_reduce<T, false>, where);
  return value;
}
