// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "engine/cuda/kernels/heads.cuh"

/// Attention of one token a sequence: the piece of the context that a block takes, and how it begins - the
/// copies of the cache, the query heads, the new key and value.
namespace expertscope::cuda {

/// Positions whose keys and values lie in shared memory at a time: a tile.
template <class C>
inline constexpr int kDecodeTile = sizeof(C) == 2 ? 32 : 16;
/// Elements from one row of a tile to the next. Two rows that four lanes each read side by side lie in
/// different banks.
template <class C>
constexpr int tile_pitch(int stride) {
  return stride + 64 / static_cast<int>(sizeof(C));
}
/// Bytes of dynamic shared memory.
template <class C>
constexpr std::size_t decode_attention_bytes(int group, int stride) {
  const int tiles = 2 * kDecodeTile<C> * tile_pitch<C>(stride);
  return static_cast<std::size_t>(tiles) * sizeof(C) +
         static_cast<std::size_t>(group * (stride + kDecodeTile<C> + 4)) * sizeof(float);
}

template <class C>
struct DecodeScratch {
  C* keys;         ///< [kDecodeTile][tile_pitch]
  C* values;       ///< the same
  float* q;        ///< [group][stride]
  float* scores;   ///< [group][kDecodeTile]
  float* largest;  ///< [group]
  float* sum;      ///< [group]
  float* rescale;  ///< [group]
  float* first;    ///< [group] score of position 0
};

template <class C>
__device__ inline DecodeScratch<C> decode_scratch(int group, int stride) {
  DecodeScratch<C> s;
  s.keys = reinterpret_cast<C*>(dynamic_shared());
  s.values = s.keys + kDecodeTile<C> * tile_pitch<C>(stride);
  s.q = reinterpret_cast<float*>(s.values + kDecodeTile<C> * tile_pitch<C>(stride));
  s.scores = s.q + group * stride;
  s.largest = s.scores + group * kDecodeTile<C>;
  s.sum = s.largest + group;
  s.rescale = s.sum + group;
  s.first = s.rescale + group;
  return s;
}

/// What one block does: positions begin .. end - 1 of one sequence for the query heads of one key/value head.
struct DecodePiece {
  int token;
  int kv_head;
  int group;
  int stride;
  int position;  ///< of the token
  int split;     ///< which piece this is
  int splits;    ///< that there is room for
  int used;      ///< pieces of this token's context
  int begin;
  int end;

  __device__ bool owns_position() const { return end > position; }
  /// Of the pieces' arrays, for head `h` of the group.
  __device__ std::size_t index(const DeviceHeads& heads, int h) const {
    const std::size_t head = static_cast<std::size_t>(token) * static_cast<std::size_t>(heads.heads) +
                             static_cast<std::size_t>(kv_head * group + h);
    return head * static_cast<std::size_t>(splits) + static_cast<std::size_t>(split);
  }
};

/// A recorded step has room for the longest context; a short one takes fewer pieces, since each has to be
/// worth its part of the merge. They differ by one position at most, and none is empty.
__device__ inline DecodePiece decode_piece(const DeviceHeads& heads, int stride, int token, int position) {
  constexpr int kWorthwhile = 32;
  DecodePiece piece;
  piece.token = token;
  piece.kv_head = static_cast<int>(blockIdx.x);
  piece.group = heads.group();
  piece.stride = stride;
  piece.position = position;
  piece.split = static_cast<int>(blockIdx.y);
  piece.splits = static_cast<int>(gridDim.y);
  piece.used = min(piece.splits, position / kWorthwhile + 1);
  const int share = (position + 1) / piece.used;
  const int longer = (position + 1) % piece.used;  // pieces of one position more, the first ones
  piece.begin = piece.split * share + min(piece.split, longer);
  piece.end = piece.begin + share + (piece.split < longer ? 1 : 0);
  return piece;
}

/// Starts the copy of positions first .. end - 1 into a tile, zeros behind them. Position `except` is left
/// out.
template <class C>
__device__ inline void start_tile(const C* rows, C* tile, int stride, int first, int end, int except) {
  constexpr int kLanes = kDecodeAttentionThreads / kDecodeTile<C>;  // of a row
  constexpr int kChunk = 16 / static_cast<int>(sizeof(C));
  const int r = static_cast<int>(threadIdx.x) / kLanes;
  const int p = first + r;
  if (p == except) return;
  const bool there = p < end;
  const C* from = rows + static_cast<std::size_t>(there ? p : 0) * static_cast<std::size_t>(stride);
  C* to = tile + r * tile_pitch<C>(stride);
  for (int i = static_cast<int>(threadIdx.x) % kLanes * kChunk; i < stride; i += kLanes * kChunk)
    copy_async_16(to + i, from + i, there);
}

/// The query heads into shared memory, and in the block that has the token's own position its key and value
/// into the cache and, as far as the first tile has them, there. Half a warp a head: the key, one head more
/// than a group of eight has queries, does not wait for another's.
template <class C>
__device__ inline void prepare_heads(const DeviceHeads& heads, const DecodePiece& piece, const float* qkv,
                                     const DecodeScratch<C>& s, C* keys, C* values) {
  constexpr int kLanes = kWarp / 2;
  const int width = heads.head_dim;
  const float* bias = heads.bias;
  const bool owner = piece.owns_position();
  const int in_tile = piece.position - piece.begin;
  const bool tiled = in_tile < kDecodeTile<C>;
  const int row = tiled ? in_tile * tile_pitch<C>(piece.stride) : 0;
  const std::size_t at = static_cast<std::size_t>(piece.position) * static_cast<std::size_t>(piece.stride);
  const int channel = static_cast<int>(threadIdx.x);  // of the value
  float value = 0;
  if (owner && channel < width) {
    const int value_at = (heads.heads + heads.kv_heads + piece.kv_head) * width + channel;
    value = qkv[value_at] + (bias != nullptr ? bias[value_at] : 0.0f);
  }
  const int items = piece.group + (owner ? 1 : 0);
  for (int first = warp_index() * 2; first < items; first += kDecodeAttentionThreads / kLanes) {
    const int h = first + lane_index() / kLanes;
    const bool is_key = h == piece.group;
    const int from = (is_key ? heads.heads + piece.kv_head : piece.kv_head * piece.group + h) * width;
    finish_head<kLanes>(heads, h < items, qkv + from, bias != nullptr ? bias + from : nullptr,
                        is_key ? heads.k_norm : heads.q_norm, piece.position, piece.stride,
                        [&](int i, float x) {
                          if (!is_key) {
                            s.q[h * piece.stride + i] = x;
                            return;
                          }
                          store_activation(x, keys + at + static_cast<std::size_t>(i));
                          if (tiled) store_activation(x, s.keys + row + i);
                        });
  }
  if (owner && channel < piece.stride) {
    store_activation(value, values + at + static_cast<std::size_t>(channel));
    if (tiled) store_activation(value, s.values + row + channel);
  }
  for (int h = channel; h < piece.group; h += kDecodeAttentionThreads) {
    s.largest[h] = -INFINITY;
    s.sum[h] = 0;
    s.first[h] = -INFINITY;
  }
}

}  // namespace expertscope::cuda
