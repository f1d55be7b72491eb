// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "engine/cuda/kernels/heads.cuh"

/// Attention of one token a sequence: q/k norm, rotation, the cache write and softmax(q k^T) v over the whole
/// context in one kernel. The context is split between blocks; the block that finishes last puts the pieces
/// together. (Dao et al. 2023, "Flash-Decoding"; the online softmax of Milakov and Gimelshein 2018)
namespace expertscope::cuda {

inline constexpr int kDecodeAttentionThreads = 256;
inline constexpr int kDecodeTile = 64;  ///< positions whose scores lie in shared memory at a time

/// Floats of dynamic shared memory.
constexpr int decode_attention_floats(int group, int stride) {
  const int scores = group * kDecodeTile;
  return group * (stride + 4) + (scores > stride ? scores : stride);  // a new key passes through the scores
}

struct DecodeScratch {
  float* q;        ///< [group][stride]
  float* largest;  ///< [group]
  float* sum;      ///< [group]
  float* rescale;  ///< [group]
  float* first;    ///< [group] score of position 0
  float* scores;   ///< [group][kDecodeTile]
};

__device__ inline DecodeScratch decode_scratch(int group, int stride) {
  auto* memory = reinterpret_cast<float*>(dynamic_shared());
  DecodeScratch s;
  s.q = memory;
  s.largest = s.q + group * stride;
  s.sum = s.largest + group;
  s.rescale = s.sum + group;
  s.first = s.rescale + group;
  s.scores = s.first + group;
  return s;
}

/// 8 elements of a cached row.
template <class C>
__device__ inline void load_cached(const C* from, float (&values)[8]) {
  load_activations<8>(from, values);
}

/// scores[head][p] = scale * q[head] k[base + p]: `lanes` lanes of a warp share a position.
template <class C>
__device__ inline void score_tile(const C* keys, const DecodeScratch& s, int group, int stride, int base,
                                  int count, float scale) {
  const int lanes = stride > 128  ? 32
                    : stride > 64 ? 16
                    : stride > 32 ? 8
                    : stride > 16 ? 4
                    : stride > 8  ? 2
                                  : 1;
  const int together = kWarp / lanes;
  const int element = lane_index() % lanes * 8;
  for (int first = warp_index() * together; first < count; first += warps_per_block() * together) {
    const int p = first + lane_index() / lanes;
    const bool there = p < count && element < stride;
    float key[8] = {};
    if (there)
      load_cached(keys + static_cast<std::size_t>(base + p) * static_cast<std::size_t>(stride) + element,
                  key);
    for (int h = 0; h < group; ++h) {
      float score = 0;
      if (there) {
        const float* q = s.q + h * stride + element;
#pragma unroll
        for (int i = 0; i < 8; ++i)
          score += q[i] * key[i];
      }
      for (int offset = lanes / 2; offset > 0; offset /= 2)
        score += __shfl_xor_sync(kAllLanes, score, offset);
      if (p < count && element == 0) s.scores[h * kDecodeTile + p] = score * scale;
    }
  }
}

/// The tile's scores become exp(score - largest); sum and largest of each head go on. One warp a head.
__device__ inline void soften_tile(const DecodeScratch& s, int group, int base, int count) {
  for (int h = warp_index(); h < group; h += warps_per_block()) {
    float* scores = s.scores + h * kDecodeTile;
    float largest = s.largest[h];
    for (int p = lane_index(); p < count; p += kWarp)
      largest = fmaxf(largest, scores[p]);
    largest = warp_max(largest);
    if (base == 0 && lane_index() == 0) s.first[h] = scores[0];
    __syncwarp();
    float sum = 0;
    for (int p = lane_index(); p < count; p += kWarp) {
      scores[p] = expf(scores[p] - largest);
      sum += scores[p];
    }
    sum = warp_sum(sum);
    if (lane_index() == 0) {
      const float rescale = expf(s.largest[h] - largest);
      s.rescale[h] = rescale;
      s.sum[h] = s.sum[h] * rescale + sum;
      s.largest[h] = largest;
    }
    __syncwarp();
  }
}

/// The last block of a (token, key/value head): the pieces of all splits become the attended heads.
template <class X>
__device__ inline void merge_pieces(const DeviceHeads& heads, const AttentionPieces& pieces, int token,
                                    int kv_head, int splits, int stride, X* attended, int attended_stride) {
  const int group = heads.group();
  for (int h = warp_index(); h < group; h += warps_per_block()) {
    const int head = kv_head * group + h;
    const std::size_t first = (static_cast<std::size_t>(token) * static_cast<std::size_t>(heads.heads) +
                               static_cast<std::size_t>(head)) *
                              static_cast<std::size_t>(splits);
    const float* stats = pieces.stats + first * 3;
    float largest = -INFINITY;
    for (int i = 0; i < splits; ++i)
      largest = fmaxf(largest, stats[3 * i]);
    float sum = 0;
    float first_token = 0;
    for (int i = 0; i < splits; ++i) {
      sum += stats[3 * i + 1] * expf(stats[3 * i] - largest);
      first_token += expf(stats[3 * i + 2] - largest);
    }
    if (lane_index() == 0) pieces.first_token[token * heads.heads + head] = first_token / sum;
    X* row = attended + static_cast<std::size_t>(token) * static_cast<std::size_t>(attended_stride);
    X* to = row + head * heads.head_dim;
    clear_padding(heads, head, row, attended_stride);
    for (int d = lane_index(); d < heads.head_dim; d += kWarp) {
      float value = 0;
      for (int i = 0; i < splits; ++i) {
        const std::size_t at = (first + static_cast<std::size_t>(i)) * static_cast<std::size_t>(stride);
        value += pieces.out[at + static_cast<std::size_t>(d)] * expf(stats[3 * i] - largest);
      }
      store_activation(value / sum, to + d);
    }
  }
}

/// Blocks: (kv_heads, splits, tokens). kPairs: (head, pair of channels) combinations a thread sums up, at
/// least group * stride / 2 / kDecodeAttentionThreads. `attended` is [tokens][attended_stride], as the next
/// product wants it.
template <class C, class X, int kPairs>
__global__ void __launch_bounds__(kDecodeAttentionThreads)
    attend_token(const DeviceStep* step, DeviceHeads heads, DeviceCache cache, const float* qkv,
                 AttentionPieces pieces, X* attended, int attended_stride) {
  tell_layer(*step, heads.layer);
  const int token = static_cast<int>(blockIdx.z);
  if (token >= step->tokens) return;
  const int kv_head = static_cast<int>(blockIdx.x);
  const int group = heads.group();
  const int stride = cache.stride;
  const int splits = static_cast<int>(gridDim.y);
  const int split = static_cast<int>(blockIdx.y);
  const int position = step->position[token];
  const int sequence = step->sequence[token];
  const float* projected = qkv + static_cast<std::size_t>(token) * static_cast<std::size_t>(heads.row());
  const DecodeScratch s = decode_scratch(group, stride);

  const int share = (position + splits) / splits;  // positions of a piece, rounded up
  const int begin = split * share;
  const int end = min(begin + share, position + 1);
  for (int h = warp_index(); h < group; h += warps_per_block()) {
    const int at = (kv_head * group + h) * heads.head_dim;
    finish_head(heads, projected + at, heads.bias != nullptr ? heads.bias + at : nullptr, heads.q_norm,
                position, stride, s.q + h * stride);
    if (lane_index() == 0) {
      s.largest[h] = -INFINITY;
      s.sum[h] = 0;
      s.first[h] = -INFINITY;
    }
  }
  // The block that needs the new position writes it, and reads it back like any other. The scores' memory is
  // free until then.
  if (begin <= position && position < end && warp_index() == 0)
    store_position<C>(heads, cache, projected, sequence, position, kv_head, s.scores);
  __syncthreads();

  const C* base = static_cast<const C*>(cache.data);
  const C* keys = base + cache.head(sequence, heads.layer, 0, kv_head);
  const C* values = base + cache.head(sequence, heads.layer, 1, kv_head);
  const float scale = 1.0f / sqrtf(static_cast<float>(heads.head_dim));
  const int pairs = group * stride / 2;
  float2 sums[kPairs];
#pragma unroll
  for (int i = 0; i < kPairs; ++i)
    sums[i] = float2{0, 0};
  for (int tile = begin; tile < end; tile += kDecodeTile) {
    const int count = min(kDecodeTile, end - tile);
    score_tile(keys, s, group, stride, tile, count, scale);
    __syncthreads();
    soften_tile(s, group, tile, count);
    __syncthreads();
#pragma unroll
    for (int i = 0; i < kPairs; ++i) {
      const int pair = static_cast<int>(threadIdx.x) + i * kDecodeAttentionThreads;
      if (pair >= pairs) continue;
      const int h = pair / (stride / 2);
      const int d = pair % (stride / 2) * 2;
      const C* value = values + static_cast<std::size_t>(tile) * static_cast<std::size_t>(stride) + d;
      const float* weights = s.scores + h * kDecodeTile;
      float2 sum{sums[i].x * s.rescale[h], sums[i].y * s.rescale[h]};
      for (int p = 0; p < count; ++p, value += stride) {
        const float2 two = load_pair(value);
        sum.x += weights[p] * two.x;
        sum.y += weights[p] * two.y;
      }
      sums[i] = sum;
    }
    __syncthreads();
  }

  const std::size_t first = (static_cast<std::size_t>(token) * static_cast<std::size_t>(heads.heads) +
                             static_cast<std::size_t>(kv_head * group)) *
                                static_cast<std::size_t>(splits) +
                            static_cast<std::size_t>(split);
#pragma unroll
  for (int i = 0; i < kPairs; ++i) {
    const int pair = static_cast<int>(threadIdx.x) + i * kDecodeAttentionThreads;
    if (pair >= pairs) continue;
    const std::size_t head = first + static_cast<std::size_t>(pair / (stride / 2) * splits);
    float* out = pieces.out + head * static_cast<std::size_t>(stride) + pair % (stride / 2) * 2;
    out[0] = sums[i].x;
    out[1] = sums[i].y;
  }
  for (int h = static_cast<int>(threadIdx.x); h < group; h += kDecodeAttentionThreads) {
    float* stats = pieces.stats + (first + static_cast<std::size_t>(h * splits)) * 3;
    stats[0] = s.largest[h];
    stats[1] = s.sum[h];
    stats[2] = s.first[h];
  }
  if (is_last_block(pieces.arrived + token * heads.kv_heads + kv_head, static_cast<unsigned>(splits)))
    merge_pieces(heads, pieces, token, kv_head, splits, stride, attended, attended_stride);
}

}  // namespace expertscope::cuda
