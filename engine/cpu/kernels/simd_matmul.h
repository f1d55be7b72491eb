// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <cstring>

#include "engine/cpu/kernels/kernels.h"
#include "engine/cpu/kernels/simd_tile.h"

/// The matrix product of every SIMD level but amx: tiles in blocks that suit the caches, over a policy P (see
/// simd_tile.h).
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

/// The same for weights of any type; Product<type> is the policy of each. V, the policy of simd_ops.h, is
/// there for the linker alone: g++ 12 takes a function for shared between files when only a template argument
/// of it is of an unnamed namespace (see check_symbols.sh).
template <class V, template <DType> class Product>
inline void matmul_any(const Matrix& w, const PackedActivations& x, std::int64_t n0, std::int64_t n1,
                       float* y, std::int64_t y_stride) {
  switch (w.dtype) {
    case DType::f32:
      return matmul_blocks<Product<DType::f32>>(w.data, x, n0, n1, y, y_stride);
    case DType::f16:
      return matmul_blocks<Product<DType::f16>>(w.data, x, n0, n1, y, y_stride);
    case DType::bf16:
      return matmul_blocks<Product<DType::bf16>>(w.data, x, n0, n1, y, y_stride);
  }
}

}  // namespace expertscope::cpu
