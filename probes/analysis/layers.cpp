// SPDX-License-Identifier: GPL-3.0-or-later
#include <limits>
#include <map>

#include "probes/analysis/analysis.h"
#include "probes/analysis/run_data.h"

namespace expertscope {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

Table empty_table() {
  constexpr auto kInteger = ColumnType::integer;
  constexpr auto kNumber = ColumnType::number;
  return {"layers",
          "Layers",
          TableKey::layer,
          {layer_column(),
           {"moe", "MoE", ColumnType::flag, "", "Whether the layer has a router."},
           {"entropy", "entropy", kNumber, "nats", "Mean router entropy."},
           {"normalised_entropy", "of ln E", kNumber, "share", "The same divided by ln(experts)."},
           {"jain", "Jain", kNumber, "", "Fairness of the load: 1 when even, 1/E when one expert does all."},
           {"max_over_mean", "max/mean", kNumber, "", "Load ratio of the busiest expert."},
           {"dead_experts", "dead", kInteger, "experts", "Experts without a slot."},
           {"attention", "on first token", kNumber, "share", "Mean attention on the first token."},
           {"hidden_max", "max |hidden|", kNumber, "", "Largest |hidden state| after the layer."},
           {"hidden_channel", "channel", kInteger, "channel", "Its channel; known of whole runs."},
           {"hidden_token", "at token", kInteger, "token index", "Its run token index."}}};
}

/// By layer; layers without the measurement are missing.
template <class Layer>
std::map<int, const Layer*> by_layer(const std::vector<Layer>& layers) {
  std::map<int, const Layer*> result;
  for (const Layer& layer : layers)
    result[layer.layer] = &layer;
  return result;
}

template <class Layer>
const Layer* find(const std::map<int, const Layer*>& layers, int layer) {
  const auto found = layers.find(layer);
  return found == layers.end() ? nullptr : found->second;
}

Result<AnalysisResult> run(RunData& data, const TokenRange& range, const Options&, const std::stop_token&) {
  const auto experts = data.expert_table(range);
  if (!experts) return forward_error(experts);
  const auto layers = data.layer_stats(range);
  if (!layers) return forward_error(layers);
  const LoadResult load = analyze_load(**experts);
  const EntropyResult entropy = analyze_entropy(**layers, data.info());
  const AttentionResult attention = analyze_attention(**layers);
  const auto loads = by_layer(load.layers);
  const auto entropies = by_layer(entropy.layers);
  const auto attentions = by_layer(attention.layers);
  AnalysisResult result;
  Table& table = result.tables.emplace_back(empty_table());
  for (std::size_t i = 0; i < (*layers)->size(); ++i) {
    const int layer = static_cast<int>(i);
    const LayerStats& stats = (**layers)[i];
    const LayerLoad* l = find(loads, layer);
    const bool routed = l != nullptr && l->jain > 0;  // a slot was recorded
    const LayerEntropy* e = find(entropies, layer);
    const LayerAttention* a = find(attentions, layer);
    table.add_row(layer, l != nullptr, e != nullptr ? e->mean : kNone, e != nullptr ? e->normalised : kNone,
                  routed ? l->jain : kNone, routed ? l->max_over_mean : kNone,
                  Index{routed ? l->dead_experts : -1}, a != nullptr ? a->mean : kNone,
                  stats.hidden_token >= 0 ? stats.hidden_max : kNone, Index{stats.hidden_channel},
                  Index{stats.hidden_token});
  }
  return result;
}

}  // namespace

Analysis layers_analysis() {
  return {
      "layers",
      "Layers: entropy, fairness, dead experts, attention on the first token, hidden maxima",
      "One row a decoder layer with what load, entropy and attention say of it (their definitions), and the "
      "largest absolute value of the hidden state after it with its channel: a massive activation where it "
      "is far above those of the other layers. What was not recorded is missing.",
      "massive activations: M. Sun et al. 2024, arXiv 2402.17762",
      {},
      {},
      {empty_table()},
      run};
}

}  // namespace expertscope
