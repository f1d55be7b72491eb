// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/analysis/analysis.h"
#include "probes/analysis/run_data.h"

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

namespace {

Table empty_table() {
  return {"layers",
          "Attention on the first token",
          TableKey::layer,
          {layer_column(),
           {"tokens", "tokens", ColumnType::integer, "tokens", "Tokens for which it was measured."},
           {"mean", "mean", ColumnType::number, "share", "Mean over these tokens."},
           {"min", "min", ColumnType::number, "share", "Smallest of them."},
           {"max", "max", ColumnType::number, "share", "Largest of them."}}};
}

Result<AnalysisResult> run(RunData& data, const TokenRange& range, const Options&, const std::stop_token&) {
  const auto layers = data.layer_stats(range);
  if (!layers) return forward_error(layers);
  AnalysisResult result;
  Table& table = result.tables.emplace_back(empty_table());
  for (const LayerAttention& layer : analyze_attention(**layers).layers)
    table.add_row(layer.layer, layer.tokens, layer.mean, layer.min, layer.max);
  return result;
}

}  // namespace

Analysis attention_analysis() {
  return {
      "attention",
      "Attention on the first token, per layer",
      "Softmax weight of the first position of the sequence, the mean over the query heads of a decoder "
      "layer; mean, smallest and largest over the tokens. The first token of a sequence has 1. Where it is "
      "large, the first token is an attention sink.",
      "G. Xiao et al. 2023, arXiv 2309.17453",
      {Input::attention},
      {},
      {empty_table()},
      run};
}

}  // namespace expertscope
