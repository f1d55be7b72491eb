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

/// Bias, norm over the head where the model has one, and rotation, by one warp: `raw` is what the projection
/// gave, `out` [stride] receives the head, zeros behind head_dim.
__device__ inline void finish_head(const DeviceHeads& heads, const float* raw, const float* bias,
                                   const float* norm, int position, int stride, float* out) {
  const int width = heads.head_dim;
  float squares = 0;
  for (int i = lane_index(); i < stride; i += kWarp) {
    const float value = i < width ? raw[i] + (bias != nullptr ? bias[i] : 0.0f) : 0.0f;
    out[i] = value;
    squares += value * value;
  }
  __syncwarp();
  float scale = 1.0f;
  if (norm != nullptr) scale = 1.0f / sqrtf(warp_sum(squares) / static_cast<float>(width) + heads.eps);
  const int half = width / 2;
  const float* cosine = heads.rope + static_cast<std::size_t>(position) * static_cast<std::size_t>(width);
  const float* sine = cosine + half;
  for (int i = lane_index(); i < half; i += kWarp) {
    float a = out[i];
    float b = out[i + half];
    if (norm != nullptr) {
      a = norm[i] * (a * scale);
      b = norm[i + half] * (b * scale);
    }
    out[i] = a * cosine[i] - b * sine[i];
    out[i + half] = b * cosine[i] + a * sine[i];
  }
  __syncwarp();
}

/// Zeros behind the heads of a row, which the next product reads; by the warp of the last head.
template <class X>
__device__ inline void clear_padding(const DeviceHeads& heads, int head, X* row, int stride) {
  if (head != heads.heads - 1) return;
  for (int i = heads.heads * heads.head_dim + lane_index(); i < stride; i += kWarp)
    store_activation(0.0f, row + i);
}

/// Writes one position's key and value of one head into the cache, by one warp. `scratch` is [stride].
template <class C>
__device__ inline void store_position(const DeviceHeads& heads, const DeviceCache& cache, const float* qkv,
                                      int sequence, int position, int kv_head, float* scratch) {
  const int width = heads.head_dim;
  const int key_at = (heads.heads + kv_head) * width;
  const int value_at = key_at + heads.kv_heads * width;
  const float* bias = heads.bias;
  finish_head(heads, qkv + key_at, bias != nullptr ? bias + key_at : nullptr, heads.k_norm, position,
              cache.stride, scratch);
  C* base = static_cast<C*>(cache.data);
  const std::size_t row = static_cast<std::size_t>(position) * static_cast<std::size_t>(cache.stride);
  C* key = base + cache.head(sequence, heads.layer, 0, kv_head) + row;
  C* value = base + cache.head(sequence, heads.layer, 1, kv_head) + row;
  for (int i = lane_index(); i < cache.stride; i += kWarp) {
    store_activation(scratch[i], key + i);
    const float v = i < width ? qkv[value_at + i] + (bias != nullptr ? bias[value_at + i] : 0.0f) : 0.0f;
    store_activation(v, value + i);
  }
  __syncwarp();
}

}  // namespace expertscope::cuda
