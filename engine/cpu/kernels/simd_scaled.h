// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>

#include "engine/cpu/kernels/kernels.h"
#include "engine/cpu/kernels/simd_tile.h"

/// Weights with a plane of scales (WeightFormat::scales) in registers. To what simd_tile.h asks of a policy P
/// it adds, for scales of blocks whose columns are whole numbers of steps (Matrix::scale_block):
///   kScaleRows, kScaleCols   rows and columns of a block, where the matrix says nothing
///   kScaleBytes              of a scale
///   kMiddle                  the zero point where there is no plane of them
///   Factor                   what a scale makes of numbers, in registers
///   factor(p, zero, values)  that of the scale at `p`; values: Matrix::scale_values
///   load_w(p, factor), load_w_tail(p, count, factor); without the latter, blocks are whole steps
namespace expertscope::cpu {

/// unit * e8m0_to_f32 (engine/formats/f8.h) of every byte, to be read from memory into all lanes at once.
struct Powers {
  float of[256];
};
consteval Powers powers_of_two(float unit) {
  Powers powers{{unit * 0x1p-127f}};
  for (std::uint32_t value = 1; value < 255; ++value)
    powers.of[value] = unit * std::bit_cast<float>(value << 23);
  powers.of[255] = __builtin_nanf("");
  return powers;
}

/// The rows of a matrix and of its planes.
template <class P>
struct ScaledRows {
  const std::uint8_t* data;
  const std::uint8_t* scales;
  const std::uint8_t* zeros;
  std::int64_t row_bytes;
  std::int64_t block_rows;
  std::int64_t block_cols;
  std::int64_t blocks;  ///< of a row
  const float* values;

  explicit ScaledRows(const Matrix& w)
      : data(static_cast<const std::uint8_t*>(w.data)),
        scales(static_cast<const std::uint8_t*>(w.scales)),
        zeros(w.zeros),
        row_bytes(P::w_bytes(w.cols)),
        block_rows(w.scale_block.rows > 0 ? w.scale_block.rows : P::kScaleRows),
        block_cols(w.scale_block.rows > 0 ? w.scale_block.cols : P::kScaleCols),
        blocks((w.cols + block_cols - 1) / block_cols),
        values(w.scale_values) {}

  /// Where the planes have a row.
  std::int64_t place(std::int64_t row) const { return row / block_rows * blocks; }
  /// Of the block of columns at such a place.
  typename P::Factor factor(std::int64_t place) const {
    return P::factor(scales + place * P::kScaleBytes, zeros == nullptr ? P::kMiddle : zeros[place], values);
  }
};

/// Elements [first, first + count) of a row, scaled.
template <class V, class P>
inline void widen_scaled_row(const Matrix& w, std::int64_t row, std::int64_t first, std::int64_t count,
                             float* y) {
  const ScaledRows<P> rows(w);
  const std::uint8_t* from = rows.data + row * rows.row_bytes;
  const std::int64_t end = first + count;
  const std::int64_t place = rows.place(row);
  std::int64_t block = first / rows.block_cols;
  for (std::int64_t k = first; k < end; ++block) {
    const auto factor = rows.factor(place + block);
    const std::int64_t block_end = std::min(end, (block + 1) * rows.block_cols);
    for (; k + P::kStep <= block_end; k += P::kStep, y += P::kStep)
      P::store_w(P::load_w(from + P::w_bytes(k), factor), y);
    if constexpr (requires { P::load_w_tail(from, 1, factor); }) {
      const auto left = static_cast<int>(block_end - k);
      if (left > 0) V::store(y, P::load_w_tail(from + P::w_bytes(k), left, factor), left);
      y += left;
    }
    k = block_end;
  }
}

/// All of K for the rows of a tile, the first of which is `first`; summed as matmul_tile() sums.
template <class P, int kM>
inline void scaled_tile(const TileJob& job, const ScaledRows<P>& scaled, std::int64_t first) {
  typename P::Sum sums[kM][P::kRows];
#pragma GCC unroll 8
  for (int m = 0; m < kM; ++m)
#pragma GCC unroll 8
    for (int n = 0; n < P::kRows; ++n)
      sums[m][n] = P::zero();
  const RowAddress<P> rows(job.w_stride);
  const std::int64_t distance = std::clamp(P::w_bytes(job.cols) / 4, kMinRowAhead, kMaxRowAhead);
  std::int64_t places[P::kRows];
  typename P::Factor factors[P::kRows];
  for (int n = 0; n < P::kRows; ++n)
    places[n] = scaled.place(first + (job.w_stride == 0 ? 0 : n));
  const auto multiply = [&](std::int64_t k, const auto& load) {
    typename P::X xs[kM];
#pragma GCC unroll 8
    for (int m = 0; m < kM; ++m)
      xs[m] = P::load_x(job.x + k * P::kXBytes + m * job.x_stride);
#pragma GCC unroll 8
    for (int n = 0; n < P::kRows; ++n) {
      const typename P::W ws = load(rows.of(job.w + P::w_bytes(k), n), factors[n]);
#pragma GCC unroll 8
      for (int m = 0; m < kM; ++m)
        sums[m][n] = P::mac(sums[m][n], xs[m], ws);
    }
  };
  for (std::int64_t k = 0, block = 0; k < job.cols; ++block) {
#pragma GCC unroll 8
    for (int n = 0; n < P::kRows; ++n)
      factors[n] = scaled.factor(places[n] + block);
    const std::int64_t block_end = std::min(job.cols, k + scaled.block_cols);
    for (; k + P::kStep <= block_end; k += P::kStep) {
      if (P::w_bytes(k) % 64 == 0) {
        const std::int64_t coming = P::w_bytes(k) + distance;
        const std::int64_t skip = coming < P::w_bytes(job.cols) ? 0 : (P::kRows - 1) * job.w_stride;
#pragma GCC unroll 8
        for (int n = 0; n < P::kRows; ++n)
          fetch(rows.of(job.w + coming + skip, n));
      }
      multiply(k, [](const std::uint8_t* w, const auto& factor) { return P::load_w(w, factor); });
    }
    if constexpr (requires { P::load_w_tail(job.w, 1, factors[0]); }) {
      const auto left = static_cast<int>(block_end - k);
      if (left > 0)
        multiply(k,
                 [&](const std::uint8_t* w, const auto& factor) { return P::load_w_tail(w, left, factor); });
    }
    k = block_end;
  }
  store_tile<P, kM>(job, sums);
}

/// matmul_few() for such weights.
template <class P>
inline void matmul_few_scaled(const Matrix& w, const PackedActivations& x, std::int64_t n0, std::int64_t n1,
                              float* y, std::int64_t y_stride) {
  static_assert(P::kTokens == 3);
  const ScaledRows<P> rows(w);
  TileJob job = {};
  job.x = static_cast<const std::uint8_t*>(x.memory);
  job.x_stride = x.stride * P::kXBytes;
  job.cols = job.k_end = x.cols;
  job.y_stride = y_stride;
  for (std::int64_t n = n0; n < n1;) {
    job.y = y + n;
    const std::int64_t count = place_rows<P>(job, rows.data, rows.row_bytes, n, n1);
    const std::int64_t first = n - job.first;
    if (x.rows == 1) {
      scaled_tile<P, 1>(job, rows, first);
    } else if (x.rows == 2) {
      scaled_tile<P, 2>(job, rows, first);
    } else {
      scaled_tile<P, 3>(job, rows, first);
    }
    n += count;
  }
}

/// Weights in blocks that have a scale of one byte each, in a plane (MXFP4). P takes a block a step: kStep
/// elements, with load_w(p, scale). Rows may be some of those that are stored (Matrix::row_step).
template <class P>
struct RowsOfBlocks {
  const std::uint8_t* data;
  const std::uint8_t* scales;
  std::int64_t row_bytes;  ///< from one row to the next, as below
  std::int64_t scale_bytes;

  explicit RowsOfBlocks(const Matrix& w)
      : data(static_cast<const std::uint8_t*>(w.data)),
        scales(static_cast<const std::uint8_t*>(w.scales)),
        row_bytes(w.row_step * P::w_bytes(w.cols)),
        scale_bytes(w.row_step * (w.cols / P::kStep)) {}
};

/// Elements [first, first + count) of a row, whole blocks.
template <class P>
inline void widen_row_of_blocks(const Matrix& w, std::int64_t row, std::int64_t first, std::int64_t count,
                                float* y) {
  const RowsOfBlocks<P> rows(w);
  const std::uint8_t* from = rows.data + row * rows.row_bytes + P::w_bytes(first);
  const std::uint8_t* scales = rows.scales + row * rows.scale_bytes + first / P::kStep;
  for (std::int64_t block = 0; block < count / P::kStep; ++block)
    P::store_w(P::load_w(from + block * P::w_bytes(P::kStep), scales[block]), y + block * P::kStep);
}

/// All of K for the rows of a tile, each with its row of scales; summed as matmul_tile() sums.
template <class P, int kM>
inline void tile_of_blocks(const TileJob& job, const std::uint8_t* scales, std::int64_t scale_stride) {
  typename P::Sum sums[kM][P::kRows];
#pragma GCC unroll 8
  for (int m = 0; m < kM; ++m)
#pragma GCC unroll 8
    for (int n = 0; n < P::kRows; ++n)
      sums[m][n] = P::zero();
  constexpr std::int64_t kBytes = P::w_bytes(P::kStep);
  const RowAddress<P> rows(job.w_stride);
  const RowAddress<P> planes(job.w_stride == 0 ? 0 : scale_stride);
  const std::int64_t blocks = job.cols / P::kStep;
  const std::int64_t distance = std::clamp(blocks * kBytes / 4, kMinRowAhead, kMaxRowAhead);
  for (std::int64_t block = 0; block < blocks; ++block) {
    if (block * kBytes % 64 == 0) {
      const std::int64_t coming = block * kBytes + distance;
      const std::int64_t skip = coming < blocks * kBytes ? 0 : (P::kRows - 1) * job.w_stride;
#pragma GCC unroll 8
      for (int n = 0; n < P::kRows; ++n)
        fetch(rows.of(job.w + coming + skip, n));
    }
    typename P::X xs[kM];
#pragma GCC unroll 8
    for (int m = 0; m < kM; ++m)
      xs[m] = P::load_x(job.x + block * P::kStep * P::kXBytes + m * job.x_stride);
#pragma GCC unroll 8
    for (int n = 0; n < P::kRows; ++n) {
      const typename P::W ws = P::load_w(rows.of(job.w + block * kBytes, n), *planes.of(scales + block, n));
#pragma GCC unroll 8
      for (int m = 0; m < kM; ++m)
        sums[m][n] = P::mac(sums[m][n], xs[m], ws);
    }
  }
  store_tile<P, kM>(job, sums);
}

/// matmul_few() for such weights.
template <class P>
inline void matmul_few_blocks(const Matrix& w, const PackedActivations& x, std::int64_t n0, std::int64_t n1,
                              float* y, std::int64_t y_stride) {
  static_assert(P::kTokens == 3);
  const RowsOfBlocks<P> rows(w);
  TileJob job = {};
  job.x = static_cast<const std::uint8_t*>(x.memory);
  job.x_stride = x.stride * P::kXBytes;
  job.cols = job.k_end = x.cols;
  job.y_stride = y_stride;
  for (std::int64_t n = n0; n < n1;) {
    job.y = y + n;
    const std::int64_t count = place_rows<P>(job, rows.data, rows.row_bytes, n, n1);
    const std::uint8_t* scales = rows.scales + (n - job.first) * rows.scale_bytes;
    if (x.rows == 1) {
      tile_of_blocks<P, 1>(job, scales, rows.scale_bytes);
    } else if (x.rows == 2) {
      tile_of_blocks<P, 2>(job, scales, rows.scale_bytes);
    } else {
      tile_of_blocks<P, 3>(job, scales, rows.scale_bytes);
    }
    n += count;
  }
}

}  // namespace expertscope::cpu
