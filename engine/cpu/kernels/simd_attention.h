// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>

#include "engine/cpu/kernels/levels.h"
#include "engine/cpu/kernels/simd_ops.h"
#include "engine/cpu/kernels/simd_tile.h"

/// Attention of the SIMD levels. Keys come in blocks of kKeyBlock from position 0 on, queries in tiles of
/// kQueryTile rows (a row is one head of one token); scores and sums of a tile stay in the cache.
/// P is a product policy of simd_matmul.h whose weights are the keys, V a policy of simd_ops.h that also has
/// load_type<T>(p) and load_type<T>(p, count) for values of the cache's type.
namespace expertscope::cpu {

inline constexpr int kKeyBlock = 64;
inline constexpr int kQueryTile = 12;
inline constexpr int kMaxHeadDim = 576;  ///< DeepSeek's latents; larger heads take the scalar kernel

/// State of the online softmax of one tile.
struct AttentionTile {
  alignas(64) float q[kQueryTile][kMaxHeadDim];    ///< scaled and padded with zeros
  alignas(64) float sum[kQueryTile][kMaxHeadDim];  ///< weighted sum of values so far
  alignas(64) float score[kQueryTile][kKeyBlock];
  float largest[kQueryTile];
  float total[kQueryTile];
  float first_score[kQueryTile];   ///< of position 0
  std::int64_t begin[kQueryTile];  ///< the row sees keys begin .. visible - 1
  std::int64_t visible[kQueryTile];
  int rows;
};

/// score[r][j] = q[r] . k[first + j] for every row and `keys` keys.
template <class P>
inline void score_block(const AttentionTask& task, AttentionTile& tile, std::int64_t first, int keys) {
  const std::int64_t row_bytes = task.kv_stride * P::kWBytes;
  const auto* base = static_cast<const std::uint8_t*>(task.k) + first * row_bytes;
  TileJob job = {};
  job.x_stride = sizeof(tile.q[0]);
  job.cols = task.head_dim;
  job.k_end = task.head_dim;
  job.y_stride = kKeyBlock;
  for (std::int64_t j = 0; j < keys;) {
    const std::int64_t next = j + place_rows<P>(job, base, row_bytes, j, keys);
    for (int r = 0; r < tile.rows; r += P::kTokens) {
      job.x = reinterpret_cast<const std::uint8_t*>(tile.q[r]);
      job.y = &tile.score[r][j];
      matmul_tile_of<P, kFetchNothing>(job, tile.rows - r);
    }
    j = next;
  }
}

/// Turns scores [from, from + keys) of row r into weights relative to its largest score so far and rescales
/// what it has.
template <class V>
inline void weigh_row(AttentionTile& tile, int r, int from, int keys, int value_dim) {
  float* score = tile.score[r] + from;
  const float block_largest = largest_of<V>(score, keys);
  const float largest = block_largest > tile.largest[r] ? block_largest : tile.largest[r];
  if (largest != tile.largest[r]) {
    const float rescale = __builtin_expf(tile.largest[r] - largest);
    scale_lanes<V>(tile.sum[r], value_dim, rescale);
    tile.total[r] *= rescale;
    tile.largest[r] = largest;
  }
  tile.total[r] += exp_and_sum<V>(score, keys, largest);
}

/// sum[r .. r + kR][d] += score[.][j] * v[first + j][d] for j in [j0, j1), kC registers of d at a time.
template <class V, class T, int kR, int kC>
inline void add_values(const AttentionTask& task, AttentionTile& tile, int r, std::int64_t first, int j0,
                       int j1, int d, int count) {
  const auto* v = static_cast<const T*>(task.v) + first * task.kv_stride + d;
  typename V::F sums[kR][kC];
#pragma GCC unroll 8
  for (int i = 0; i < kR; ++i)
#pragma GCC unroll 8
    for (int c = 0; c < kC; ++c)
      sums[i][c] = V::load(tile.sum[r + i] + d + c * V::kWidth);
  for (int j = j0; j < j1; ++j) {
    typename V::F values[kC];
#pragma GCC unroll 8
    for (int c = 0; c < kC; ++c) {
      const T* at = v + j * task.kv_stride + c * V::kWidth;
      values[c] = count == V::kWidth ? V::load_type(at) : V::load_type(at, count);
    }
#pragma GCC unroll 8
    for (int i = 0; i < kR; ++i) {
      const auto weight = V::set(tile.score[r + i][j]);
#pragma GCC unroll 8
      for (int c = 0; c < kC; ++c)
        sums[i][c] = V::fma(weight, values[c], sums[i][c]);
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < kR; ++i)
#pragma GCC unroll 8
    for (int c = 0; c < kC; ++c)
      V::store(tile.sum[r + i] + d + c * V::kWidth, sums[i][c]);
}

/// The above over all of value_dim.
template <class V, class T, int kR>
inline void add_values(const AttentionTask& task, AttentionTile& tile, int r, std::int64_t first, int j0,
                       int j1) {
  if (j0 >= j1) return;
  int d = 0;
  for (; d + 4 * V::kWidth <= task.value_dim; d += 4 * V::kWidth)
    add_values<V, T, kR, 4>(task, tile, r, first, j0, j1, d, V::kWidth);
  for (; d < task.value_dim; d += V::kWidth) {
    const int left = task.value_dim - d;
    add_values<V, T, kR, 1>(task, tile, r, first, j0, j1, d, left < V::kWidth ? left : V::kWidth);
  }
}

/// One block of keys. Rows add values in the order of the keys, alone or together: the same sums either way.
template <class P, class V, class T, int kR>
inline void attend_block(const AttentionTask& task, AttentionTile& tile, std::int64_t first) {
  const auto within = [&](std::int64_t key) {
    const std::int64_t left = key - first;
    return static_cast<int>(left < 0 ? 0 : left < kKeyBlock ? left : kKeyBlock);
  };
  const auto from_of = [&](int r) { return within(tile.begin[r]); };
  const auto keys_of = [&](int r) { return within(tile.visible[r]); };
  // Rows are in the order of their tokens: the last sees the most.
  score_block<P>(task, tile, first, keys_of(tile.rows - 1));
  for (int r = 0; first == 0 && r < tile.rows; ++r)
    tile.first_score[r] = tile.score[r][0];
  for (int r = 0; r < tile.rows; ++r)
    if (keys_of(r) > from_of(r)) weigh_row<V>(tile, r, from_of(r), keys_of(r) - from_of(r), task.value_dim);
  int r = 0;
  for (; r + kR <= tile.rows; r += kR) {
    const int begin = from_of(r + kR - 1);  // of what all of them see
    const int end = keys_of(r);
    for (int i = 0; i < kR; ++i)
      add_values<V, T, 1>(task, tile, r + i, first, from_of(r + i), begin < end ? begin : keys_of(r + i));
    if (begin >= end) continue;
    add_values<V, T, kR>(task, tile, r, first, begin, end);
    for (int i = 1; i < kR; ++i)
      add_values<V, T, 1>(task, tile, r + i, first, end, keys_of(r + i));
  }
  for (; r < tile.rows; ++r)
    add_values<V, T, 1>(task, tile, r, first, from_of(r), keys_of(r));
}

/// Query rows [begin, begin + rows) of the task, counted token by token, head by head.
template <class P, class V, class T, int kR>
inline void attend_tile(const AttentionTask& task, AttentionTile& tile, std::int64_t begin, int rows) {
  tile.rows = rows;
  const int padded =
      (task.head_dim + kPackCols - 1) / static_cast<int>(kPackCols) * static_cast<int>(kPackCols);
  for (int r = 0; r < rows; ++r) {
    const std::int64_t token = (begin + r) / task.group;
    const float* q = task.q + token * task.q_stride + (begin + r) % task.group * task.head_dim;
    for (int d = 0; d < padded; ++d) {
      tile.q[r][d] = d < task.head_dim ? q[d] * task.scale : 0.0f;
      tile.sum[r][d] = 0;
    }
    const float* sink = task.sinks == nullptr ? nullptr : task.sinks + (begin + r) % task.group;
    tile.largest[r] = sink == nullptr ? -__builtin_inff() : *sink;
    tile.total[r] = sink == nullptr ? 0.0f : 1.0f;
    const std::int64_t end = task.position + token + 1;
    tile.visible[r] = end;
    tile.begin[r] = task.window > 0 && end > task.window ? end - task.window : 0;
  }
  const std::int64_t start = tile.begin[0] / kKeyBlock * kKeyBlock;
  for (std::int64_t first = start; first < tile.visible[rows - 1]; first += kKeyBlock)
    attend_block<P, V, T, kR>(task, tile, first);
  for (int r = 0; r < rows; ++r) {
    const std::int64_t token = (begin + r) / task.group;
    float* out = task.out + token * task.out_stride + (begin + r) % task.group * task.value_dim;
    for (int d = 0; d < task.value_dim; ++d)
      out[d] = tile.sum[r][d] / tile.total[r];
    if (task.first == nullptr) continue;
    // From the score, once: the same number as rescaling its weight with every block of keys.
    task.first[token * task.first_stride + (begin + r) % task.group] =
        tile.begin[r] > 0 ? 0.0f : __builtin_expf(tile.first_score[r] - tile.largest[r]) / tile.total[r];
  }
}

/// kR rows share each value they load.
template <class P, class V, class T, int kR>
inline void attention_tiles(const AttentionTask& task) {
  AttentionTile tile;
  const std::int64_t rows = task.tokens * task.group;
  for (std::int64_t begin = 0; begin < rows; begin += kQueryTile) {
    const std::int64_t left = rows - begin;
    attend_tile<P, V, T, kR>(task, tile, begin, static_cast<int>(left < kQueryTile ? left : kQueryTile));
  }
}

}  // namespace expertscope::cpu
