// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>

#include "engine/backend/backend.h"
#include "engine/backend/sizes.h"
#include "engine/cuda/runtime/memory.h"
#include "engine/cuda/step/device_step.h"
#include "engine/model/config.h"

namespace expertscope::cuda {

/// Keys and values of every position on the device, f32 in f32 mode and bf16 in bf16 mode; the layout is
/// DeviceCache.
class KvCache {
 public:
  static CheckedSize bytes(const ModelConfig& config, const BackendOptions& options);
  Status allocate(const ModelConfig& config, const BackendOptions& options);

  const DeviceCache& view() const { return view_; }

 private:
  DeviceBuffer<std::uint8_t> memory_;
  DeviceCache view_;
};

}  // namespace expertscope::cuda
