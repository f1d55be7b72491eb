// SPDX-License-Identifier: GPL-3.0-or-later
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <set>
#include <utility>

#include "probes/analysis/analysis.h"
#include "probes/analysis/run_data.h"
#include "probes/analysis/statistics.h"

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

namespace {

std::vector<ColumnInfo> columns() {
  return {{"rank", "rank", ColumnType::integer, "", "By output_max, from 1."},
          layer_column(),
          expert_column(),
          {"output_max", "output max", ColumnType::number, "", "Largest |down_proj output|."},
          {"channel", "channel", ColumnType::integer, "channel", "Where it is."},
          {"token", "at token", ColumnType::integer, "token index", "Run token index where it is."},
          {"count", "routed", ColumnType::integer, "slots", "Slots of the expert; of a shared one, tokens."}};
}

Table super_expert_table() {
  return {"super_experts", "Super experts", TableKey::none, columns()};
}

Table ranking_table() {
  std::vector<ColumnInfo> infos = columns();
  infos.push_back({"super_expert", "super", ColumnType::flag, "", "Whether it is a super expert."});
  return {"ranking", "Largest of all layers", TableKey::none, infos};
}

template <class... More>
void add_expert(const SuperExpert& expert, Table& table, More... more) {
  table.add_row(expert.rank, expert.layer, expert.expert, expert.output_max, Index{expert.channel},
                Index{expert.token}, expert.count, more...);
}

NamedValue threshold(const char* id, const char* title, const char* meaning, Value value, ColumnType type) {
  return {{id, title, type, "", meaning}, std::move(value)};
}

Result<AnalysisResult> run(RunData& data, const TokenRange& range, const Options& options,
                           const std::stop_token&) {
  const auto experts = data.expert_table(range);
  if (!experts) return forward_error(experts);
  SuperExpertOptions chosen;
  if (options.text("definition") == "upstream") chosen.definition = SuperExpertDefinition::upstream;
  chosen.include_layers = options.number("include_layers");
  chosen.percentile = options.number("percentile");
  chosen.max_divisor = options.number("max_divisor");
  const SuperExpertResult found = analyze_super_experts(**experts, chosen);
  AnalysisResult result;
  result.values = {
      threshold("layers_included", "layers that count", "The first of the layers.",
                std::int64_t{found.layers_included}, ColumnType::integer),
      threshold("percentile_threshold", "percentile threshold", "An output has to be larger than this.",
                found.percentile_threshold, ColumnType::number),
      threshold("max_threshold", "maximum threshold", "And larger than this: floor(maximum / divisor).",
                found.max_threshold, ColumnType::number)};
  Table super_experts = super_expert_table();
  Table ranking = ranking_table();
  std::set<std::pair<int, int>> super;
  for (const SuperExpert& expert : found.super_experts) {
    super.insert({expert.layer, expert.expert});
    add_expert(expert, super_experts);
  }
  for (const SuperExpert& expert : found.ranking)
    add_expert(expert, ranking, super.count({expert.layer, expert.expert}) > 0);
  result.tables = {std::move(super_experts), std::move(ranking)};
  return result;
}

}  // namespace

Analysis super_experts_analysis() {
  const SuperExpertOptions standard;
  return {
      "super-experts",
      "Super experts: outliers of the down_proj output",
      "output_max of an expert: the largest |down_proj output| over all tokens and channels, before the "
      "combine "
      "weight, or of a shared expert before its gate. A super expert's is above the percentile of all "
      "output_max "
      "(linear interpolation, strict) and above floor(maximum / divisor) (strict), over the routed and "
      "shared "
      "experts of the first round(layers x include_layers) layers, half to even. `paper` looks at all "
      "tokens; "
      "`upstream` does what the paper's public code does, whose hook sees only the first token routed to an "
      "expert in each sequence.",
      "Z. Su et al. 2025, arXiv 2507.23279; code ZunhaiSu/Super-Experts-Profilling",
      {Input::expert_output},
      {{"definition", ColumnType::text, "paper", "Which tokens count.", 0, 0, {"paper", "upstream"}},
       {"include_layers", ColumnType::number, standard.include_layers, "Share of the layers that count.", 0,
        1},
       {"percentile", ColumnType::number, standard.percentile, "Of all output_max.", 0, 100},
       {"max_divisor", ColumnType::number, standard.max_divisor, "Of the largest output_max.", 1, 1e9}},
      {super_expert_table(), ranking_table()},
      run};
}

}  // namespace expertscope
