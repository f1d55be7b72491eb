// SPDX-License-Identifier: GPL-3.0-or-later
#include <limits>

#include "probes/analysis/analysis.h"
#include "probes/analysis/run_data.h"

namespace expertscope {
namespace {

std::vector<ColumnInfo> columns() {
  constexpr auto kInteger = ColumnType::integer;
  constexpr auto kNumber = ColumnType::number;
  return {
      layer_column(),
      expert_column(),
      {"count", "slots", kInteger, "slots", "Slots the expert ran in; of a shared one, tokens."},
      {"probability_sum", "score sum", kNumber, "", "Router scores of these slots, added up."},
      {"weight_sum", "weight sum", kNumber, "", "Combine weights, added up."},
      {"norm_sum", "norm sum", kNumber, "", "L2 norms of the expert's output f_e, added up."},
      {"weighted_norm_sum", "weighted norm sum", kNumber, "", "Combine weight x norm, added up."},
      {"output_max", "max |down_proj|", kNumber, "",
       "Largest absolute value in the expert's output f_e, over all tokens and channels."},
      {"output_channel", "channel", kInteger, "channel", "Its channel."},
      {"output_token", "at token", kInteger, "token index", "Its run token index."},
      {"first_row_max", "first-row max", kNumber, "", "Largest |f_e| over the first token of each sequence."},
      {"first_row_channel", "first-row channel", kInteger, "channel", "Its channel."},
      {"first_row_token", "first-row token", kInteger, "token index", "Its run token index."},
      {"weight_per_token", "weight per token", kNumber, "",
       "Combine weights of the expert's slots, added up and divided by all tokens."},
      {"mean_norm", "mean norm", kNumber, "",
       "Mean L2 norm of the expert's output f_e over its slots, before the combine weight."}};
}

Table empty_table() {
  return {"cells", "Sums and maxima per expert", TableKey::layer_expert, columns(), "count"};
}

void add_cell(const ExpertTable& experts, int layer, int expert, Table& table) {
  constexpr double kNoNumber = std::numeric_limits<double>::quiet_NaN();
  const ExpertStats& stats = experts.at(layer, expert);
  const auto if_routed = [expert](double sum) { return expert == kSharedExpert ? kNoNumber : sum; };
  const auto per = [](double sum, std::int64_t count) {
    return count > 0 ? sum / static_cast<double>(count) : kNoNumber;
  };
  const bool measured = stats.output_channel >= 0;
  table.add_row(layer, expert, stats.count, if_routed(stats.probability_sum), if_routed(stats.weight_sum),
                stats.norm_sum, if_routed(stats.weighted_norm_sum), measured ? stats.output_max : kNoNumber,
                Index{stats.output_channel}, Index{stats.output_token},
                stats.first_row_channel >= 0 ? stats.first_row_max : kNoNumber,
                Index{stats.first_row_channel}, Index{stats.first_row_token},
                if_routed(per(stats.weight_sum, experts.tokens)),
                measured ? per(stats.norm_sum, stats.count) : kNoNumber);
}

NamedValue size(const char* id, const char* meaning, std::int64_t value) {
  return {{id, id, ColumnType::integer, id, meaning}, value};
}

AnalysisResult result_of(const ExpertTable& experts) {
  AnalysisResult result;
  result.id = "experts";
  result.values = {size("layers", "Decoder layers.", experts.layers),
                   size("experts", "Routed experts of a layer.", experts.experts),
                   size("tokens", "Tokens that are counted.", experts.tokens)};
  Table& table = result.tables.emplace_back(empty_table());
  for (int layer = 0; layer < experts.layers; ++layer) {
    if (experts.moe_layer[layer] == 0) continue;
    for (int expert = experts.first_expert(layer); expert < experts.experts; ++expert)
      add_cell(experts, layer, expert, table);
  }
  return result;
}

}  // namespace

Analysis experts_analysis() {
  return {
      "experts",
      "Sums and maxima of every expert",
      "What the trace holds of each (layer, expert), over the slots the expert ran in. What only a router "
      "gives is missing for a shared expert, through which every token runs. weighted_norm_sum / count is "
      "REAP with the weights that were applied.",
      "REAP: arXiv 2510.13999",
      {Input::selections},
      {},
      {empty_table()},
      {},
      {},
      false,
      result_of};
}

}  // namespace expertscope
