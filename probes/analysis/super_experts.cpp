// SPDX-License-Identifier: GPL-3.0-or-later
#include <algorithm>
#include <cmath>
#include <cstddef>

#include "probes/analysis/analysis.h"

namespace expertscope {
namespace {

// Python's round(): half to even. nearbyint would depend on the rounding mode of the thread.
int round_half_even(double value) {
  const double below = std::floor(value);
  const double rest = value - below;
  const bool up = rest > 0.5 || (rest == 0.5 && std::fmod(below, 2.0) != 0.0);
  return static_cast<int>(up ? below + 1 : below);
}

SuperExpert entry(const ExpertTable& table, int layer, int expert, SuperExpertDefinition definition) {
  const ExpertStats& stats = table.at(layer, expert);
  const bool all_rows = definition == SuperExpertDefinition::paper;
  SuperExpert result;
  result.layer = layer;
  result.expert = expert;
  result.output_max = all_rows ? stats.output_max : stats.first_row_max;
  result.channel = all_rows ? stats.output_channel : stats.first_row_channel;
  result.token = all_rows ? stats.output_token : stats.first_row_token;
  result.count = stats.count;
  return result;
}

void rank(std::vector<SuperExpert>& experts) {
  std::sort(experts.begin(), experts.end(), [](const SuperExpert& a, const SuperExpert& b) {
    if (a.output_max != b.output_max) return a.output_max > b.output_max;
    if (a.layer != b.layer) return a.layer < b.layer;
    return a.expert < b.expert;
  });
  int next = 1;
  for (SuperExpert& expert : experts)
    expert.rank = next++;
}

}  // namespace

double percentile(std::vector<double> values, double q) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const double position = std::clamp(q, 0.0, 100.0) / 100.0 * static_cast<double>(values.size() - 1);
  const auto below = static_cast<std::size_t>(position);
  const std::size_t above = std::min(below + 1, values.size() - 1);
  const double t = position - static_cast<double>(below);
  const double difference = values[above] - values[below];
  // numpy interpolates from the nearer end, which rounds differently in the last bit.
  return t >= 0.5 ? values[above] - difference * (1 - t) : values[below] + difference * t;
}

SuperExpertResult analyze_super_experts(const ExpertTable& table, const SuperExpertOptions& options) {
  SuperExpertResult result;
  result.options = options;
  result.layers_included =
      std::clamp(round_half_even(table.layers * options.include_layers), 0, table.layers);
  // Of every expert in the included layers, shared ones too; 0 where nothing was routed to it.
  std::vector<double> maxima;
  for (int layer = 0; layer < table.layers; ++layer) {
    if (table.moe_layer[layer] == 0) continue;
    for (int expert = table.first_expert(layer); expert < table.experts; ++expert) {
      const SuperExpert candidate = entry(table, layer, expert, options.definition);
      if (layer < result.layers_included) maxima.push_back(candidate.output_max);
      if (candidate.token >= 0) result.ranking.push_back(candidate);
    }
  }
  if (maxima.empty()) return result;
  const double largest = *std::max_element(maxima.begin(), maxima.end());
  result.max_threshold = std::floor(largest / options.max_divisor);
  result.percentile_threshold = percentile(std::move(maxima), options.percentile);
  rank(result.ranking);
  for (const SuperExpert& candidate : result.ranking) {
    const bool included = candidate.layer < result.layers_included;
    const bool outlier =
        candidate.output_max > result.percentile_threshold && candidate.output_max > result.max_threshold;
    if (included && outlier) result.super_experts.push_back(candidate);
  }
  rank(result.super_experts);
  return result;
}

}  // namespace expertscope
