// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>

#include "engine/cuda/device_type.h"

/// From what a step knows to the instance of a kernel that does it.
namespace expertscope::cuda {

/// fn<type of the weights, type of the activations>(): bf16 activations only with BF16 weights.
template <class Fn>
void with_types(DeviceType weights, bool rounds, Fn&& fn) {
  if (rounds) return fn.template operator()<DeviceType::bf16, std::uint16_t>();
  switch (weights) {
    case DeviceType::f32:
      return fn.template operator()<DeviceType::f32, float>();
    case DeviceType::f16:
      return fn.template operator()<DeviceType::f16, float>();
    case DeviceType::bf16:
      return fn.template operator()<DeviceType::bf16, float>();
  }
}

/// fn<type of the weights>().
template <class Fn>
void with_weights(DeviceType weights, Fn&& fn) {
  switch (weights) {
    case DeviceType::f32:
      return fn.template operator()<DeviceType::f32>();
    case DeviceType::f16:
      return fn.template operator()<DeviceType::f16>();
    case DeviceType::bf16:
      return fn.template operator()<DeviceType::bf16>();
  }
}

/// fn<float or bf16>(): the activations of the product that reads them.
template <class Fn>
void with_activations(bool rounds, Fn&& fn) {
  if (rounds) return fn.template operator()<std::uint16_t>();
  fn.template operator()<float>();
}

/// fn<type of the cache, type of the activations>(): f32 mode keeps both in f32.
template <class Fn>
void with_cache(bool bf16_cache, bool rounds, Fn&& fn) {
  if (!bf16_cache) return fn.template operator()<float, float>();
  if (rounds) return fn.template operator()<std::uint16_t, std::uint16_t>();
  fn.template operator()<std::uint16_t, float>();
}

/// fn<1, 2 or 4>(): tokens of a decode step.
template <class Fn>
void with_bucket(int bucket, Fn&& fn) {
  if (bucket == 1) return fn.template operator()<1>();
  if (bucket == 2) return fn.template operator()<2>();
  fn.template operator()<4>();
}

}  // namespace expertscope::cuda
