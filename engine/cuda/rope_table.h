// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "engine/cuda/runtime/memory.h"
#include "engine/model/config.h"

namespace expertscope::cuda {

/// The cosines and sines of engine/backend/rope_table.h, bit for bit, on the device:
/// [positions][cosine, sine][head_dim / 2].
class RopeTable {
 public:
  Status build(const ModelConfig& config, int positions, cudaStream_t stream);
  const float* data() const { return values_.data(); }

 private:
  DeviceBuffer<float> values_;
};

}  // namespace expertscope::cuda
