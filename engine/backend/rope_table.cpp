// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/backend/rope_table.h"

#include <cmath>

namespace expertscope {

CheckedSize RopeTable::floats(const ModelConfig& config, int positions) {
  return CheckedSize(positions) * CheckedSize(config.head_dim);
}

bool RopeTable::build(const ModelConfig& config, int positions) {
  half_ = config.head_dim / 2;
  if (!values_.allocate(floats(config, positions).value())) return false;
  for (std::int64_t i = 0; i < half_; ++i) {
    const double exponent = 2.0 * static_cast<double>(i) / config.head_dim;
    const auto frequency = static_cast<float>(1.0 / std::pow(config.rope_theta, exponent));
    for (std::int64_t position = 0; position < positions; ++position) {
      const double angle = static_cast<float>(position) * frequency;
      values_[static_cast<std::size_t>(position * 2 * half_ + i)] = static_cast<float>(std::cos(angle));
      values_[static_cast<std::size_t>(position * 2 * half_ + half_ + i)] =
          static_cast<float>(std::sin(angle));
    }
  }
  return true;
}

}  // namespace expertscope
