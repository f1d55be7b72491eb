// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>

#include "engine/cuda/device_type.h"
#include "engine/cuda/kernels/instructions.cuh"

/// Weights and activations as kernels read and write them: 16 bytes at a time, f32 in registers.
namespace expertscope::cuda {

/// Elements of a type in 16 bytes.
template <DeviceType kType>
inline constexpr int kPack = kType == DeviceType::f32 ? 4 : 8;

/// An activation as it lies in memory: float, or bf16 where it enters a product of bf16 arithmetic.
using Bf16 = std::uint16_t;

__device__ inline float widen_low(std::uint32_t pair) {
  return __uint_as_float(pair << 16);
}
__device__ inline float widen_high(std::uint32_t pair) {
  return __uint_as_float(pair & 0xffff0000u);
}

/// 16 bytes of weights as floats.
template <DeviceType kType>
__device__ inline void widen(const uint4& raw, float (&values)[kPack<kType>]) {
  const std::uint32_t words[4] = {raw.x, raw.y, raw.z, raw.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    if constexpr (kType == DeviceType::f32) {
      values[i] = __uint_as_float(words[i]);
    } else if constexpr (kType == DeviceType::bf16) {
      values[2 * i] = widen_low(words[i]);
      values[2 * i + 1] = widen_high(words[i]);
    } else {
      values[2 * i] = widen_f16(static_cast<std::uint16_t>(words[i] & 0xffffu));
      values[2 * i + 1] = widen_f16(static_cast<std::uint16_t>(words[i] >> 16));
    }
  }
}

/// Activations `x[0 .. count)`, `count` 4 or 8, from an address aligned to 16 bytes.
template <int kCount>
__device__ inline void load_activations(const float* x, float (&values)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; i += 4) {
    const float4 four = *reinterpret_cast<const float4*>(x + i);
    values[i] = four.x;
    values[i + 1] = four.y;
    values[i + 2] = four.z;
    values[i + 3] = four.w;
  }
}
template <int kCount>
__device__ inline void load_activations(const Bf16* x, float (&values)[kCount]) {
  if constexpr (kCount == 8) {
    widen<DeviceType::bf16>(*reinterpret_cast<const uint4*>(x), values);
  } else {
    const uint2 raw = *reinterpret_cast<const uint2*>(x);
    values[0] = widen_low(raw.x);
    values[1] = widen_high(raw.x);
    values[2] = widen_low(raw.y);
    values[3] = widen_high(raw.y);
  }
}

__device__ inline void store_activation(float value, float* to) {
  *to = value;
}
__device__ inline void store_activation(float value, Bf16* to) {
  *to = static_cast<Bf16>(pack_bf16(value, 0.0f));
}
__device__ inline float load_activation(const float* from) {
  return *from;
}
__device__ inline float load_activation(const Bf16* from) {
  return __uint_as_float(static_cast<std::uint32_t>(*from) << 16);
}

/// Two neighbours, the first at an even index of an aligned row.
__device__ inline float2 load_pair(const float* from) {
  return *reinterpret_cast<const float2*>(from);
}
__device__ inline float2 load_pair(const Bf16* from) {
  const std::uint32_t pair = *reinterpret_cast<const std::uint32_t*>(from);
  return float2{widen_low(pair), widen_high(pair)};
}

/// silu(gate) * up (Shazeer 2020, "SwiGLU").
__device__ inline float silu_mul(float gate, float up) {
  return gate / (1.0f + expf(-gate)) * up;
}

}  // namespace expertscope::cuda
