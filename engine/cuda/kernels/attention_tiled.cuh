// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "engine/cuda/kernels/heads.cuh"
#include "engine/cuda/kernels/rows.cuh"

/// Attention of many tokens in f32: the parity mode, and head sizes the tensor-core kernel does not take. The
/// full score matrix is never stored. (Dao et al. 2022, "FlashAttention")
namespace expertscope::cuda {

inline constexpr int kFinishWarps = 8;

/// Finishes all heads of all tokens: queries in place, keys and values into the cache. Blocks: (tokens); a
/// warp a head.
template <class C>
__global__ void __launch_bounds__(kFinishWarps* kWarp, 1)
    finish_heads(const DeviceStep* step, DeviceHeads heads, DeviceCache cache, float* qkv) {
  tell_layer(*step, heads.layer);
  const int token = static_cast<int>(blockIdx.x);
  if (token >= step->tokens) return;
  float* row = qkv + static_cast<std::size_t>(token) * static_cast<std::size_t>(heads.row());
  for (int h = warp_index(); h < heads.heads + heads.kv_heads; h += kFinishWarps) {
    float* head = row + h * heads.head_dim;
    if (h >= heads.heads) {
      store_position<C>(heads, cache, row, step->sequence[token], step->position[token], h - heads.heads);
      continue;
    }
    finish_head<kWarp>(heads, true, head, heads.bias != nullptr ? heads.bias + h * heads.head_dim : nullptr,
                       heads.q_norm, step->position[token], heads.head_dim,
                       [&](int i, float q) { head[i] = q; });
  }
}

inline constexpr int kTileQueries = 8;  ///< one warp each
inline constexpr int kTileKeys = kWarp;

constexpr int tiled_attention_floats(int stride) {
  return kTileQueries * stride + kTileKeys * (stride + 1) + kTileKeys * stride;
}

/// Blocks: (query tiles, heads). kChunks: head_dim / 32, rounded up. `first_token` is [tokens][heads]: the
/// softmax weight of position 0.
template <class C, class X, int kChunks>
__global__ void __launch_bounds__(kTileQueries* kWarp)
    attend_tile(const QueryTile* tiles, DeviceHeads heads, DeviceCache cache, const float* qkv, X* attended,
                int attended_stride, float* first_token) {
  const QueryTile tile = tiles[blockIdx.x];
  const int head = static_cast<int>(blockIdx.y);
  const int stride = cache.stride;
  const int width = heads.head_dim;
  auto* q = reinterpret_cast<float*>(dynamic_shared()) + warp_index() * stride;
  auto* keys = reinterpret_cast<float*>(dynamic_shared()) + kTileQueries * stride;  // [kTileKeys][stride + 1]
  float* values = keys + kTileKeys * (stride + 1);                                  // [kTileKeys][stride]
  const int me = warp_index();
  const bool mine = me < tile.count;
  const int row = tile.row + me;
  const int last = tile.position + me;
  const float* from =
      qkv + static_cast<std::size_t>(row) * static_cast<std::size_t>(heads.row()) + head * width;
  for (int i = lane_index(); i < stride; i += kWarp)
    q[i] = mine && i < width ? from[i] : 0.0f;
  const float scale = 1.0f / sqrtf(static_cast<float>(width));
  const C* base = static_cast<const C*>(cache.data);
  const int kv_head = head / heads.group();
  const C* cached_keys = base + cache.head(tile.sequence, heads.layer, 0, kv_head);
  const C* cached_values = base + cache.head(tile.sequence, heads.layer, 1, kv_head);
  float sum = 0;
  float largest = -INFINITY;
  float first = 0;  // exp(score of position 0 - largest)
  float out[kChunks] = {};
  const int end = tile.position + tile.count;  // keys 0 .. end - 1 are seen by some query
  for (int k0 = 0; k0 < end; k0 += kTileKeys) {
    __syncthreads();
    for (int i = static_cast<int>(threadIdx.x); i < kTileKeys * stride; i += kTileQueries * kWarp) {
      const int t = i / stride;
      const int d = i % stride;
      const bool there = k0 + t < end;
      const std::size_t at =
          static_cast<std::size_t>(k0) * static_cast<std::size_t>(stride) + static_cast<std::size_t>(i);
      keys[t * (stride + 1) + d] = there ? load_activation(cached_keys + at) : 0.0f;
      values[i] = there ? load_activation(cached_values + at) : 0.0f;
    }
    __syncthreads();
    if (!mine || k0 > last) continue;
    const bool seen = k0 + lane_index() <= last;
    float score = 0;
    const float* key = keys + lane_index() * (stride + 1);
    for (int d = 0; d < width; ++d)
      score += q[d] * key[d];
    score = seen ? score * scale : -INFINITY;
    const float now = fmaxf(largest, warp_max(score));
    const float rescale = expf(largest - now);
    const float weight = expf(score - now);
    if (k0 == 0)
      first = __shfl_sync(kAllLanes, weight, 0);
    else
      first *= rescale;
    sum = sum * rescale + warp_sum(weight);
    largest = now;
#pragma unroll
    for (int c = 0; c < kChunks; ++c)
      out[c] *= rescale;
    const int count = min(kTileKeys, last - k0 + 1);
    for (int t = 0; t < count; ++t) {
      const float w = __shfl_sync(kAllLanes, weight, t);
#pragma unroll
      for (int c = 0; c < kChunks; ++c) {
        const int d = lane_index() + c * kWarp;
        if (d < width) out[c] += w * values[t * stride + d];
      }
    }
  }
  if (!mine) return;
  if (lane_index() == 0) first_token[row * heads.heads + head] = first / sum;
  X* whole = attended + static_cast<std::size_t>(row) * static_cast<std::size_t>(attended_stride);
  X* to = whole + head * width;
  clear_padding(heads, head, whole, attended_stride);
#pragma unroll
  for (int c = 0; c < kChunks; ++c) {
    const int d = lane_index() + c * kWarp;
    if (d < width) store_activation(out[c] / sum, to + d);
  }
}

/// The probe: the mean over the heads. Blocks: tokens / kWarp; a thread a token.
__global__ void measure_attention(const DeviceStep* step, const float* first_token, int heads, int layer) {
  const int token = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (token >= step->tokens || step->capture.first_token_attention == nullptr) return;
  float sum = 0;
  for (int h = 0; h < heads; ++h)
    sum += first_token[token * heads + h];
  step->capture.first_token_attention[layer * step->tokens + token] = sum / static_cast<float>(heads);
}

}  // namespace expertscope::cuda
