// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <cstring>

#include "engine/cpu/kernels/kernels.h"

/// The AMX products, over the tile instructions T: the real ones (amx.cpp) or an emulation that defines them
/// in plain C++ (the tests). Tiles are 16 rows of 64 bytes:
///   A  16 weight rows x 32 elements of K, read where they lie in the file
///   B  16 pairs along K x 16 tokens x 2, from PackLayout::bf16_tiles
///   C  16 weight rows x 16 tokens, f32
/// T has configure(), release(), zero<tile>(), load<tile>(p, stride_bytes), multiply<c, a, b>(), prefetch(p)
/// and store_transposed<tile>(rows, tokens, y, y_stride), which writes the first `rows` rows and `tokens`
/// columns of a tile of C, which lies [weight row][token], to y[token][weight row].
namespace expertscope::cpu {

inline constexpr int kTileRows = 16;
inline constexpr int kTileCols = 32;  ///< bf16 elements of a tile row
/// Tokens per block: their packed form stays in the second-level cache.
inline constexpr std::int64_t kAmxTokenBlock = 128;

/// Where a tile of A is read: in place, or from a copy padded with zeros at the edges of the matrix.
struct WeightTile {
  alignas(64) std::uint16_t copy[kTileRows][kTileCols];
};

/// BF16 weights where they lie. What else is multiplied has kInPlace false, and copy() alone.
template <class T>
struct StoredTiles {
  static constexpr bool kInPlace = true;
  const std::uint8_t* data;
  std::int64_t cols;

  const std::uint8_t* at(std::int64_t n, std::int64_t k) const { return data + (n * cols + k) * 2; }
  /// Elements [k, k + width) of row n.
  void copy(std::int64_t n, std::int64_t k, std::int64_t width, std::uint16_t* to) const {
    std::memcpy(to, at(n, k), static_cast<std::size_t>(width) * 2);
  }
};

/// Reads rows n .. n + 16 and columns k .. k + 32 of the weights into tile `kTile`; rows >= n1 and columns >=
/// cols count as zero.
template <class T, int kTile, class W>
inline void load_weights(T& tiles, const W& w, std::int64_t cols, std::int64_t n, std::int64_t n1,
                         std::int64_t k, WeightTile& edge) {
  const bool whole = n + kTileRows <= n1 && k + kTileCols <= cols;
  if constexpr (W::kInPlace) {
    if (whole) return tiles.template load<kTile>(w.at(n, k), cols * 2);
  }
  if (!whole) std::memset(edge.copy, 0, sizeof(edge.copy));
  const std::int64_t width = k + kTileCols <= cols ? kTileCols : cols - k;
  for (int r = 0; r < kTileRows && n + r < n1; ++r)
    w.copy(n + r, k, width, edge.copy[r]);
  tiles.template load<kTile>(edge.copy, sizeof(edge.copy[0]));
}

/// 32 weight rows from n on by 32 tokens from m on. `ahead`: weights to fetch meanwhile, or null.
template <class T, class W>
inline void multiply_block(T& tiles, const W& w, const PackedActivations& x, std::int64_t n, std::int64_t n1,
                           std::int64_t m, float* y, std::int64_t y_stride, const std::uint8_t* ahead) {
  const auto* packed = static_cast<const std::uint8_t*>(x.memory);
  const std::int64_t group_bytes = x.stride * kTileRows * 2;  // 16 tokens
  const std::uint8_t* x0 = packed + m / kTileRows * group_bytes;
  const bool two_groups = m + kTileRows < x.rows;
  const std::uint8_t* x1 = two_groups ? x0 + group_bytes : x0;
  WeightTile edge0;
  WeightTile edge1;
  tiles.template zero<0>();
  tiles.template zero<1>();
  tiles.template zero<2>();
  tiles.template zero<3>();
  for (std::int64_t k = 0; k < x.cols; k += kTileCols) {
    load_weights<T, 4>(tiles, w, x.cols, n, n1, k, edge0);
    tiles.template load<6>(x0 + k * kTileRows * 2, 64);
    tiles.template load<7>(x1 + k * kTileRows * 2, 64);
    if (ahead != nullptr)
      for (int r = 0; r < 2 * kTileRows; ++r)
        tiles.prefetch(ahead + (r * x.cols + k) * 2);
    tiles.template multiply<0, 4, 6>();
    tiles.template multiply<1, 4, 7>();
    load_weights<T, 5>(tiles, w, x.cols, n + kTileRows, n1, k, edge1);
    tiles.template multiply<2, 5, 6>();
    tiles.template multiply<3, 5, 7>();
  }
  const auto limit = [](std::int64_t left) {
    return static_cast<int>(left < 0 ? 0 : left < kTileRows ? left : kTileRows);
  };
  const int rows0 = limit(n1 - n);
  const int rows1 = limit(n1 - n - kTileRows);
  const int tokens0 = limit(x.rows - m);
  const int tokens1 = limit(x.rows - m - kTileRows);
  float* to = y + m * y_stride + n;
  tiles.template store_transposed<0>(rows0, tokens0, to, y_stride);
  tiles.template store_transposed<2>(rows1, tokens0, to + kTileRows, y_stride);
  if (!two_groups) return;
  to += kTileRows * y_stride;
  tiles.template store_transposed<1>(rows0, tokens1, to, y_stride);
  tiles.template store_transposed<3>(rows1, tokens1, to + kTileRows, y_stride);
}

/// y[m][n] for all m and n in [n0, n1); x is packed in tiles.
template <class T, class W>
inline void amx_matmul(T& tiles, const W& w, const PackedActivations& x, std::int64_t n0, std::int64_t n1,
                       float* y, std::int64_t y_stride) {
  tiles.configure();
  for (std::int64_t block = 0; block < x.rows; block += kAmxTokenBlock) {
    const std::int64_t end = block + kAmxTokenBlock < x.rows ? block + kAmxTokenBlock : x.rows;
    for (std::int64_t n = n0; n < n1; n += 2 * kTileRows) {
      const std::int64_t next = n + 2 * kTileRows;
      const std::uint8_t* ahead = nullptr;
      if constexpr (W::kInPlace) {
        if (next + 2 * kTileRows <= n1) ahead = w.at(next, 0);
      }
      for (std::int64_t m = block; m < end; m += 2 * kTileRows)
        multiply_block(tiles, w, x, n, n1, m, y, y_stride, m == 0 ? ahead : nullptr);
    }
  }
  tiles.release();
}

}  // namespace expertscope::cpu
