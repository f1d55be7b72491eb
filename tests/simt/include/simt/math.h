// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

// expf, fmaxf and their like, in the global namespace as in CUDA
#include <math.h>

#include <bit>
#include <cstdint>

/// Intrinsics for numbers and bits. The fast ones of a GPU are the exact ones here: tests compare with a
/// tolerance that covers both.

template <class T>
T __ldg(const T* from) {
  return *from;
}

inline unsigned __float_as_uint(float value) {
  return std::bit_cast<unsigned>(value);
}
inline float __uint_as_float(unsigned bits) {
  return std::bit_cast<float>(bits);
}
inline int __float_as_int(float value) {
  return std::bit_cast<int>(value);
}
inline float __int_as_float(int bits) {
  return std::bit_cast<float>(bits);
}

inline int __popc(unsigned bits) {
  return std::popcount(bits);
}
inline int __popcll(unsigned long long bits) {
  return std::popcount(bits);
}
inline int __clz(int bits) {
  return std::countl_zero(static_cast<unsigned>(bits));
}
inline int __clzll(long long bits) {
  return std::countl_zero(static_cast<unsigned long long>(bits));
}
inline int __ffs(int bits) {
  return __builtin_ffs(bits);
}
inline int __ffsll(long long bits) {
  return __builtin_ffsll(bits);
}
inline unsigned __brev(unsigned bits) {
  unsigned reversed = 0;
  for (int i = 0; i < 32; ++i) {
    reversed |= ((bits >> i) & 1u) << (31 - i);
  }
  return reversed;
}

inline float __expf(float x) {
  return expf(x);
}
inline float __logf(float x) {
  return logf(x);
}
inline float __log2f(float x) {
  return log2f(x);
}
inline float __powf(float x, float y) {
  return powf(x, y);
}
inline float __sinf(float x) {
  return sinf(x);
}
inline float __cosf(float x) {
  return cosf(x);
}
inline float __fdividef(float x, float y) {
  return x / y;
}
inline float __saturatef(float x) {
  return fminf(fmaxf(x, 0.0f), 1.0f);
}
inline float rsqrtf(float x) {
  return 1.0f / sqrtf(x);
}
inline float __fadd_rn(float x, float y) {
  return x + y;
}
inline float __fmul_rn(float x, float y) {
  return x * y;
}
inline float __fmaf_rn(float x, float y, float z) {
  return fmaf(x, y, z);
}
inline float __fdiv_rn(float x, float y) {
  return x / y;
}
inline float __fsqrt_rn(float x) {
  return sqrtf(x);
}
inline float __frcp_rn(float x) {
  return 1.0f / x;
}

// One overload for each type CUDA has one for, so that the same calls are ambiguous.
inline int min(int x, int y) {
  return x < y ? x : y;
}
inline unsigned min(unsigned x, unsigned y) {
  return x < y ? x : y;
}
inline unsigned min(int x, unsigned y) {
  return min(static_cast<unsigned>(x), y);
}
inline unsigned min(unsigned x, int y) {
  return min(x, static_cast<unsigned>(y));
}
inline long min(long x, long y) {
  return x < y ? x : y;
}
inline unsigned long min(unsigned long x, unsigned long y) {
  return x < y ? x : y;
}
inline long long min(long long x, long long y) {
  return x < y ? x : y;
}
inline unsigned long long min(unsigned long long x, unsigned long long y) {
  return x < y ? x : y;
}
inline float min(float x, float y) {
  return fminf(x, y);
}
inline double min(double x, double y) {
  return fmin(x, y);
}

inline int max(int x, int y) {
  return x > y ? x : y;
}
inline unsigned max(unsigned x, unsigned y) {
  return x > y ? x : y;
}
inline unsigned max(int x, unsigned y) {
  return max(static_cast<unsigned>(x), y);
}
inline unsigned max(unsigned x, int y) {
  return max(x, static_cast<unsigned>(y));
}
inline long max(long x, long y) {
  return x > y ? x : y;
}
inline unsigned long max(unsigned long x, unsigned long y) {
  return x > y ? x : y;
}
inline long long max(long long x, long long y) {
  return x > y ? x : y;
}
inline unsigned long long max(unsigned long long x, unsigned long long y) {
  return x > y ? x : y;
}
inline float max(float x, float y) {
  return fmaxf(x, y);
}
inline double max(double x, double y) {
  return fmax(x, y);
}
