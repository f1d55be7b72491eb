// SPDX-License-Identifier: GPL-3.0-or-later
#include <algorithm>
#include <span>

#include "probes/analysis/analysis.h"
#include "probes/analysis/run_data.h"

namespace expertscope {
namespace {

// Counts (of DeepSeek-V3: 3.8 million) and rows have to fit into memory: 128 and 350 MiB.
constexpr double kMostCounts = 1 << 24;
constexpr std::size_t kMostRows = 5'000'000;

/// What one layer's tokens have selected.
struct Counts {
  explicit Counts(int layer_experts)
      : experts(static_cast<std::size_t>(layer_experts)), single(experts), pair(experts * experts) {}

  void add(std::size_t a, std::size_t b) {
    if (a == b) return;
    ++pair[a * experts + b];
    ++pair[b * experts + a];
  }

  std::size_t experts;
  std::int64_t tokens = 0;           ///< with at least one expert
  std::vector<std::int64_t> single;  ///< [experts] N(i)
  std::vector<std::int64_t> pair;    ///< [experts, experts] N(i,j)
};

/// `chosen`: the experts of a token in the order of its slots.
void add_token(std::span<const std::uint16_t> chosen, bool adjacent_only, Counts& counts) {
  if (chosen.empty()) return;
  ++counts.tokens;
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    ++counts.single[chosen[i]];
    const std::size_t end = adjacent_only ? std::min(i + 2, chosen.size()) : chosen.size();
    for (std::size_t j = i + 1; j < end; ++j)
      counts.add(chosen[i], chosen[j]);
  }
}

void add_slots(const SlotBlock& slots, bool adjacent_only, Counts& counts) {
  std::vector<std::uint16_t> chosen;
  const auto width = static_cast<std::size_t>(slots.slots);
  for (int token = 0; token < slots.tokens; ++token) {
    chosen.clear();
    for (const std::uint16_t expert : slots.expert.subspan(token * width, width)) {
      if (expert != kNoExpert) chosen.push_back(expert);
    }
    add_token(chosen, adjacent_only, counts);
  }
}

/// Rows of the pairs that came often enough; false: there are too many.
bool add_pairs(const Counts& counts, int layer, std::int64_t min_count, Table& table) {
  const auto tokens = static_cast<double>(counts.tokens);
  for (std::size_t i = 0; i < counts.experts; ++i) {
    for (std::size_t j = 0; j < counts.experts; ++j) {
      const std::int64_t both = counts.pair[i * counts.experts + j];
      if (both < min_count) continue;
      if (table.rows() == kMostRows) return false;
      const auto count = static_cast<double>(both);
      const auto n_i = static_cast<double>(counts.single[i]);
      const auto n_j = static_cast<double>(counts.single[j]);
      table.add_row(layer, static_cast<std::int64_t>(i), static_cast<std::int64_t>(j), both, count / n_i,
                    n_j / tokens, count * tokens / (n_i * n_j));
    }
  }
  return true;
}

Table empty_table() {
  return {"pairs",
          "Pairs of experts",
          TableKey::expert_pair,
          {layer_column(),
           {"expert", "expert", ColumnType::integer, "expert", "The expert i of the pair."},
           {"other", "other", ColumnType::integer, "expert", "The expert j of the pair."},
           {"count", "tokens", ColumnType::integer, "tokens", "N(i,j): tokens that select both."},
           {"conditional", "P(other | expert)", ColumnType::number, "share", "N(i,j) / N(i)."},
           {"other_share", "P(other)", ColumnType::number, "share", "N(j) / N."},
           {"lift", "lift", ColumnType::number, "",
            "P(i,j) / (P(i) P(j)) = N(i,j) N / (N(i) N(j)); 1: independent."}},
          "conditional"};
}

/// What later tokens are added to.
struct LayerCounts {
  int layer = 0;
  Counts counts;
};
using AllCounts = std::vector<LayerCounts>;

Result<AnalysisResult> result_of(AllCounts counts, const Options& options) {
  AnalysisResult result;
  Table& table = result.tables.emplace_back(empty_table());
  for (const LayerCounts& each : counts) {
    if (add_pairs(each.counts, each.layer, options.integer("min_count"), table)) continue;
    return fail(ErrorCode::unsupported,
                "these are more than {} pairs; ask for one layer, or for those of a larger min_count",
                kMostRows);
  }
  for (const LayerCounts& each : counts)
    result.state_bytes += 8 * each.counts.pair.size();
  result.state = std::make_shared<const AllCounts>(std::move(counts));
  return result;
}

Status count(const RunData& data, const TokenRange& range, const Options& options,
             const std::stop_token& stop, AllCounts& counts) {
  const bool upstream = options.flag("upstream");
  for (LayerCounts& each : counts) {
    const auto add = [&](const SlotBlock& slots) { add_slots(slots, upstream, each.counts); };
    auto status = data.visit_slots(each.layer, range, SlotWeights::without, stop, add);
    if (!status) return status;
  }
  return {};
}

Result<AnalysisResult> run(RunData& data, const TokenRange& range, const Options& options,
                           const std::stop_token& stop) {
  const int experts = data.info().experts;
  const auto layers = data.moe_layers(options.integer("layer"));
  if (!layers) return forward_error(layers);
  const auto each = static_cast<double>(experts) * experts;
  if (each * static_cast<double>(layers->size()) > kMostCounts) {
    return fail(ErrorCode::unsupported, "coactivation: the pairs of {} experts in {} layers are too many",
                experts, layers->size());
  }
  AllCounts counts;
  for (const int layer : *layers)
    counts.push_back({layer, Counts(experts)});
  if (auto status = count(data, range, options, stop, counts); !status) return forward_error(status);
  return result_of(std::move(counts), options);
}

Result<AnalysisResult> extend(RunData& data, const AnalysisResult& before, const TokenRange& later,
                              const std::stop_token& stop) {
  AllCounts counts = *static_cast<const AllCounts*>(before.state.get());
  if (auto status = count(data, later, before.options, stop, counts); !status) return forward_error(status);
  auto result = result_of(std::move(counts), before.options);
  if (!result) return result;
  result->id = before.id;
  result->options = before.options;
  return result;
}

}  // namespace

Analysis coactivation_analysis() {
  return {
      "coactivation",
      "Co-activation: which experts are selected together",
      "Of N tokens, N(i) select expert i in a layer and N(i,j) both i and j: P(j|i) = N(i,j) / N(i), over "
      "all "
      "pairs of the selected experts, and lift = P(i,j) / (P(i) P(j)), which is 1 where two experts are "
      "selected independently of each other. Pairs that never come have no row. With `upstream`, N(i,j) "
      "counts only experts at neighbouring places of the router's ranking, as OLMoE's public code does; its "
      "P(j|i) is then smaller.",
      "N. Muennighoff et al. 2024 (OLMoE), arXiv 2409.02060; code allenai/OLMoE, scripts/run_moe_analysis.py",
      {Input::selections},
      {{"layer", ColumnType::integer, std::int64_t{-1}, "The layer; -1: all.", -1, 1e6},
       {"min_count", ColumnType::integer, std::int64_t{1}, "Leave out pairs of fewer tokens.", 1, 1e15},
       {"upstream", ColumnType::flag, false, "Count neighbouring ranks only, as OLMoE's public code."}},
      {empty_table()},
      run,
      extend,
      true};
}

}  // namespace expertscope
