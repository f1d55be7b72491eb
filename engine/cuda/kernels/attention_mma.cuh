// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "engine/cuda/kernels/heads.cuh"

/// Attention of many tokens on tensor cores: bf16 queries, keys, weights and values, f32 scores and sums. One
/// block takes kMmaQueries tokens of one head and walks over the keys it sees; scores live in registers only.
/// (Dao 2023, "FlashAttention-2")
namespace expertscope::cuda {

inline constexpr int kMmaAttentionWarps = 4;
inline constexpr int kMmaAttentionThreads = kMmaAttentionWarps * kWarp;

/// Times 16 queries that a warp has: it reads all keys and values from shared memory, whose bandwidth is the
/// limit, so more is better until registers run out.
constexpr int mma_tall(int width) {
  return width <= 128 ? 2 : 1;
}
/// Keys and values in shared memory at a time, whose scores a warp has in registers.
constexpr int mma_keys(int width) {
  return width <= 64 ? 64 : 32;
}
/// Queries of a block.
constexpr int mma_queries(int width) {
  return mma_tall(width) * kMmaAttentionWarps * 16;
}

/// Bytes of dynamic shared memory for heads of kWidth channels: queries, keys, values.
template <int kWidth>
constexpr int mma_attention_bytes() {
  return (mma_queries(kWidth) + 2 * mma_keys(kWidth)) * kWidth * 2;
}

/// Element (row, chunk of 8) of a tile of kWidth channels; chunks change places from row to row against bank
/// conflicts.
template <int kWidth>
__device__ inline int tile_at(int row, int chunk) {
  constexpr int kChunks = kWidth / 8;
  return row * kWidth + ((chunk ^ (row % (kChunks < 8 ? kChunks : 8))) * 8);
}

/// Queries of the tile as bf16, zeros behind the last and behind head_dim.
template <int kWidth>
__device__ inline void stage_queries(const QueryTile& tile, const DeviceHeads& heads, int head,
                                     const float* qkv, Bf16* to) {
  constexpr int kPairs = kWidth / 2;
  for (int i = static_cast<int>(threadIdx.x); i < mma_queries(kWidth) * kPairs; i += kMmaAttentionThreads) {
    const int r = i / kPairs;
    const int d = i % kPairs * 2;
    std::uint32_t pair = 0;
    if (r < tile.count && d < heads.head_dim) {
      const float* from = qkv +
                          static_cast<std::size_t>(tile.row + r) * static_cast<std::size_t>(heads.row()) +
                          head * heads.head_dim + d;
      pair = pack_bf16(from[0], from[1]);
    }
    *reinterpret_cast<std::uint32_t*>(to + tile_at<kWidth>(r, d / 8) + d % 8) = pair;
  }
}

/// Starts the copy of keys or values first .. first + mma_keys(kWidth) - 1; zeros from `end` on.
template <int kWidth>
__device__ inline void stage_cached(const Bf16* cached, int stride, int first, int end, Bf16* to) {
  constexpr int kChunks = kWidth / 8;
  for (int i = static_cast<int>(threadIdx.x); i < mma_keys(kWidth) * kChunks; i += kMmaAttentionThreads) {
    const int r = i / kChunks;
    const int chunk = i % kChunks;
    const bool there = first + r < end && chunk * 8 < stride;
    const std::size_t at = there ? static_cast<std::size_t>(first + r) * static_cast<std::size_t>(stride) +
                                       static_cast<std::size_t>(chunk * 8)
                                 : 0;
    copy_async_16(to + tile_at<kWidth>(r, chunk), cached + at, there);
  }
  copy_async_commit();
}

/// The scores of a warp's queries and the keys at hand: [tall][groups of 8 keys].
template <int kWidth>
using MmaScores = float[mma_tall(kWidth)][mma_keys(kWidth) / 8][4];

/// What a warp knows of 16 queries: a lane looks after rows lane / 4 and lane / 4 + 8.
template <int kWidth>
struct MmaSoftmax {
  float largest[2] = {-INFINITY, -INFINITY};
  float sum[2] = {0, 0};    ///< of this lane's columns only, until the end
  float first[2] = {0, 0};  ///< 2^(score of position 0 - largest), in the lanes of column 0
  float out[kWidth / 8][4] = {};
};

/// scores = q k^T of a warp's queries, from query `row` of the tile on.
template <int kWidth>
__device__ inline void score_keys(const Bf16* queries, int row, const Bf16* keys, MmaScores<kWidth>& scores) {
  constexpr int kTall = mma_tall(kWidth);
  const int lane = lane_index();
  // Not all of it unrolled: the addresses alone would take more registers than there are.
#pragma unroll 2
  for (int chunk = 0; chunk < kWidth / 8; chunk += 2) {
    std::uint32_t a[kTall][4];
#pragma unroll
    for (int m = 0; m < kTall; ++m)
      load_matrix_x4(a[m], queries + tile_at<kWidth>(row + m * 16 + lane % 16, chunk + lane / 16));
#pragma unroll
    for (int n = 0; n < mma_keys(kWidth) / 8; n += 2) {
      std::uint32_t both[4];
      load_matrix_x4(both, keys + tile_at<kWidth>(n * 8 + lane / 16 * 8 + lane % 8, chunk + lane / 8 % 2));
      const std::uint32_t left[2] = {both[0], both[1]};
      const std::uint32_t right[2] = {both[2], both[3]};
#pragma unroll
      for (int m = 0; m < kTall; ++m) {
        mma_bf16(scores[m][n], a[m], left);
        mma_bf16(scores[m][n + 1], a[m], right);
      }
    }
  }
}

/// Scores, times `scale` in powers of two, become 2^(score - largest); the running sums and outputs follow a
/// new largest. `position` is that of the lane's row 0, `first` that of key 0 of the tile.
template <int kWidth>
__device__ inline void soften_keys(float (&scores)[mma_keys(kWidth) / 8][4], float scale, int position,
                                   int first, MmaSoftmax<kWidth>& state) {
  const int column = lane_index() % 4 * 2;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int last = position + half * 8;
    float largest = state.largest[half];
#pragma unroll
    for (int n = 0; n < mma_keys(kWidth) / 8; ++n) {
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        float& score = scores[n][half * 2 + j];
        score = first + n * 8 + column + j <= last ? score * scale : -INFINITY;
        largest = fmaxf(largest, score);
      }
    }
    largest = fmaxf(largest, __shfl_xor_sync(kAllLanes, largest, 1));
    largest = fmaxf(largest, __shfl_xor_sync(kAllLanes, largest, 2));
    // A row that sees no key of its tile yet (the padding of the last tile) must not divide infinities.
    const float base = largest == -INFINITY ? 0.0f : largest;
    const float rescale = exp2f(state.largest[half] - base);
    float sum = 0;
#pragma unroll
    for (int n = 0; n < mma_keys(kWidth) / 8; ++n) {
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        float& score = scores[n][half * 2 + j];
        score = exp2f(score - base);
        sum += score;
      }
    }
    state.first[half] = first == 0 ? scores[0][half * 2] : state.first[half] * rescale;
    state.sum[half] = state.sum[half] * rescale + sum;
    state.largest[half] = largest;
#pragma unroll
    for (int d = 0; d < kWidth / 8; ++d) {
      state.out[d][half * 2] *= rescale;
      state.out[d][half * 2 + 1] *= rescale;
    }
  }
}

/// out += weights v. The fragments of the scores are, pair by pair, those a left operand needs.
template <int kWidth>
__device__ inline void sum_values(const MmaScores<kWidth>& weights, const Bf16* values,
                                  MmaSoftmax<kWidth> (&state)[mma_tall(kWidth)]) {
  constexpr int kTall = mma_tall(kWidth);
  const int lane = lane_index();
#pragma unroll
  for (int n = 0; n < mma_keys(kWidth) / 8; n += 2) {
    std::uint32_t a[kTall][4];
#pragma unroll
    for (int m = 0; m < kTall; ++m) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float* pair = weights[m][n + i / 2] + i % 2 * 2;
        a[m][i] = pack_bf16(pair[0], pair[1]);
      }
    }
#pragma unroll
    for (int chunk = 0; chunk < kWidth / 8; chunk += 2) {
      std::uint32_t both[4];  // values transposed: keys 0-7 and 8-15 of one chunk, then of the next
      load_matrix_x4_transposed(both, values + tile_at<kWidth>(n * 8 + lane % 16, chunk + lane / 16));
      const std::uint32_t left[2] = {both[0], both[1]};
      const std::uint32_t right[2] = {both[2], both[3]};
#pragma unroll
      for (int m = 0; m < kTall; ++m) {
        mma_bf16(state[m].out[chunk], a[m], left);
        mma_bf16(state[m].out[chunk + 1], a[m], right);
      }
    }
  }
}

/// The 16 queries from `row` of the tile on leave: attended[query][head], and their weights of position 0.
template <class X, int kWidth>
__device__ inline void store_attended(const QueryTile& tile, const DeviceHeads& heads, int head, int row,
                                      const MmaSoftmax<kWidth>& state, X* attended, int attended_stride,
                                      float* first_token) {
  const int column = lane_index() % 4 * 2;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float sum = state.sum[half];
    sum += __shfl_xor_sync(kAllLanes, sum, 1);
    sum += __shfl_xor_sync(kAllLanes, sum, 2);
    const int r = row + lane_index() / 4 + half * 8;
    if (r >= tile.count) continue;
    X* to = attended + static_cast<std::size_t>(tile.row + r) * static_cast<std::size_t>(attended_stride) +
            head * heads.head_dim;
    if (column == 0) first_token[(tile.row + r) * heads.heads + head] = state.first[half] / sum;
#pragma unroll
    for (int d = 0; d < kWidth / 8; ++d) {
      if (d * 8 + column >= heads.head_dim) continue;
      store_activation(state.out[d][half * 2] / sum, to + d * 8 + column);
      store_activation(state.out[d][half * 2 + 1] / sum, to + d * 8 + column + 1);
    }
    if (head != heads.heads - 1) continue;  // zeros behind the last head, which the next product reads
    for (int i = heads.heads * heads.head_dim + lane_index() % 4; i < attended_stride; i += 4)
      store_activation(0.0f, to - head * heads.head_dim + i);
  }
}

/// Blocks: (query tiles, heads). kWidth: head_dim rounded up to 32, 64, 128 or 256. `first_token` is
/// [tokens][heads]: the softmax weight of position 0.
template <class X, int kWidth>
__global__ void __launch_bounds__(kMmaAttentionThreads)
    attend_mma(const QueryTile* tiles, DeviceHeads heads, DeviceCache cache, const float* qkv, X* attended,
               int attended_stride, float* first_token) {
  const QueryTile tile = tiles[blockIdx.x];
  const int head = static_cast<int>(blockIdx.y);
  auto* queries = reinterpret_cast<Bf16*>(dynamic_shared());
  Bf16* keys = queries + mma_queries(kWidth) * kWidth;
  Bf16* values = keys + mma_keys(kWidth) * kWidth;
  const auto* base = static_cast<const Bf16*>(cache.data);
  const int kv_head = head / heads.group();
  const Bf16* cached_keys = base + cache.head(tile.sequence, heads.layer, 0, kv_head);
  const Bf16* cached_values = base + cache.head(tile.sequence, heads.layer, 1, kv_head);
  constexpr float kLog2E = 1.44269504f;
  const float scale = kLog2E / sqrtf(static_cast<float>(heads.head_dim));
  constexpr int kTall = mma_tall(kWidth);
  const int row = warp_index() * kTall * 16;  // the warp's first query of the tile
  const int last = min(row + kTall * 16, tile.count) - 1;
  const int end = tile.position + tile.count;

  MmaSoftmax<kWidth> state[kTall];
  stage_cached<kWidth>(cached_keys, cache.stride, 0, end, keys);
  stage_queries<kWidth>(tile, heads, head, qkv, queries);
  for (int first = 0; first < end; first += mma_keys(kWidth)) {
    // Warps with queries, some of which see a key at hand; the others help to fetch.
    const bool sees = row <= last && first <= tile.position + last;
    stage_cached<kWidth>(cached_values, cache.stride, first, end, values);
    copy_async_wait<1>();  // the keys
    __syncthreads();
    MmaScores<kWidth> scores = {};
    if (sees) {
      score_keys<kWidth>(queries, row, keys, scores);
#pragma unroll
      for (int m = 0; m < kTall; ++m)
        soften_keys<kWidth>(scores[m], scale, tile.position + row + m * 16 + lane_index() / 4, first,
                            state[m]);
    }
    __syncthreads();  // all are done with the keys
    stage_cached<kWidth>(cached_keys, cache.stride, first + mma_keys(kWidth), end, keys);
    copy_async_wait<1>();  // the values
    __syncthreads();
    if (sees) sum_values<kWidth>(scores, values, state);
    __syncthreads();  // all are done with the values
  }
  copy_async_wait<0>();
#pragma unroll
  for (int m = 0; m < kTall; ++m)
    store_attended(tile, heads, head, row + m * 16, state[m], attended, attended_stride, first_token);
}

}  // namespace expertscope::cuda
