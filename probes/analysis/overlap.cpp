// SPDX-License-Identifier: GPL-3.0-or-later
#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>

#include "probes/analysis/analysis.h"
#include "probes/analysis/run_data.h"

namespace expertscope {
namespace {

// Tokens whose selections are held at a time.
constexpr std::int64_t kChunk = 1 << 16;

using Selections = std::vector<std::vector<std::uint16_t>>;  // per token, sorted, empty slots left out

Result<Selections> selections(const RunData& data, int layer, const TokenRange& range,
                              const std::stop_token& stop) {
  Selections result;
  const auto take = [&](const SlotBlock& slots) {
    const auto width = static_cast<std::size_t>(slots.slots);
    for (int token = 0; token < slots.tokens; ++token) {
      const auto experts = slots.expert.subspan(token * width, width);
      std::vector<std::uint16_t>& chosen = result.emplace_back();
      std::copy_if(experts.begin(), experts.end(), std::back_inserter(chosen),
                   [](std::uint16_t expert) { return expert != kNoExpert; });
      std::sort(chosen.begin(), chosen.end());
    }
  };
  if (auto status = data.visit_slots(layer, range, SlotWeights::without, stop, take); !status)
    return forward_error(status);
  return result;
}

/// Adds one token's share to `sum`; false: nothing was selected before.
bool add_share(const std::vector<std::uint16_t>& before, const std::vector<std::uint16_t>& after,
               double& sum) {
  if (before.empty()) return false;
  std::vector<std::uint16_t> both;
  std::set_intersection(before.begin(), before.end(), after.begin(), after.end(), std::back_inserter(both));
  sum += static_cast<double>(both.size()) / static_cast<double>(before.size());
  return true;
}

bool same_shape(const RunInfo& a, const RunInfo& b) {
  return a.layers == b.layers && a.experts == b.experts && a.moe_layer == b.moe_layer;
}

Table empty_table() {
  return {"selection_overlap",
          "Overlap of the selections",
          TableKey::layer,
          {layer_column(),
           {"overlap", "overlap", ColumnType::number, "share", "Of the experts selected in the baseline."}}};
}

Result<AnalysisResult> run(RunData& data, const TokenRange& range, const Options&,
                           const std::stop_token& stop) {
  const RunData& before = *data.baseline();
  if (!same_shape(before.info(), data.info())) {
    return fail(ErrorCode::mismatch, "runs {} and {} have different layers or experts", before.info().id,
                data.info().id);
  }
  const auto common = compare_tokens(before, data, stop);
  if (!common) return forward_error(common);
  const auto overlap = selection_overlap(before, data, std::min(common->tokens, range.end), stop);
  if (!overlap) return forward_error(overlap);
  const double none = std::numeric_limits<double>::quiet_NaN();
  AnalysisResult result;
  result.values = {
      {{"common_tokens", "common tokens", ColumnType::integer, "tokens", "The same in both, from the first."},
       common->tokens},
      {{"scored_tokens", "scored tokens", ColumnType::integer, "tokens", "With a log-probability in both."},
       common->scored},
      {{"nll_before", "mean before", ColumnType::number, "nats", "Of -ln p of these in the baseline."},
       common->scored > 0 ? common->nll_before : none},
      {{"nll_after", "mean after", ColumnType::number, "nats", "The same in this run."},
       common->scored > 0 ? common->nll_after : none}};
  Table& table = result.tables.emplace_back(empty_table());
  for (const LayerOverlap& layer : *overlap)
    table.add_row(layer.layer, layer.overlap);
  return result;
}

}  // namespace

Result<CommonTokens> compare_tokens(const RunData& before, const RunData& after,
                                    const std::stop_token& stop) {
  CommonTokens common;
  bool differs = false;
  for (std::int64_t begin = 0; !differs; begin += kChunk) {
    if (auto status = go_on(stop); !status) return forward_error(status);
    const TokenRange chunk{begin, begin + kChunk};
    const auto a = before.reader().tokens(before.info().id, chunk, TokenWords::without);
    if (!a) return forward_error(a);
    const auto b = after.reader().tokens(after.info().id, chunk, TokenWords::without);
    if (!b) return forward_error(b);
    const std::size_t count = std::min(a->size(), b->size());
    differs = count == 0 || a->size() != b->size();
    for (std::size_t i = 0; i < count; ++i) {
      const TokenRow& x = (*a)[i];
      const TokenRow& y = (*b)[i];
      if (!is_same_token(x, y)) {
        differs = true;
        break;
      }
      ++common.tokens;
      if (!x.log_prob || !y.log_prob) continue;
      common.nll_before -= static_cast<double>(*x.log_prob);
      common.nll_after -= static_cast<double>(*y.log_prob);
      ++common.scored;
    }
  }
  if (common.scored == 0) return common;
  common.nll_before /= static_cast<double>(common.scored);
  common.nll_after /= static_cast<double>(common.scored);
  return common;
}

Result<std::vector<LayerOverlap>> selection_overlap(const RunData& before, const RunData& after,
                                                    std::int64_t tokens, const std::stop_token& stop) {
  std::vector<LayerOverlap> overlap;
  for (const int layer : after.moe_layers()) {
    double sum = 0;
    std::int64_t count = 0;
    for (std::int64_t begin = 0; begin < tokens; begin += kChunk) {
      const TokenRange range{begin, std::min(begin + kChunk, tokens)};
      const auto a = selections(before, layer, range, stop);
      if (!a) return forward_error(a);
      const auto b = selections(after, layer, range, stop);
      if (!b) return forward_error(b);
      for (std::size_t i = 0; i < std::min(a->size(), b->size()); ++i)
        count += add_share((*a)[i], (*b)[i], sum) ? 1 : 0;
    }
    if (count > 0) overlap.push_back({layer, sum / static_cast<double>(count)});
  }
  return overlap;
}

Analysis overlap_analysis() {
  return {
      "overlap",
      "Overlap of the selections with a baseline run",
      "Mean over the tokens of |S before and S after| / |S before|, S the experts selected for a token in a "
      "layer: router saturation between two policies instead of two checkpoints. Counted are the tokens that "
      "both runs hold at the same places, from the first on; nll_before and nll_after are the mean -ln p of "
      "those that have a log-probability in both.",
      "N. Muennighoff et al. 2024 (OLMoE), arXiv 2409.02060",
      {Input::selections, Input::baseline},
      {},
      {empty_table()},
      run};
}

}  // namespace expertscope
