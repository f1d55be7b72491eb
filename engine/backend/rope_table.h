// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>

#include "engine/backend/memory.h"
#include "engine/model/config.h"

namespace expertscope {

/// Cosines and sines of rotary position embedding: angle(position, i) = position * theta^(-2 i / head_dim).
/// (Su et al. 2021, "RoFormer"; rounded to f32 where transformers rounds)
class RopeTable {
 public:
  /// Floats a table for `positions` takes.
  static CheckedSize floats(const ModelConfig& config, int positions);
  [[nodiscard]] bool build(const ModelConfig& config, int positions);

  const float* cosine(std::int64_t position) const {
    return values_.data() + position * 2 * half_;
  }                                                                                    ///< [half]
  const float* sine(std::int64_t position) const { return cosine(position) + half_; }  ///< [half]

 private:
  std::int64_t half_ = 0;  ///< head_dim / 2
  Buffer<float> values_;   ///< [positions][cosine, sine][half]
};

}  // namespace expertscope
