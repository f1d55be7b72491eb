// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <xmmintrin.h>

#include <cstdint>
#include <cstring>

#include "engine/cpu/kernels/kernels.h"

/// The matrix product of every SIMD level but amx, over a policy P of the including file's unnamed namespace
/// (see levels.h):
///   kStep      elements of K per step
///   kRows      weight rows per tile: as many streams from memory in flight
///   kTokens    activation rows per tile at most; kRows * kTokens accumulators stay in registers
///   kWBytes, kXBytes      bytes of an element
///   Sum, X, W             registers
///   zero(), load_x(p), load_w(p), load_w_tail(p, count), mac(sum, x, w)
///   store(sums, y)        adds up the lanes of each of kRows sums and stores the results side by side
///
/// Weights are read where they lie in the file: along K, as the instruction wants them, so nothing is packed
/// and each (m, n) has one accumulator whose order of summation depends on K alone.
namespace expertscope::cpu {

/// Bytes a block of weights or activations may take of the second-level cache.
inline constexpr std::int64_t kWeightBlockBytes = 256 << 10;
inline constexpr std::int64_t kTokenBlockBytes = 384 << 10;
/// Tokens and weight rows of a block at most: its sums are kept on the stack.
inline constexpr std::int64_t kMaxTokenBlock = 96;
inline constexpr std::int64_t kMaxRowBlock = 64;
/// Bytes of a weight row in one part of K: kRows of them stay in the first-level cache for all tokens.
inline constexpr std::int64_t kPartBytes = 4096;
/// From this many tiles on, each part of the weights is copied to where its lines are aligned and follow each
/// other: tensors lie at any address in a file, and a register that crosses a line costs two reads every
/// time.
inline constexpr std::int64_t kCopyTiles = 5;
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

inline void fetch(const std::uint8_t* p) {
  _mm_prefetch(reinterpret_cast<const char*>(p), _MM_HINT_T0);
}

/// Row n of 8 by base + index addressing, which needs five registers instead of eight.
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

  constexpr std::int64_t kStepBytes = P::kStep * P::kWBytes;
  constexpr std::int64_t kAdvance = kCopied ? kStepBytes * P::kRows : kStepBytes;
  const RowAddress rows(kCopied ? kStepBytes : job.w_stride);
  const std::int64_t steps = (job.k_end - job.k_begin + (kCopied ? P::kStep - 1 : 0)) / P::kStep;
  const std::uint8_t* w = kCopied ? job.w : job.w + job.k_begin * P::kWBytes;
  const std::uint8_t* x = job.x + job.k_begin * P::kXBytes;
  const std::int64_t x_stride = job.x_stride;
  const std::uint8_t* ahead = job.ahead;
  const std::uint8_t* end = w + steps * kAdvance;
  const std::int64_t quarter = job.cols * P::kWBytes / 4;
  const std::int64_t distance = quarter < kMinRowAhead   ? kMinRowAhead
                                : quarter > kMaxRowAhead ? kMaxRowAhead
                                                         : quarter;
  const std::uint8_t* near_end = job.w + job.cols * P::kWBytes - distance;
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

/// Elements [k_begin, k_end) of the job's weight rows to `to`: [step][kRows][kStep], the last step padded
/// with zeros.
template <class P>
inline void copy_part(const TileJob& job, std::uint8_t* to) {
  constexpr std::int64_t kStepBytes = P::kStep * P::kWBytes;
  const std::int64_t bytes = (job.k_end - job.k_begin) * P::kWBytes;
  const std::int64_t whole = bytes / kStepBytes;
  for (int n = 0; n < P::kRows; ++n) {
    const std::uint8_t* from = job.w + n * job.w_stride + job.k_begin * P::kWBytes;
    std::uint8_t* row = to + n * kStepBytes;
    for (std::int64_t step = 0; step < whole; ++step)
      std::memcpy(row + step * kStepBytes * P::kRows, from + step * kStepBytes, kStepBytes);
    if (bytes == whole * kStepBytes) continue;
    std::uint8_t* last = row + whole * kStepBytes * P::kRows;
    std::memset(last, 0, kStepBytes);
    std::memcpy(last, from + whole * kStepBytes, static_cast<std::size_t>(bytes - whole * kStepBytes));
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

/// All tokens of `job` against one part of K. `left_ahead` bytes from `ahead` on are still to be fetched.
template <class P, bool kCopied>
inline void matmul_part(TileJob job, std::int64_t tokens, typename P::Sum (*carry)[P::kTokens * P::kRows],
                        std::int64_t& left_ahead, const std::uint8_t*& ahead) {
  const std::int64_t tiles = (tokens + P::kTokens - 1) / P::kTokens;
  const std::int64_t line_steps = 64 / (P::kStep * P::kWBytes) * tiles;  // steps for a line of each row
  const std::int64_t bytes = (job.k_end - job.k_begin) / P::kStep * 64;  // a line a step
  for (std::int64_t tile = 0; tile < tiles; ++tile, tokens -= P::kTokens) {
    job.carry = carry[tile];
    job.ahead = ahead;
    std::int64_t lines = 0;  // fetched a step: as many as it takes to be done in time
    if (tiles == 1) {
      matmul_tile_of<P, kFetchRows>(job, tokens);
    } else if (tokens < P::kTokens || left_ahead <= 0) {
      matmul_tile_of<P, kFetchNothing, kCopied>(job, tokens);
    } else if (line_steps >= P::kRows) {
      matmul_tile<P, P::kTokens, kFetch1, kCopied>(job);
      lines = 1;
    } else if (line_steps * 2 >= P::kRows) {
      matmul_tile<P, P::kTokens, kFetch2, kCopied>(job);
      lines = 2;
    } else {
      matmul_tile<P, P::kTokens, kFetch4, kCopied>(job);
      lines = 4;
    }
    ahead += lines * bytes;
    left_ahead -= lines * bytes;
    job.x += P::kTokens * job.x_stride;
    job.y += P::kTokens * job.y_stride;
  }
}

/// The weight rows of `job` against tokens [m0, m1), the first of which goes to job.y; job.ahead are the rows
/// to come, or null: they are fetched while this group is computed.
template <class P>
inline void matmul_group(TileJob job, const PackedActivations& packed, std::int64_t m0, std::int64_t m1) {
  alignas(64) typename P::Sum carry[kMaxTokenBlock / P::kTokens][P::kTokens * P::kRows];
  alignas(64) std::uint8_t copy[(kPartBytes + kPackCols * P::kWBytes) * P::kRows];
  job.x_stride = packed.stride * P::kXBytes;
  job.x = static_cast<const std::uint8_t*>(packed.memory) + m0 * job.x_stride;
  job.cols = packed.cols;
  const std::int64_t tiles = (m1 - m0 + P::kTokens - 1) / P::kTokens;
  const bool copied = tiles >= kCopyTiles;
  const std::int64_t parts = tiles < 3 ? 1 : (packed.cols * P::kWBytes + kPartBytes - 1) / kPartBytes;
  const std::int64_t part = (packed.cols + parts * kPackCols - 1) / (parts * kPackCols) * kPackCols;
  const std::uint8_t* ahead = job.ahead;
  std::int64_t left_ahead = ahead == nullptr ? 0 : packed.cols * P::kWBytes * P::kRows;

  for (std::int64_t k = 0; k == 0 || k < packed.cols; k += part) {
    job.k_begin = k;
    job.k_end = k + part < packed.cols ? k + part : packed.cols;
    if (copied) {
      copy_part<P>(job, copy);
      TileJob from_copy = job;
      from_copy.w = copy;
      matmul_part<P, true>(from_copy, m1 - m0, carry, left_ahead, ahead);
    } else {
      matmul_part<P, false>(job, m1 - m0, carry, left_ahead, ahead);
    }
  }
}

/// Weight rows [n_begin, n_end) against tokens [m0, m1). Rows below `n_ahead` may be fetched ahead.
template <class P>
inline void matmul_block(const std::uint8_t* weights, const PackedActivations& x, std::int64_t n_begin,
                         std::int64_t n_end, std::int64_t n_ahead, std::int64_t m0, std::int64_t m1, float* y,
                         std::int64_t y_stride) {
  // Rows of y often lie a multiple of 4096 bytes apart, where few of them fit the cache at once: collect a
  // block first, then write each of its rows in one go.
  alignas(64) float block[kMaxTokenBlock][kMaxRowBlock];
  const bool direct = m1 - m0 <= P::kTokens;
  const std::int64_t row_bytes = x.cols * P::kWBytes;
  for (std::int64_t n = n_begin; n < n_end;) {
    TileJob job = {};
    job.y = direct ? y + m0 * y_stride + n : &block[0][n - n_begin];
    job.y_stride = direct ? y_stride : kMaxRowBlock;
    const std::int64_t next = n + place_rows<P>(job, weights, row_bytes, n, n_end);
    job.ahead = next + P::kRows <= n_ahead ? weights + next * row_bytes : nullptr;
    matmul_group<P>(job, x, m0, m1);
    n = next;
  }
  if (direct) return;
  for (std::int64_t m = m0; m < m1; ++m)
    std::memcpy(y + m * y_stride + n_begin, block[m - m0],
                static_cast<std::size_t>(n_end - n_begin) * sizeof(float));
}

/// y[m][n] for all m and n in [n0, n1), in blocks of rows and tokens that stay in the cache.
template <class P>
inline void matmul_blocks(const void* weights, const PackedActivations& x, std::int64_t n0, std::int64_t n1,
                          float* y, std::int64_t y_stride) {
  const auto* memory = static_cast<const std::uint8_t*>(weights);
  const auto fitting = [](std::int64_t bytes, std::int64_t row, std::int64_t unit, std::int64_t most) {
    const std::int64_t rows = bytes / (row > 0 ? row : 1) / unit * unit;
    return rows < unit ? unit : rows < most ? rows : most;
  };
  const std::int64_t n_block = fitting(kWeightBlockBytes, x.cols * P::kWBytes, P::kRows, kMaxRowBlock);
  const std::int64_t m_block = fitting(kTokenBlockBytes, x.stride * P::kXBytes, P::kTokens, kMaxTokenBlock);
  for (std::int64_t n = n0; n < n1; n += n_block) {
    const std::int64_t n_end = n + n_block < n1 ? n + n_block : n1;
    for (std::int64_t m = 0; m < x.rows; m += m_block) {
      const std::int64_t m_end = m + m_block < x.rows ? m + m_block : x.rows;
      matmul_block<P>(memory, x, n, n_end, m == 0 ? n1 : 0, m, m_end, y, y_stride);
    }
  }
}

}  // namespace expertscope::cpu
