// SPDX-License-Identifier: GPL-3.0-or-later
#include <cmath>

#include "probes/analysis/analysis.h"

namespace expertscope {

EntropyResult analyze_entropy(const std::vector<LayerStats>& layers, const RunInfo& run) {
  EntropyResult result;
  if (!run.probes.entropy) return result;
  for (std::size_t layer = 0; layer < layers.size() && layer < run.moe_layer.size(); ++layer) {
    const LayerStats& stats = layers[layer];
    if (run.moe_layer[layer] == 0 || stats.entropy_tokens == 0) continue;
    LayerEntropy entropy;
    entropy.layer = static_cast<int>(layer);
    entropy.tokens = stats.entropy_tokens;
    entropy.mean = stats.entropy_sum / static_cast<double>(stats.entropy_tokens);
    entropy.min = stats.entropy_min;
    entropy.max = stats.entropy_max;
    if (run.experts > 1) entropy.normalised = entropy.mean / std::log(static_cast<double>(run.experts));
    result.layers.push_back(entropy);
  }
  return result;
}

}  // namespace expertscope
