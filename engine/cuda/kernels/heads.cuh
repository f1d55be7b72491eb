// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>

#include "engine/cuda/kernels/block.cuh"
#include "engine/cuda/kernels/numbers.cuh"
#include "engine/cuda/step/device_step.h"

namespace expertscope::cuda {

/// Tells the host that a layer has begun: should the device fail, the host can still read that.
__device__ inline void tell_layer(const DeviceStep& step, int layer) {
  const bool first = (blockIdx.x | blockIdx.y | blockIdx.z | threadIdx.x) == 0;
  if (first && step.layer_begun != nullptr) *step.layer_begun = layer;
}

/// Bias, norm over the head where the model has one, and rotation: put(i, value) for every channel i below
/// `stride`, zeros behind head_dim. `raw` is what the projection gave. kLanes lanes share a head, so that a
/// warp works on kWarp / kLanes of them; those that are not `there` have nothing to do. All loads are asked
/// for before the first value is used: a decode step waits for this chain.
template <int kLanes, class Put>
__device__ inline void finish_head(const DeviceHeads& heads, bool there, const float* raw, const float* bias,
                                   const float* norm, int position, int stride, Put&& put) {
  constexpr int kPairs = kMaxHeadDim / 2 / kLanes;
  const int lane = lane_index() % kLanes;
  const int width = heads.head_dim;
  const int half = there ? width / 2 : 0;
  const float* cosine = heads.rope + static_cast<std::size_t>(position) * static_cast<std::size_t>(width);
  const float* sine = cosine + half;
  // Pair i: of the channels that turn, i and i + rotary_half turn together; the others are paired likewise.
  const int turning = heads.rotary_half;
  const auto low = [&](int i) { return i < turning ? i : i + turning; };
  const auto high = [&](int i) { return i < turning ? i + turning : i + half; };
  float2 value[kPairs] = {};
  float2 angle[kPairs] = {};
  float2 weight[kPairs] = {};
#pragma unroll
  for (int j = 0; j < kPairs; ++j) {
    const int i = lane + j * kLanes;
    if (i >= half) continue;
    value[j] = {raw[low(i)], raw[high(i)]};
    angle[j] = {cosine[i], sine[i]};
    if (norm != nullptr) weight[j] = {norm[low(i)], norm[high(i)]};
  }
  float squares = 0;
#pragma unroll
  for (int j = 0; j < kPairs; ++j) {
    const int i = lane + j * kLanes;
    if (bias != nullptr && i < half) {
      value[j].x += bias[low(i)];
      value[j].y += bias[high(i)];
    }
    squares += value[j].x * value[j].x + value[j].y * value[j].y;
  }
  if (norm != nullptr) {
#pragma unroll
    for (int offset = kLanes / 2; offset > 0; offset /= 2)
      squares += __shfl_xor_sync(kAllLanes, squares, offset);
    const float scale = 1.0f / sqrtf(squares / static_cast<float>(width) + heads.eps);
#pragma unroll
    for (int j = 0; j < kPairs; ++j)
      value[j] = {weight[j].x * (value[j].x * scale), weight[j].y * (value[j].y * scale)};
  }
#pragma unroll
  for (int j = 0; j < kPairs; ++j) {
    const int i = lane + j * kLanes;
    if (i >= half) continue;
    put(low(i), value[j].x * angle[j].x - value[j].y * angle[j].y);
    put(high(i), value[j].y * angle[j].x + value[j].x * angle[j].y);
  }
  for (int i = 2 * half + lane; there && i < stride; i += kLanes)
    put(i, 0.0f);
}

/// Zeros behind the heads of a row, which the next product reads; by the warp of the last head.
template <class X>
__device__ inline void clear_padding(const DeviceHeads& heads, int head, X* row, int stride) {
  if (head != heads.heads - 1) return;
  for (int i = heads.heads * heads.head_dim + lane_index(); i < stride; i += kWarp)
    store_activation(0.0f, row + i);
}

/// Writes one position's key and value of one head into the cache, by one warp.
template <class C>
__device__ inline void store_position(const DeviceHeads& heads, const DeviceCache& cache, const float* qkv,
                                      int sequence, int position, int kv_head) {
  const int width = heads.head_dim;
  const int key_at = (heads.heads + kv_head) * width;
  const int value_at = key_at + heads.kv_heads * width;
  const float* bias = heads.bias;
  C* base = static_cast<C*>(cache.data);
  const std::size_t row = static_cast<std::size_t>(position) * static_cast<std::size_t>(cache.stride);
  C* key = base + cache.head(sequence, heads.layer, 0, kv_head) + row;
  C* value = base + cache.head(sequence, heads.layer, 1, kv_head) + row;
  finish_head<kWarp>(heads, true, qkv + key_at, bias != nullptr ? bias + key_at : nullptr, heads.k_norm,
                     position, cache.stride, [&](int i, float k) { store_activation(k, key + i); });
  for (int i = lane_index(); i < cache.stride; i += kWarp) {
    const float v = i < width ? qkv[value_at + i] + (bias != nullptr ? bias[value_at + i] : 0.0f) : 0.0f;
    store_activation(v, value + i);
  }
  __syncwarp();
}

}  // namespace expertscope::cuda
