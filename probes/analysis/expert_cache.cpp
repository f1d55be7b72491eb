// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/analysis/results.h"

namespace expertscope {

std::optional<CacheStats> total_cache(const std::vector<LayerStats>& layers) {
  std::optional<CacheStats> total;
  for (const LayerStats& stats : layers) {
    if (!stats.cache) continue;
    if (!total) total.emplace();
    total->hits += stats.cache->hits;
    total->misses += stats.cache->misses;
    total->bytes += stats.cache->bytes;
  }
  return total;
}

}  // namespace expertscope
