// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <atomic>
#include <concepts>
#include <type_traits>

/// Atomics in global and shared memory, for the types CUDA has them for: 64-bit numbers are (unsigned) long
/// long there, not std::uint64_t, and code that mixes them up must not compile here either.

namespace expertscope::simt {

template <class T, class... Types>
concept OneOf = (std::same_as<T, Types> || ...);

template <class T>
concept Addable = OneOf<T, int, unsigned, unsigned long long, float, double>;
template <class T>
concept Comparable = OneOf<T, int, unsigned, long long, unsigned long long>;
template <class T>
concept Exchangeable = OneOf<T, int, unsigned, unsigned long long, float>;
template <class T>
concept Bits = OneOf<T, int, unsigned, unsigned long long>;

/// Replaces *at by change(*at) and returns what was there.
template <class T, class Change>
T update(T* at, Change change) {
  const std::atomic_ref<T> cell(*at);
  T old = cell.load(std::memory_order_relaxed);
  while (!cell.compare_exchange_weak(old, change(old), std::memory_order_relaxed)) {
  }
  return old;
}

}  // namespace expertscope::simt

template <expertscope::simt::Addable T>
T atomicAdd(T* at, std::type_identity_t<T> value) {
  return std::atomic_ref<T>(*at).fetch_add(value, std::memory_order_relaxed);
}
template <expertscope::simt::OneOf<int, unsigned> T>
T atomicSub(T* at, std::type_identity_t<T> value) {
  return std::atomic_ref<T>(*at).fetch_sub(value, std::memory_order_relaxed);
}
template <expertscope::simt::Comparable T>
T atomicMax(T* at, std::type_identity_t<T> value) {
  return expertscope::simt::update(at, [value](T old) { return old > value ? old : value; });
}
template <expertscope::simt::Comparable T>
T atomicMin(T* at, std::type_identity_t<T> value) {
  return expertscope::simt::update(at, [value](T old) { return old < value ? old : value; });
}
template <expertscope::simt::Exchangeable T>
T atomicExch(T* at, std::type_identity_t<T> value) {
  return std::atomic_ref<T>(*at).exchange(value, std::memory_order_relaxed);
}
template <expertscope::simt::Bits T>
T atomicCAS(T* at, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  std::atomic_ref<T>(*at).compare_exchange_strong(expected, value, std::memory_order_relaxed);
  return expected;
}
template <expertscope::simt::Bits T>
T atomicOr(T* at, std::type_identity_t<T> value) {
  return std::atomic_ref<T>(*at).fetch_or(value, std::memory_order_relaxed);
}
template <expertscope::simt::Bits T>
T atomicAnd(T* at, std::type_identity_t<T> value) {
  return std::atomic_ref<T>(*at).fetch_and(value, std::memory_order_relaxed);
}
