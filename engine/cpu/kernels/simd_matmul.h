// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <xmmintrin.h>

#include <cstdint>

#include "engine/cpu/kernels/kernels.h"

/// The matrix product of every SIMD level but amx, over a policy P of the including file's unnamed namespace
/// (see levels.h):
///   kStep      elements of K per step
///   kRows      weight rows per tile: as many streams from memory in flight
///   kTokens    activation rows per tile at most; kRows * kTokens accumulators stay in registers
///   kWBytes, kXBytes      bytes of an element
///   Sum, X, W             registers
///   zero(), load_x(p), load_w(p), load_w_tail(p, count), mac(sum, x, w)
///   store(sums, y, count) adds up the lanes of each of kRows sums and stores the first `count`
///
/// Weights are read where they lie in the file: along K, as the instruction wants them, so nothing is packed
/// and each (m, n) has one accumulator whose order of summation depends on K alone.
namespace expertscope::cpu {

/// Bytes a block of weights or activations may take of the second-level cache.
inline constexpr std::int64_t kWeightBlockBytes = 192 << 10;
inline constexpr std::int64_t kTokenBlockBytes = 384 << 10;
/// How far ahead of the arithmetic each weight row is fetched.
inline constexpr std::int64_t kPrefetchBytes = 512;

/// kRows weight rows by kM tokens. `w` holds a pointer per weight row, `x` one per token.
template <class P, int kM, bool kPrefetch>
inline void matmul_tile(const std::uint8_t* const* w, const std::uint8_t* const* x, std::int64_t cols,
                        float* y, std::int64_t y_stride, int count) {
  typename P::Sum sums[kM][P::kRows];
#pragma GCC unroll 8
  for (int m = 0; m < kM; ++m)
#pragma GCC unroll 8
    for (int n = 0; n < P::kRows; ++n)
      sums[m][n] = P::zero();

  std::int64_t k = 0;
  for (; k + P::kStep <= cols; k += P::kStep) {
    typename P::X xs[kM];
#pragma GCC unroll 8
    for (int m = 0; m < kM; ++m)
      xs[m] = P::load_x(x[m] + k * P::kXBytes);
#pragma GCC unroll 8
    for (int n = 0; n < P::kRows; ++n) {
      const std::uint8_t* at = w[n] + k * P::kWBytes;
      if (kPrefetch) _mm_prefetch(reinterpret_cast<const char*>(at + kPrefetchBytes), _MM_HINT_T0);
      const typename P::W ws = P::load_w(at);
#pragma GCC unroll 8
      for (int m = 0; m < kM; ++m)
        sums[m][n] = P::mac(sums[m][n], xs[m], ws);
    }
  }
  if (k < cols) {
    const int left = static_cast<int>(cols - k);
#pragma GCC unroll 8
    for (int n = 0; n < P::kRows; ++n) {
      const typename P::W ws = P::load_w_tail(w[n] + k * P::kWBytes, left);
#pragma GCC unroll 8
      for (int m = 0; m < kM; ++m)
        sums[m][n] = P::mac(sums[m][n], P::load_x(x[m] + k * P::kXBytes), ws);
    }
  }
#pragma GCC unroll 8
  for (int m = 0; m < kM; ++m)
    P::store(sums[m], y + m * y_stride, count);
}

/// All tokens [m0, m1) against one group of weight rows. `ahead` is the next group: it is fetched into the
/// second-level cache while this one is computed, a share with every tile.
template <class P>
inline void matmul_rows(const std::uint8_t* const* w, const PackedActivations& packed, std::int64_t m0,
                        std::int64_t m1, float* y, int count, std::int64_t y_stride,
                        const std::uint8_t* ahead, std::int64_t ahead_bytes) {
  const auto* memory = static_cast<const std::uint8_t*>(packed.memory);
  const std::int64_t x_bytes = packed.stride * P::kXBytes;
  const std::int64_t tiles = (m1 - m0 + P::kTokens - 1) / P::kTokens;
  const std::int64_t share = ((ahead_bytes + tiles - 1) / tiles + 63) / 64 * 64;
  for (std::int64_t m = m0; m < m1; m += P::kTokens) {
    const std::uint8_t* x[P::kTokens];
    for (int i = 0; i < P::kTokens; ++i)
      x[i] = memory + (m + i) * x_bytes;
    float* to = y + m * y_stride;
    const std::int64_t left = m1 - m;
    if (tiles > 2) {
      for (std::int64_t b = 0; b < share && ahead_bytes > 0; b += 64, ahead_bytes -= 64, ahead += 64)
        _mm_prefetch(reinterpret_cast<const char*>(ahead), _MM_HINT_T1);
    }
    if (left == 1) {
      matmul_tile<P, 1, true>(w, x, packed.cols, to, y_stride, count);
    } else if (left == 2) {
      matmul_tile<P, 2, false>(w, x, packed.cols, to, y_stride, count);
    } else {
      matmul_tile<P, P::kTokens, false>(w, x, packed.cols, to, y_stride, count);
    }
  }
}

/// y[m][n] for all m and n in [n0, n1), in blocks of rows and tokens that stay in the cache.
template <class P>
inline void matmul_blocks(const void* weights, const PackedActivations& x, std::int64_t n0, std::int64_t n1,
                          float* y, std::int64_t y_stride) {
  static_assert(P::kTokens == 3 || P::kTokens == 2);
  const auto* memory = static_cast<const std::uint8_t*>(weights);
  const std::int64_t row_bytes = x.cols * P::kWBytes;
  const auto blocks = [](std::int64_t bytes, std::int64_t row, std::int64_t unit) {
    const std::int64_t rows = bytes / (row > 0 ? row : 1) / unit * unit;
    return rows > unit ? rows : unit;
  };
  const std::int64_t n_block = blocks(kWeightBlockBytes, row_bytes, P::kRows);
  const std::int64_t m_block = blocks(kTokenBlockBytes, x.stride * P::kXBytes, P::kTokens);

  for (std::int64_t n_begin = n0; n_begin < n1; n_begin += n_block) {
    const std::int64_t n_end = n_begin + n_block < n1 ? n_begin + n_block : n1;
    for (std::int64_t m = 0; m < x.rows; m += m_block) {
      const std::int64_t m_end = m + m_block < x.rows ? m + m_block : x.rows;
      for (std::int64_t n = n_begin; n < n_end; n += P::kRows) {
        const int count = static_cast<int>(n_end - n < P::kRows ? n_end - n : P::kRows);
        // Past the last row the tile computes that row again and stores nothing of it.
        const std::uint8_t* w[P::kRows];
        for (int i = 0; i < P::kRows; ++i)
          w[i] = memory + (n + (i < count ? i : count - 1)) * row_bytes;
        const std::int64_t next = n + P::kRows;
        const std::int64_t rows_ahead =
            m > 0 || next >= n1 ? 0 : (n1 - next < P::kRows ? n1 - next : P::kRows);
        matmul_rows<P>(w, x, m, m_end, y + n, count, y_stride, memory + next * row_bytes,
                       rows_ahead * row_bytes);
      }
    }
  }
}

}  // namespace expertscope::cpu
