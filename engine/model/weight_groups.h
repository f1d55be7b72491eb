// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "engine/model/model.h"

namespace expertscope {

/// What the weights of one part of a model are stored as.
struct WeightGroup {
  std::string_view name;  ///< "experts", "attention", ...
  std::int64_t elements = 0;
  std::int64_t bytes = 0;                 ///< of the matrices, with their planes of scales
  std::vector<std::string_view> formats;  ///< of the matrices, in the order in which they occur; of norms and
                                          ///< biases, which are converted when the model opens, none

  double bits_per_weight() const {
    return elements > 0 ? 8.0 * static_cast<double>(bytes) / static_cast<double>(elements) : 0;
  }
};

/// The parts that the model has. An output that is tied to the embedding is no part of its own.
std::vector<WeightGroup> weight_groups(const Model& model);

}  // namespace expertscope
