// SPDX-License-Identifier: GPL-3.0-or-later
#include <algorithm>
#include <numeric>

#include "probes/analysis/analysis.h"
#include "probes/analysis/run_data.h"

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

namespace {

void add_layer_row(const LayerLoad& load, Table& table) {
  const auto busiest = std::max_element(load.count.begin(), load.count.end());
  const auto expert = busiest - load.count.begin();
  const std::int64_t slots = std::accumulate(load.count.begin(), load.count.end(), std::int64_t{0});
  table.add_row(load.layer, slots, load.dead_experts, load.max_over_mean, load.jain,
                Index{slots > 0 ? expert : -1}, slots > 0 ? load.share[expert] : 0.0);
}

Table layer_table() {
  constexpr auto kInteger = ColumnType::integer;
  constexpr auto kNumber = ColumnType::number;
  return {"layers",
          "Load per layer",
          TableKey::layer,
          {layer_column(),
           {"slots", "slots", kInteger, "slots", "Slots of all experts."},
           {"dead_experts", "dead", kInteger, "experts", "Experts without a slot."},
           {"max_over_mean", "max/mean", kNumber, "", "Load ratio: largest count over the mean."},
           {"jain", "Jain", kNumber, "", "Fairness: (sum x)^2 / (E sum x^2) of the counts."},
           {"busiest_expert", "busiest", kInteger, "expert", "Expert with the most slots."},
           {"busiest_share", "its share", kNumber, "share", "Its share of the layer's slots."}}};
}

Table expert_table() {
  return {
      "experts",
      "Load per expert",
      TableKey::layer_expert,
      {layer_column(),
       expert_column(),
       {"count", "slots", ColumnType::integer, "slots", "Slots the expert ran in; of a shared one, tokens."},
       {"share", "load", ColumnType::number, "share", "Of the layer's slots, those of the expert."},
       {"weight_sum", "weight sum", ColumnType::number, "", "Combine weights, added up."}},
      "share"};
}

AnalysisResult of_aggregates(const ExpertTable& aggregates) {
  const LoadResult load = analyze_load(aggregates);
  AnalysisResult result;
  result.values.push_back(
      {{"tokens", "tokens", ColumnType::integer, "tokens", "Tokens that are counted."}, load.tokens});
  Table layers = layer_table();
  Table cells = expert_table();
  for (const LayerLoad& layer : load.layers) {
    add_layer_row(layer, layers);
    for (std::size_t expert = 0; expert < layer.count.size(); ++expert) {
      cells.add_row(layer.layer, static_cast<std::int64_t>(expert), layer.count[expert], layer.share[expert],
                    layer.weight_sum[expert]);
    }
  }
  result.tables = {std::move(layers), std::move(cells)};
  return result;
}

}  // namespace

Analysis load_analysis() {
  return {
      "load",
      "Load: slots and weights of the experts",
      "A slot is one expert that ran for one token in one layer. Share: slots of an expert / slots of its "
      "layer. Load ratio: largest count / mean count. Jain fairness: (sum x)^2 / (E sum x^2) of the "
      "counts, 1 when even and 1/E when one expert does everything.",
      "R. Jain, D. Chiu, W. Hawe, DEC TR-301, 1984",
      {Input::selections},
      {},
      {layer_table(), expert_table()},
      {},
      {},
      false,
      of_aggregates};
}

}  // namespace expertscope
