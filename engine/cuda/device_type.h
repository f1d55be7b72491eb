// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>

namespace expertscope::cuda {

/// What weights are on a device: the types that kernels read. Those that a file has in another format are
/// widened to one of these on their way there (weights/weight_layout.h).
enum class DeviceType : std::uint8_t { f32, f16, bf16 };

/// Bytes of an element.
constexpr std::size_t device_bytes(DeviceType type) {
  return type == DeviceType::f32 ? 4 : 2;
}

}  // namespace expertscope::cuda
