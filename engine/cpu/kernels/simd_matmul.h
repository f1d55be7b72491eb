// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <cstring>

#include "engine/cpu/kernels/kernels.h"
#include "engine/cpu/kernels/simd_ops.h"
#include "engine/cpu/kernels/simd_scaled.h"
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

/// `bytes` of one weight row to `to`: [step][kRows][kStep], the last step padded with zeros.
template <class P>
inline void copy_row(const std::uint8_t* from, std::int64_t bytes, std::uint8_t* to) {
  constexpr std::int64_t kStepBytes = P::w_bytes(P::kStep);
  const std::int64_t whole = bytes / kStepBytes;
  for (std::int64_t step = 0; step < whole; ++step)
    std::memcpy(to + step * kStepBytes * P::kRows, from + step * kStepBytes, kStepBytes);
  if (bytes == whole * kStepBytes) return;
  std::uint8_t* last = to + whole * kStepBytes * P::kRows;
  std::memset(last, 0, kStepBytes);
  std::memcpy(last, from + whole * kStepBytes, static_cast<std::size_t>(bytes - whole * kStepBytes));
}

/// Weight rows that P multiplies where they lie.
template <class P>
struct StoredRows {
  static constexpr bool kInPlace = true;
  static constexpr std::int64_t kUnit = kPackCols;  ///< parts of K are multiples of it
  const std::uint8_t* memory;
  std::int64_t row_bytes;

  /// Elements [k_begin, k_end) of the job's weight rows to `to`.
  void copy(const TileJob& job, std::int64_t, std::uint8_t* to) const {
    for (int n = 0; n < P::kRows; ++n)
      copy_row<P>(job.w + n * job.w_stride + job.k_begin * P::kWBytes, (job.k_end - job.k_begin) * P::kWBytes,
                  to + n * P::w_bytes(P::kStep));
  }
};

/// Weight rows of any format, as P, the policy of F32, multiplies them: a part of each is dequantised and
/// multiplied by all tokens before the next. Sums are those of the same weights in F32, bit for bit.
template <class P>
struct DequantisedRows {
  static constexpr bool kInPlace = false;
  static constexpr std::int64_t kUnit = 256;  ///< the largest block
  static_assert(P::kWBytes == sizeof(float) && kPartBytes / P::kWBytes % kUnit == 0);
  const std::uint8_t* memory;
  std::int64_t row_bytes;
  const Matrix& w;
  decltype(Kernels::dequantise) dequantise;

  /// `row` is the first of the job's.
  void copy(const TileJob& job, std::int64_t row, std::uint8_t* to) const {
    alignas(64) float values[kPartBytes / P::kWBytes];
    const std::int64_t count = job.k_end - job.k_begin;
    for (int n = 0; n < P::kRows; ++n) {
      dequantise(w, job.w_stride == 0 ? row : row + n, job.k_begin, count, values);
      copy_row<P>(reinterpret_cast<const std::uint8_t*>(values), count * P::kWBytes,
                  to + n * P::w_bytes(P::kStep));
    }
  }
};

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
    if (tiles == 1 && !kCopied) {
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

/// The weight rows of `job`, the first of which is `row`, against tokens [m0, m1), the first of which goes to
/// job.y; job.ahead are the rows to come, or null: they are fetched while this group is computed.
template <class P, class Rows>
inline void matmul_group(TileJob job, const Rows& rows, std::int64_t row, const PackedActivations& packed,
                         std::int64_t m0, std::int64_t m1) {
  alignas(64) typename P::Sum carry[kMaxTokenBlock / P::kTokens][P::kTokens * P::kRows];
  alignas(64) std::uint8_t copy[(kPartBytes + kPackCols * P::kWBytes) * P::kRows];
  job.x_stride = packed.stride * P::kXBytes;
  job.x = static_cast<const std::uint8_t*>(packed.memory) + m0 * job.x_stride;
  job.cols = packed.cols;
  const std::int64_t tiles = (m1 - m0 + P::kTokens - 1) / P::kTokens;
  const bool copied = !Rows::kInPlace || tiles >= kCopyTiles;
  const bool whole = Rows::kInPlace && tiles < 3;
  const std::int64_t parts = whole ? 1 : (packed.cols * P::kWBytes + kPartBytes - 1) / kPartBytes;
  const std::int64_t part = (packed.cols + parts * Rows::kUnit - 1) / (parts * Rows::kUnit) * Rows::kUnit;
  const std::uint8_t* ahead = job.ahead;
  std::int64_t left_ahead = ahead == nullptr ? 0 : packed.cols * P::kWBytes * P::kRows;

  for (std::int64_t k = 0; k == 0 || k < packed.cols; k += part) {
    job.k_begin = k;
    job.k_end = k + part < packed.cols ? k + part : packed.cols;
    if (copied) {
      rows.copy(job, row, copy);
      TileJob from_copy = job;
      from_copy.w = copy;
      matmul_part<P, true>(from_copy, m1 - m0, carry, left_ahead, ahead);
    } else if constexpr (Rows::kInPlace) {
      matmul_part<P, false>(job, m1 - m0, carry, left_ahead, ahead);
    }
  }
}

/// Weight rows [n_begin, n_end) against tokens [m0, m1). Rows below `n_ahead` may be fetched ahead.
template <class P, class Rows>
inline void matmul_block(const Rows& rows, const PackedActivations& x, std::int64_t n_begin,
                         std::int64_t n_end, std::int64_t n_ahead, std::int64_t m0, std::int64_t m1, float* y,
                         std::int64_t y_stride) {
  // Rows of y often lie a multiple of 4096 bytes apart, where few of them fit the cache at once: collect a
  // block first, then write each of its rows in one go.
  alignas(64) float block[kMaxTokenBlock][kMaxRowBlock];
  const bool direct = m1 - m0 <= P::kTokens;
  for (std::int64_t n = n_begin; n < n_end;) {
    TileJob job = {};
    job.y = direct ? y + m0 * y_stride + n : &block[0][n - n_begin];
    job.y_stride = direct ? y_stride : kMaxRowBlock;
    const std::int64_t next = n + place_rows<P>(job, rows.memory, rows.row_bytes, n, n_end);
    const bool fetched = Rows::kInPlace && next + P::kRows <= n_ahead;
    job.ahead = fetched ? rows.memory + next * rows.row_bytes : nullptr;
    matmul_group<P>(job, rows, n - job.first, x, m0, m1);
    n = next;
  }
  if (direct) return;
  for (std::int64_t m = m0; m < m1; ++m)
    std::memcpy(y + m * y_stride + n_begin, block[m - m0],
                static_cast<std::size_t>(n_end - n_begin) * sizeof(float));
}

/// y[m][n] for all m and n in [n0, n1), in blocks of rows and tokens that stay in the cache.
template <class P, class Rows>
inline void matmul_blocks(const Rows& rows, const PackedActivations& x, std::int64_t n0, std::int64_t n1,
                          float* y, std::int64_t y_stride) {
  const auto fitting = [](std::int64_t bytes, std::int64_t row, std::int64_t unit, std::int64_t most) {
    const std::int64_t fit = bytes / (row > 0 ? row : 1) / unit * unit;
    return fit < unit ? unit : fit < most ? fit : most;
  };
  const std::int64_t n_block = fitting(kWeightBlockBytes, x.cols * P::kWBytes, P::kRows, kMaxRowBlock);
  const std::int64_t m_block = fitting(kTokenBlockBytes, x.stride * P::kXBytes, P::kTokens, kMaxTokenBlock);
  for (std::int64_t n = n0; n < n1; n += n_block) {
    const std::int64_t n_end = n + n_block < n1 ? n + n_block : n1;
    for (std::int64_t m = 0; m < x.rows; m += m_block) {
      const std::int64_t m_end = m + m_block < x.rows ? m + m_block : x.rows;
      matmul_block<P>(rows, x, n, n_end, m == 0 ? n1 : 0, m, m_end, y, y_stride);
    }
  }
}

/// The above for weights that P multiplies where they lie.
template <class P>
inline void matmul_stored(const Matrix& w, const PackedActivations& x, std::int64_t n0, std::int64_t n1,
                          float* y, std::int64_t y_stride) {
  const StoredRows<P> rows{static_cast<const std::uint8_t*>(w.data), x.cols * P::kWBytes};
  matmul_blocks<P>(rows, x, n0, n1, y, y_stride);
}

/// The same for at most kTokens tokens and any policy, of blocks too.
template <class P>
inline void matmul_few(const Matrix& w, const PackedActivations& x, std::int64_t n0, std::int64_t n1,
                       float* y, std::int64_t y_stride) {
  TileJob job = {};
  job.x = static_cast<const std::uint8_t*>(x.memory);
  job.x_stride = x.stride * P::kXBytes;
  job.cols = job.k_end = x.cols;
  job.y_stride = y_stride;
  for (std::int64_t n = n0; n < n1;) {
    job.y = y + n;
    n += place_rows<P>(job, static_cast<const std::uint8_t*>(w.data), P::w_bytes(x.cols), n, n1);
    matmul_tile_of<P, kFetchRows>(job, x.rows);
  }
}

/// The product for weights of any format; Product<id> is the policy of each that has one. A format of blocks
/// is multiplied in registers for few tokens; for many, and without a policy, it is dequantised once for all
/// of them. V, the policy of simd_ops.h, is there for the linker alone: g++ 12 takes a function for shared
/// between files when only a template argument of it is of an unnamed namespace (see check_symbols.sh).
template <class V, template <FormatId> class Product>
inline void matmul_any(const Matrix& w, const PackedActivations& x, std::int64_t n0, std::int64_t n1,
                       float* y, std::int64_t y_stride) {
  switch (w.format->id) {
    case FormatId::f32:
      return matmul_stored<Product<FormatId::f32>>(w, x, n0, n1, y, y_stride);
    case FormatId::f16:
      return matmul_stored<Product<FormatId::f16>>(w, x, n0, n1, y, y_stride);
    case FormatId::bf16:
      return matmul_stored<Product<FormatId::bf16>>(w, x, n0, n1, y, y_stride);
    case FormatId::q8_0:
      if (x.rows > Product<FormatId::q8_0>::kTokens) break;
      return matmul_few<Product<FormatId::q8_0>>(w, x, n0, n1, y, y_stride);
    case FormatId::f8_e4m3:
      if (x.rows > Product<FormatId::f8_e4m3>::kTokens) break;
      return matmul_few_scaled<Product<FormatId::f8_e4m3>>(w, x, n0, n1, y, y_stride);
    case FormatId::mxfp4:
      if (x.rows > Product<FormatId::mxfp4>::kTokens) break;
      return matmul_few_blocks<Product<FormatId::mxfp4>>(w, x, n0, n1, y, y_stride);
    case FormatId::int4_bf16:
      if (x.rows > Product<FormatId::int4_bf16>::kTokens) break;
      return matmul_few_scaled<Product<FormatId::int4_bf16>>(w, x, n0, n1, y, y_stride);
    case FormatId::int4_f16:
      if (x.rows > Product<FormatId::int4_f16>::kTokens) break;
      return matmul_few_scaled<Product<FormatId::int4_f16>>(w, x, n0, n1, y, y_stride);
    case FormatId::int4_f32:
      if (x.rows > Product<FormatId::int4_f32>::kTokens) break;
      return matmul_few_scaled<Product<FormatId::int4_f32>>(w, x, n0, n1, y, y_stride);
    case FormatId::nvfp4:
      if (x.rows > Product<FormatId::nvfp4>::kTokens) break;
      return matmul_few_scaled<Product<FormatId::nvfp4>>(w, x, n0, n1, y, y_stride);
    case FormatId::other:
      break;
  }
  using F32 = Product<FormatId::f32>;
  const auto block = static_cast<std::int64_t>(w.format->block.elements);
  const std::int64_t row_bytes = w.cols / block * static_cast<std::int64_t>(w.format->block.bytes);
  const DequantisedRows<F32> rows{static_cast<const std::uint8_t*>(w.data), row_bytes, w,
                                  dequantise_any<V, Product>};
  matmul_blocks<F32>(rows, x, n0, n1, y, y_stride);
}

}  // namespace expertscope::cpu
