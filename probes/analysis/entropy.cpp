// SPDX-License-Identifier: GPL-3.0-or-later
#include <cmath>

#include "probes/analysis/analysis.h"
#include "probes/analysis/run_data.h"

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

namespace {

Table empty_table() {
  return {"layers",
          "Router entropy",
          TableKey::layer,
          {layer_column(),
           {"tokens", "tokens", ColumnType::integer, "tokens", "Tokens for which it was measured."},
           {"mean_nats", "mean", ColumnType::number, "nats", "Mean over these tokens."},
           {"min_nats", "min", ColumnType::number, "nats", "Smallest of them."},
           {"max_nats", "max", ColumnType::number, "nats", "Largest of them."},
           {"normalised", "of ln E", ColumnType::number, "share", "The mean divided by ln(experts)."}}};
}

Result<AnalysisResult> run(RunData& data, const TokenRange& range, const Options&, const std::stop_token&) {
  const auto layers = data.layer_stats(range);
  if (!layers) return forward_error(layers);
  AnalysisResult result;
  Table& table = result.tables.emplace_back(empty_table());
  for (const LayerEntropy& layer : analyze_entropy(**layers, data.info()).layers)
    table.add_row(layer.layer, layer.tokens, layer.mean, layer.min, layer.max, layer.normalised);
  return result;
}

}  // namespace

Analysis entropy_analysis() {
  return {
      "entropy",
      "Router entropy, per layer",
      "-sum p ln p of the router's scores over all experts, before top-k and before any edit: of their "
      "softmax, or, where a score is a sigmoid, of the sigmoids divided by their sum. The largest possible "
      "is ln(experts).",
      "",
      {Input::entropy},
      {},
      {empty_table()},
      run};
}

}  // namespace expertscope
