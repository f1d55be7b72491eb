// SPDX-License-Identifier: GPL-3.0-or-later
#include <algorithm>

#include "probes/analysis/analysis.h"

namespace expertscope {
namespace {

LayerLoad layer_load(const ExpertTable& table, int layer) {
  LayerLoad load;
  load.layer = layer;
  double total = 0;
  double squares = 0;
  std::int64_t busiest = 0;
  for (int expert = 0; expert < table.experts; ++expert) {
    const ExpertStats& stats = table.at(layer, expert);
    load.count.push_back(stats.count);
    load.weight_sum.push_back(stats.weight_sum);
    const auto count = static_cast<double>(stats.count);
    total += count;
    squares += count * count;
    busiest = std::max(busiest, stats.count);
    if (stats.count == 0) ++load.dead_experts;
  }
  load.share.assign(load.count.size(), 0.0);
  if (total <= 0) return load;
  std::transform(load.count.begin(), load.count.end(), load.share.begin(),
                 [total](std::int64_t count) { return static_cast<double>(count) / total; });
  const double experts = table.experts;
  load.max_over_mean = static_cast<double>(busiest) * experts / total;
  load.jain = total * total / (experts * squares);
  return load;
}

}  // namespace

LoadResult analyze_load(const ExpertTable& table) {
  LoadResult result;
  result.tokens = table.tokens;
  for (int layer = 0; layer < table.layers; ++layer) {
    if (table.moe_layer[layer] != 0) {
      result.layers.push_back(layer_load(table, layer));
    }
  }
  return result;
}

}  // namespace expertscope
