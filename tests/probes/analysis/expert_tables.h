// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "probes/store/run_info.h"

namespace expertscope::testing {

/// All layers have a router, and nothing was recorded.
inline ExpertTable table_of(int layers, int experts) {
  ExpertTable table;
  table.layers = layers;
  table.experts = experts;
  table.cells.resize(static_cast<std::size_t>(layers) * static_cast<std::size_t>(experts));
  table.moe_layer.resize(static_cast<std::size_t>(layers));
  for (auto& moe : table.moe_layer)
    moe = 1;
  return table;
}

}  // namespace expertscope::testing
