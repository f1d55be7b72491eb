// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <xmmintrin.h>

#include <cstdint>
#include <cstring>

/// The innermost part of the matrix products of every SIMD level but amx: a few weight rows by a few tokens,
/// over a policy P of the including file's unnamed namespace (see levels.h):
///   kStep      elements of K per step
///   kRows      weight rows per tile: as many streams from memory in flight
///   kTokens    activation rows per tile at most; kRows * kTokens accumulators stay in registers
///   w_bytes(k)            bytes of k elements of a weight row; where that is k times one, kWBytes
///   kXBytes               bytes of an activation
///   Sum, X, W             registers
///   zero(), load_x(p), load_w(p), load_w_tail(p, count), mac(sum, x, w); without load_w_tail, rows are whole
///                         numbers of steps
///   store_w(w, y)         the weights of a step as f32, for dequantise_any()
///   store(sums, y)        adds up the lanes of each of kRows sums and stores the results side by side
///
/// Weights are read where they lie in the file: along K, as the instruction wants them, so nothing is packed
/// and each (m, n) has one accumulator whose order of summation depends on K alone.
namespace expertscope::cpu {

/// With one tile of tokens, each weight row is fetched a quarter of its length ahead, within these bounds: as
/// measured, less does not cover the latency of memory and more is lost before it is used.
inline constexpr std::int64_t kMinRowAhead = 256;
inline constexpr std::int64_t kMaxRowAhead = 1024;

/// What one tile computes: elements [k_begin, k_end) of kRows weight rows by some tokens.
struct TileJob {
  const std::uint8_t* w;      ///< first weight row
  std::int64_t w_stride;      ///< bytes between weight rows; 0: the same row kRows times
  const std::uint8_t* x;      ///< first row of activations
  std::int64_t x_stride;      ///< bytes between them
  std::int64_t cols;          ///< K
  std::int64_t k_begin;       ///< a multiple of kStep; above 0 the sums go on from `carry`
  std::int64_t k_end;         ///< cols, or a multiple of kStep: then the sums stay in `carry`
  void* carry;                ///< [tokens][kRows] sums
  const std::uint8_t* ahead;  ///< what to fetch meanwhile (see Fetch)
  float* y;                   ///< y[0] belongs to weight row `first` of the tile
  std::int64_t y_stride;
  int first;  ///< the tile's rows [first, first + count) are stored
  int count;
};

/// What a tile fetches ahead of its use: nothing, its own rows and then the rows that follow them, or 1, 2 or
/// 4 lines of 64 bytes a step from `ahead` on.
enum Fetch : int { kFetchNothing = 0, kFetch1 = 1, kFetch2 = 2, kFetch4 = 4, kFetchRows = -1 };

static inline void fetch(const std::uint8_t* p) {
  _mm_prefetch(reinterpret_cast<const char*>(p), _MM_HINT_T0);
}

/// Row n of 8 by base + index addressing, which needs five registers instead of eight.
template <class P>
struct RowAddress {
  std::int64_t stride;
  std::int64_t stride3;
  std::int64_t stride5;
  std::int64_t stride7;
  explicit RowAddress(std::int64_t bytes)
      : stride(bytes), stride3(3 * bytes), stride5(5 * bytes), stride7(7 * bytes) {}
  [[gnu::always_inline]] inline const std::uint8_t* of(const std::uint8_t* base, int n) const {
    const std::int64_t odd = n == 1 ? stride : n == 3 ? stride3 : n == 5 ? stride5 : stride7;
    return n % 2 != 0 ? base + odd : n == 6 ? base + 2 * stride3 : base + n * stride;
  }
};

/// The sums of a tile's rows to their place in y.
template <class P, int kM>
[[gnu::always_inline]] inline void store_tile(const TileJob& job, typename P::Sum (&sums)[kM][P::kRows]) {
#pragma GCC unroll 8
  for (int m = 0; m < kM; ++m) {
    float* y = job.y + m * job.y_stride;
    if (job.count == P::kRows) {
      P::store(sums[m], y);
    } else {
      float all[P::kRows];
      P::store(sums[m], all);
      for (int n = 0; n < job.count; ++n)
        y[n] = all[job.first + n];
    }
  }
}

/// With kCopied the weights are the part's alone, as copy_part leaves them.
template <class P, int kM, int kFetch, bool kCopied = false>
inline void matmul_tile(const TileJob& job) {
  using Sum = typename P::Sum;
  auto* carry = static_cast<Sum*>(job.carry);
  Sum sums[kM][P::kRows];
#pragma GCC unroll 8
  for (int m = 0; m < kM; ++m)
#pragma GCC unroll 8
    for (int n = 0; n < P::kRows; ++n)
      sums[m][n] = P::zero();
  if (job.k_begin > 0) {
#pragma GCC unroll 8
    for (int m = 0; m < kM; ++m)
#pragma GCC unroll 8
      for (int n = 0; n < P::kRows; ++n)
        sums[m][n] = carry[m * P::kRows + n];
  }

  constexpr std::int64_t kStepBytes = P::w_bytes(P::kStep);
  constexpr std::int64_t kAdvance = kCopied ? kStepBytes * P::kRows : kStepBytes;
  const RowAddress<P> rows(kCopied ? kStepBytes : job.w_stride);
  const std::int64_t steps = (job.k_end - job.k_begin + (kCopied ? P::kStep - 1 : 0)) / P::kStep;
  const std::uint8_t* w = kCopied ? job.w : job.w + P::w_bytes(job.k_begin);
  const std::uint8_t* x = job.x + job.k_begin * P::kXBytes;
  const std::int64_t x_stride = job.x_stride;
  const std::uint8_t* ahead = job.ahead;
  const std::uint8_t* end = w + steps * kAdvance;
  const std::int64_t quarter = P::w_bytes(job.cols) / 4;
  const std::int64_t distance = quarter < kMinRowAhead   ? kMinRowAhead
                                : quarter > kMaxRowAhead ? kMaxRowAhead
                                                         : quarter;
  const std::uint8_t* near_end = job.w + P::w_bytes(job.cols) - distance;
  for (; w != end; w += kAdvance, x += P::kStep * P::kXBytes) {
    typename P::X xs[kM];
#pragma GCC unroll 8
    for (int m = 0; m < kM; ++m)
      xs[m] = P::load_x(x + m * x_stride);
#pragma GCC unroll 4
    for (int i = 0; i < kFetch; ++i)
      fetch(ahead + i * 64);
    if (kFetch > 0) ahead += kFetch * 64;
    // Past its end a row continues in the row that follows it; the one to come is kRows further.
    const std::uint8_t* coming = w + distance + (w < near_end ? 0 : (P::kRows - 1) * job.w_stride);
#pragma GCC unroll 8
    for (int n = 0; n < P::kRows; ++n) {
      if (kFetch == kFetchRows) fetch(rows.of(coming, n));
      const typename P::W ws = P::load_w(rows.of(w, n));
#pragma GCC unroll 8
      for (int m = 0; m < kM; ++m)
        sums[m][n] = P::mac(sums[m][n], xs[m], ws);
    }
  }
  if constexpr (requires { P::load_w_tail(w, 1); }) {
    const auto left = static_cast<int>((job.k_end - job.k_begin) % P::kStep);
    if (!kCopied && left > 0) {
#pragma GCC unroll 8
      for (int n = 0; n < P::kRows; ++n) {
        const typename P::W ws = P::load_w_tail(w + n * job.w_stride, left);
#pragma GCC unroll 8
        for (int m = 0; m < kM; ++m)
          sums[m][n] = P::mac(sums[m][n], P::load_x(x + m * x_stride), ws);
      }
    }
  }
  if (job.k_end == job.cols) return store_tile<P, kM>(job, sums);
#pragma GCC unroll 8
  for (int m = 0; m < kM; ++m)
#pragma GCC unroll 8
    for (int n = 0; n < P::kRows; ++n)
      carry[m * P::kRows + n] = sums[m][n];
}

/// One tile of `tokens` <= kTokens, the last of them or not.
template <class P, int kFetch, bool kCopied = false>
inline void matmul_tile_of(const TileJob& job, std::int64_t tokens) {
  static_assert(P::kTokens == 3);
  if (tokens == 1) {
    matmul_tile<P, 1, kFetch, kCopied>(job);
  } else if (tokens == 2) {
    matmul_tile<P, 2, kFetch, kCopied>(job);
  } else {
    matmul_tile<P, 3, kFetch, kCopied>(job);
  }
}

/// Tells the jobs of rows [n, n + kRows) of a matrix apart from those at its edge. Near the end `end` of the
/// rows asked for, the tile starts earlier and stores less; a matrix of fewer than kRows rows goes row by
/// row. Returns how many rows the job covers.
template <class P>
inline std::int64_t place_rows(TileJob& job, const std::uint8_t* matrix, std::int64_t row_bytes,
                               std::int64_t n, std::int64_t end) {
  if (end < P::kRows) {
    job.w = matrix + n * row_bytes;
    job.w_stride = 0;
    job.first = 0;
    job.count = 1;
    return 1;
  }
  const std::int64_t start = n + P::kRows <= end ? n : end - P::kRows;
  job.w = matrix + start * row_bytes;
  job.w_stride = row_bytes;
  job.first = static_cast<int>(n - start);
  job.count = P::kRows - job.first;
  return job.count;
}

}  // namespace expertscope::cpu
