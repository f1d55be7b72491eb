// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <vector>

#include "engine/backend/sizes.h"
#include "engine/cuda/runtime/memory.h"
#include "engine/model/config.h"

namespace expertscope::cuda {

/// The cosines and sines of engine/backend/rope_table.h, bit for bit, on the device, each different table
/// once: [positions][cosine, sine][head_dim / 2]. Where fewer channels turn, the rest is 1 and 0.
class RopeTables {
 public:
  static CheckedSize floats(const ModelConfig& config, int positions);
  Status build(const ModelConfig& config, int positions, cudaStream_t stream);
  const float* of_layer(int layer) const { return of_layer_[static_cast<std::size_t>(layer)]; }

 private:
  DeviceBuffer<float> values_;
  std::vector<const float*> of_layer_;
};

}  // namespace expertscope::cuda
