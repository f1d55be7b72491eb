// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/report/report_data.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "probes/report/limits.h"
#include "probes/report/run_differences.h"

namespace expertscope::report {
namespace {

// Tokens read at a time, so that a long trace does not have to fit into memory.
constexpr std::int64_t kChunk = 1 << 16;

Status collect_likelihood(const TraceReader& trace, RunData& data) {
  if (!data.info.probes.log_prob) return {};
  double sum = 0;
  for (std::int64_t begin = 0;; begin += kChunk) {
    auto tokens = trace.tokens(data.info.id, {begin, begin + kChunk}, TokenWords::without);
    if (!tokens) return forward_error(tokens);
    if (tokens->empty()) break;
    for (const TokenRow& token : *tokens) {
      if (!token.log_prob || token.generated) continue;
      sum -= static_cast<double>(*token.log_prob);
      ++data.likelihood.tokens;
    }
  }
  if (data.likelihood.tokens > 0)
    data.likelihood.nll_mean = sum / static_cast<double>(data.likelihood.tokens);
  return {};
}

Status collect_outlier_tokens(const TraceReader& trace, RunData& data) {
  for (const SuperExpert& expert : data.paper.super_experts) {
    if (data.outlier_tokens.size() == kMostRowsOfATable) break;
    auto tokens = trace.tokens(data.info.id, {expert.token, expert.token + 1});
    if (!tokens) return forward_error(tokens);
    data.outlier_tokens.push_back(tokens->empty() ? TokenRow{} : tokens->front());
  }
  return {};
}

// Walks both runs until their tokens differ; sums the likelihoods of what they share.
Status compare_tokens(const TraceReader& before_trace, std::int64_t before, const TraceReader& after_trace,
                      std::int64_t after, Effect& effect) {
  double nll_before = 0;
  double nll_after = 0;
  bool differs = false;
  for (std::int64_t begin = 0; !differs; begin += kChunk) {
    auto a = before_trace.tokens(before, {begin, begin + kChunk}, TokenWords::without);
    if (!a) return forward_error(a);
    auto b = after_trace.tokens(after, {begin, begin + kChunk}, TokenWords::without);
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
      ++effect.common_tokens;
      if (!x.log_prob || !y.log_prob) continue;
      nll_before -= static_cast<double>(*x.log_prob);
      nll_after -= static_cast<double>(*y.log_prob);
      ++effect.scored_tokens;
    }
  }
  if (effect.scored_tokens == 0) return {};
  effect.nll_before = nll_before / static_cast<double>(effect.scored_tokens);
  effect.nll_after = nll_after / static_cast<double>(effect.scored_tokens);
  return {};
}

using Selections = std::vector<std::vector<std::uint16_t>>;  // per token, sorted, empty slots left out

Result<Selections> selections(const TraceReader& trace, std::int64_t run, int layer,
                              const TokenRange& range) {
  Selections result;
  const auto take = [&](std::int64_t, std::span<const std::uint16_t> experts) {
    std::vector<std::uint16_t> chosen;
    std::copy_if(experts.begin(), experts.end(), std::back_inserter(chosen),
                 [](std::uint16_t expert) { return expert != kNoExpert; });
    std::sort(chosen.begin(), chosen.end());
    result.push_back(std::move(chosen));
    return true;
  };
  auto status = trace.visit_selections(run, layer, range, take);
  if (!status) return forward_error(status);
  return result;
}

Status compare_layer(const TraceReader& before_trace, std::int64_t before, const TraceReader& after_trace,
                     std::int64_t after, int layer, Effect& effect) {
  double sum = 0;
  std::int64_t count = 0;
  for (std::int64_t begin = 0; begin < effect.common_tokens; begin += kChunk) {
    const TokenRange range{begin, std::min(begin + kChunk, effect.common_tokens)};
    auto a = selections(before_trace, before, layer, range);
    if (!a) return forward_error(a);
    auto b = selections(after_trace, after, layer, range);
    if (!b) return forward_error(b);
    for (std::size_t i = 0; i < std::min(a->size(), b->size()); ++i) {
      const auto& x = (*a)[i];
      const auto& y = (*b)[i];
      if (x.empty()) continue;
      std::vector<std::uint16_t> both;
      std::set_intersection(x.begin(), x.end(), y.begin(), y.end(), std::back_inserter(both));
      sum += static_cast<double>(both.size()) / static_cast<double>(x.size());
      ++count;
    }
  }
  if (count > 0) effect.overlap.push_back({layer, sum / static_cast<double>(count)});
  return {};
}

}  // namespace

Result<RunData> collect(const TraceReader& trace, std::int64_t run) {
  RunData data;
  auto info = trace.run(run);
  if (!info) return forward_error(info);
  data.info = std::move(*info);
  data.file = trace.file().filename().string();
  auto table = trace.expert_table(run);
  if (!table) return forward_error(table);
  data.table = std::move(*table);
  auto layers = trace.layer_stats(run);
  if (!layers) return forward_error(layers);
  data.layers = std::move(*layers);
  auto policy = trace.policy_changes(run);
  if (!policy) return forward_error(policy);
  data.policy = std::move(*policy);
  auto sequences = trace.sequences(run);
  if (!sequences) return forward_error(sequences);
  data.sequences = std::move(*sequences);
  data.load = analyze_load(data.table);
  data.paper = analyze_super_experts(data.table);
  SuperExpertOptions upstream;
  upstream.definition = SuperExpertDefinition::upstream;
  data.upstream = analyze_super_experts(data.table, upstream);
  data.entropy = analyze_entropy(data.layers, data.info);
  data.attention = analyze_attention(data.layers);
  if (auto status = collect_likelihood(trace, data); !status) return forward_error(status);
  if (auto status = collect_outlier_tokens(trace, data); !status) return forward_error(status);
  return data;
}

Result<Effect> compare(const TraceReader& before_trace, const RunData& before, const TraceReader& after_trace,
                       const RunData& after) {
  Effect effect;
  auto differences = run_differences(before_trace, before.info, after_trace, after.info);
  if (!differences) return forward_error(differences);
  for (RunDifference& difference : *differences)
    effect.warnings.push_back(std::move(difference.detail));
  effect.same_shape = before.info.layers == after.info.layers && before.info.experts == after.info.experts &&
                      before.info.moe_layer == after.info.moe_layer;
  auto status = compare_tokens(before_trace, before.info.id, after_trace, after.info.id, effect);
  if (!status) return forward_error(status);
  for (int layer = 0; effect.same_shape && layer < after.info.layers; ++layer) {
    if (after.info.moe_layer[layer] == 0) continue;
    status = compare_layer(before_trace, before.info.id, after_trace, after.info.id, layer, effect);
    if (!status) return forward_error(status);
  }
  return effect;
}

}  // namespace expertscope::report
