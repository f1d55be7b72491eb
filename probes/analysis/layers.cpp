// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/analysis/analysis.h"

namespace expertscope {

AttentionResult analyze_attention(const std::vector<LayerStats>& layers) {
  AttentionResult result;
  for (std::size_t layer = 0; layer < layers.size(); ++layer) {
    const LayerStats& stats = layers[layer];
    if (stats.attention_tokens == 0) continue;
    result.layers.push_back({static_cast<int>(layer), stats.attention_tokens, stats.attention_mean(),
                             stats.attention_min, stats.attention_max});
  }
  return result;
}

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
