// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "engine/cuda/kernels/attention_pieces.cuh"

/// Attention of one token a sequence: q/k norm, rotation, the cache write and softmax(q k^T) v over the whole
/// context in one kernel. The context is split between blocks; the block that finishes last puts the pieces
/// together. (Dao et al. 2023, "Flash-Decoding"; the online softmax of Milakov and Gimelshein 2018)
namespace expertscope::cuda {

/// scores[head][p] = scale * q[head] k[p] of the tile's first `count` positions: four lanes share a position,
/// and a thread takes four heads at a time.
template <class C>
__device__ inline void score_tile(const DecodeScratch<C>& s, int group, int stride, int count, float scale) {
  constexpr int kLanes = 4;
  constexpr int kHeads = 4;
  constexpr int kChunk = 16 / static_cast<int>(sizeof(C));
  constexpr int kShares = kDecodeAttentionThreads / (kLanes * kDecodeTile<C>);
  const int lane = static_cast<int>(threadIdx.x) % kLanes;
  const int p = static_cast<int>(threadIdx.x) / kLanes % kDecodeTile<C>;
  const int share = static_cast<int>(threadIdx.x) / (kLanes * kDecodeTile<C>);
  const C* key = s.keys + p * tile_pitch<C>(stride);
  for (int first = share * kHeads; first < group; first += kShares * kHeads) {
    float score[kHeads] = {};
#pragma unroll 2
    for (int i = lane * kChunk; i < stride; i += kLanes * kChunk) {
      float k[kChunk];
      load_activations<kChunk>(key + i, k);
#pragma unroll
      for (int j = 0; j < kHeads; ++j) {
        float q[kChunk];
        load_activations<kChunk>(s.q + min(first + j, group - 1) * stride + i, q);
#pragma unroll
        for (int c = 0; c < kChunk; ++c)
          score[j] += q[c] * k[c];
      }
    }
#pragma unroll
    for (int j = 0; j < kHeads; ++j) {
      score[j] += __shfl_xor_sync(kAllLanes, score[j], 1);
      score[j] += __shfl_xor_sync(kAllLanes, score[j], 2);
      if (lane == j && first + j < group && p < count)
        s.scores[(first + j) * kDecodeTile<C> + p] = score[j] * scale;
    }
  }
}

/// The tile's scores become exp(score - largest), zeros behind `count`; sum and largest of each head go on.
/// One warp a head, one lane a position.
template <class C>
__device__ inline void soften_tile(const DecodeScratch<C>& s, int group, int first, int count) {
  static_assert(kDecodeTile<C> <= kWarp);
  const int lane = lane_index();
  for (int h = warp_index(); h < group; h += kDecodeAttentionThreads / kWarp) {
    float* scores = s.scores + h * kDecodeTile<C>;
    const float before = s.largest[h];
    const float score = lane < count ? scores[lane] : -INFINITY;
    const float largest = warp_max(fmaxf(before, score));
    const float weight = lane < count ? expf(score - largest) : 0.0f;
    if (lane < kDecodeTile<C>) scores[lane] = weight;
    const float sum = warp_sum(weight);
    if (lane != 0) continue;
    const float rescale = expf(before - largest);
    s.rescale[h] = rescale;
    s.sum[h] = s.sum[h] * rescale + sum;
    s.largest[h] = largest;
    if (first == 0) s.first[h] = score;
  }
}

/// Head `i` of the kHeads whose channels 2 * column and 2 * column + 1 a thread sums up.
struct DecodeColumn {
  int column;
  int first_head;
  int together;  ///< heads that the block's threads cover at a time

  __device__ explicit DecodeColumn(int stride)
      : column(static_cast<int>(threadIdx.x) % (stride / 2)),
        first_head(static_cast<int>(threadIdx.x) / (stride / 2)),
        together(kDecodeAttentionThreads / (stride / 2)) {
    if (first_head >= together) first_head = 1 << 16;  // a thread too many: it has no head
  }
  __device__ int head(int i) const { return first_head + i * together; }
};

/// sums[i] = sums[i] * rescale + sum over the tile's positions of weight * value. Rows behind `count` are
/// zeros, and so are their weights.
template <class C, int kHeads>
__device__ inline void add_values(const DecodeScratch<C>& s, const DecodeColumn& mine, int group, int stride,
                                  int count, float2 (&sums)[kHeads]) {
  if (mine.head(0) >= group) return;
  const float* weights[kHeads];
#pragma unroll
  for (int i = 0; i < kHeads; ++i) {
    const int h = min(mine.head(i), group - 1);
    weights[i] = s.scores + h * kDecodeTile<C>;
    sums[i].x *= s.rescale[h];
    sums[i].y *= s.rescale[h];
  }
  const int pitch = tile_pitch<C>(stride);
  const C* value = s.values + 2 * mine.column;
  for (int p = 0; p < count; p += 4, value += 4 * pitch) {
    const float2 v[4] = {load_pair(value), load_pair(value + pitch), load_pair(value + 2 * pitch),
                         load_pair(value + 3 * pitch)};
#pragma unroll
    for (int i = 0; i < kHeads; ++i) {
      const float4 w = *reinterpret_cast<const float4*>(weights[i] + p);
      sums[i].x += w.x * v[0].x;
      sums[i].y += w.x * v[0].y;
      sums[i].x += w.y * v[1].x;
      sums[i].y += w.y * v[1].y;
      sums[i].x += w.z * v[2].x;
      sums[i].y += w.z * v[2].y;
      sums[i].x += w.w * v[3].x;
      sums[i].y += w.w * v[3].y;
    }
  }
}

/// softmax(q k^T) v over the piece, not yet divided by the sum. The copies of its first keys and values are
/// on their way; those of the next tile follow as soon as this one's are used, the keys while the values are
/// summed up and the other way round.
template <class C, int kHeads>
__device__ inline void attend_piece(const DecodePiece& piece, const DecodeScratch<C>& s, const C* keys,
                                    const C* values, float scale, float2 (&sums)[kHeads]) {
  const DecodeColumn mine(piece.stride);
  for (int tile = piece.begin;; tile += kDecodeTile<C>) {
    const int count = min(kDecodeTile<C>, piece.end - tile);
    const int next = tile + kDecodeTile<C>;
    copy_async_wait<1>();
    __syncthreads();
    score_tile<C>(s, piece.group, piece.stride, count, scale);
    __syncthreads();
    if (next < piece.end) start_tile(keys, s.keys, piece.stride, next, piece.end, -1);
    copy_async_commit();
    soften_tile<C>(s, piece.group, tile, count);
    copy_async_wait<1>();
    __syncthreads();
    add_values<C, kHeads>(s, mine, piece.group, piece.stride, count, sums);
    if (next >= piece.end) return;
    __syncthreads();
    start_tile(values, s.values, piece.stride, next, piece.end, -1);
    copy_async_commit();
  }
}

/// What the block that merges needs of this one.
template <class C, int kHeads>
__device__ inline void leave_piece(const DeviceHeads& heads, const DecodePiece& piece,
                                   const DecodeScratch<C>& s, const float2 (&sums)[kHeads],
                                   const AttentionPieces& pieces) {
  const DecodeColumn mine(piece.stride);
#pragma unroll
  for (int i = 0; i < kHeads; ++i) {
    if (mine.head(i) >= piece.group) continue;
    float* out = pieces.out + piece.index(heads, mine.head(i)) * static_cast<std::size_t>(piece.stride) +
                 2 * mine.column;
    *reinterpret_cast<float2*>(out) = sums[i];
  }
  for (int h = static_cast<int>(threadIdx.x); h < piece.group; h += kDecodeAttentionThreads) {
    float* stats = pieces.stats + piece.index(heads, h) * 3;
    stats[0] = s.largest[h];
    stats[1] = s.sum[h];
    stats[2] = s.first[h];
  }
}

/// The pieces of all splits become one attended head, by one warp: a lane weighs a piece, then every lane
/// sums up four channels over all of them.
template <class X>
__device__ inline void merge_head(const DeviceHeads& heads, const AttentionPieces& pieces,
                                  const DecodePiece& piece, int h, X* row, int attended_stride) {
  const int head = piece.kv_head * piece.group + h;
  const std::size_t first = piece.index(heads, h) - static_cast<std::size_t>(piece.split);
  const int lane = lane_index();
  float stats[3] = {-INFINITY, 0.0f, -INFINITY};
  if (lane < piece.used) {
#pragma unroll
    for (int i = 0; i < 3; ++i)
      stats[i] = pieces.stats[(first + static_cast<std::size_t>(lane)) * 3 + static_cast<std::size_t>(i)];
  }
  const float largest = warp_max(stats[0]);
  float weight = expf(stats[0] - largest);
  const float sum = warp_sum(stats[1] * weight);
  const float first_token = warp_sum(expf(stats[2] - largest));
  if (lane == 0) pieces.first_token[piece.token * heads.heads + head] = first_token / sum;
  weight /= sum;
  clear_padding(heads, head, row, attended_stride);
  X* to = row + head * heads.head_dim;
  const auto stride = static_cast<std::size_t>(piece.stride);
  for (int base = 0; base < piece.stride; base += 4 * kWarp) {
    const int d = base + 4 * lane;
    const float* out = pieces.out + first * stride + (d < piece.stride ? d : 0);
    float value[4] = {};
#pragma unroll 8
    for (int i = 0; i < piece.used; ++i) {
      const float w = __shfl_sync(kAllLanes, weight, i);
      const float4 four = *reinterpret_cast<const float4*>(out + static_cast<std::size_t>(i) * stride);
      value[0] += w * four.x;
      value[1] += w * four.y;
      value[2] += w * four.z;
      value[3] += w * four.w;
    }
#pragma unroll
    for (int i = 0; i < 4; ++i)
      if (d + i < heads.head_dim) store_activation(value[i], to + d + i);
  }
}

/// Blocks: (kv_heads, splits, tokens), kMaxSplits splits at most. kHeads: decode_heads(group, stride) or
/// more. `attended` is [tokens][attended_stride], as the next product wants it.
template <class C, class X, int kHeads>
__global__ void __launch_bounds__(kDecodeAttentionThreads, sizeof(C) == 2 && kHeads <= 8 ? 2 : 1)
    attend_token(const DeviceStep* step, DeviceHeads heads, DeviceCache cache, const float* qkv,
                 AttentionPieces pieces, X* attended, int attended_stride) {
  static_assert(kMaxSplits <= kWarp, "a lane weighs a piece");
  const int token = static_cast<int>(blockIdx.z);
  const int tokens = step->tokens;
  // Position and sequence are asked for together, and before anything is decided: a block that waits for one
  // number after the other begins its copies late. (No sequence is negative; the test keeps its load here.)
  const int row_of_step = min(token, tokens - 1);
  const int sequence = step->sequence[row_of_step];
  const DecodePiece piece = decode_piece(heads, cache.stride, token, step->position[row_of_step]);
  if (token >= tokens || sequence < 0 || piece.split >= piece.used) return;
  const DecodeScratch<C> s = decode_scratch<C>(piece.group, piece.stride);
  C* keys = static_cast<C*>(cache.data) + cache.head(sequence, heads.layer, 0, piece.kv_head);
  C* values = static_cast<C*>(cache.data) + cache.head(sequence, heads.layer, 1, piece.kv_head);
  // The cache does not wait for the projections: it comes while the heads are made ready.
  const int except = piece.owns_position() ? piece.position : -1;
  start_tile(keys, s.keys, piece.stride, piece.begin, piece.end, except);
  copy_async_commit();
  start_tile(values, s.values, piece.stride, piece.begin, piece.end, except);
  copy_async_commit();
  tell_layer(*step, heads.layer);
  prepare_heads<C>(heads, piece,
                   qkv + static_cast<std::size_t>(token) * static_cast<std::size_t>(heads.row()), s, keys,
                   values);
  float2 sums[kHeads];
#pragma unroll
  for (int i = 0; i < kHeads; ++i)
    sums[i] = float2{0, 0};
  const float scale = 1.0f / sqrtf(static_cast<float>(heads.head_dim));
  attend_piece<C, kHeads>(piece, s, keys, values, scale, sums);
  leave_piece<C, kHeads>(heads, piece, s, sums, pieces);
  const auto used = static_cast<unsigned>(piece.used);
  if (!is_last_block(pieces.arrived + token * heads.kv_heads + piece.kv_head, used)) return;
  X* row = attended + static_cast<std::size_t>(token) * static_cast<std::size_t>(attended_stride);
  for (int h = warp_index(); h < piece.group; h += kDecodeAttentionThreads / kWarp)
    merge_head(heads, pieces, piece, h, row, attended_stride);
}

}  // namespace expertscope::cuda
