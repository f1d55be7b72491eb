// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/report/report_data.h"

#include <algorithm>
#include <utility>

#include "probes/analysis/export.h"
#include "probes/analysis/run_data.h"
#include "probes/report/limits.h"
#include "probes/report/run_differences.h"

namespace expertscope::report {
namespace {

Status collect_outlier_tokens(const TraceReader& trace, ReportedRun& data) {
  for (const SuperExpert& expert : data.paper.super_experts) {
    if (data.outlier_tokens.size() == kMostRowsOfATable) break;
    auto tokens = trace.tokens(data.info.id, {expert.token, expert.token + 1});
    if (!tokens) return forward_error(tokens);
    data.outlier_tokens.push_back(tokens->empty() ? TokenRow{} : tokens->front());
  }
  return {};
}

// With its standard options but one; what was not recorded leaves its tables empty.
Status add_result(RunData& run, const char* analysis_id, const char* definition, ReportedRun& data) {
  const Analysis* analysis = find_analysis(analysis_id);
  Options options(analysis->options);
  if (definition != nullptr) options.set("definition", std::string(definition));
  auto result = analysis->run(run, {}, options, {});
  if (!result) return forward_error(result);
  result->id = analysis_id;
  result->options = std::move(options);
  data.results.push_back(std::move(*result));
  return {};
}

Status add_results(RunData& run, ReportedRun& data) {
  Status status = add_result(run, "load", nullptr, data);
  if (status) status = add_result(run, "super-experts", "paper", data);
  if (status) status = add_result(run, "super-experts", "upstream", data);
  if (status) status = add_result(run, "entropy", nullptr, data);
  if (status) status = add_result(run, "attention", nullptr, data);
  if (!status || data.table.cells.size() > kMostCells) return status;
  return add_result(run, "experts", nullptr, data);
}

Status add_sections(RunData& run, ReportedRun& data) {
  if (data.table.cells.size() > kMostCells) return {};
  for (const Analysis& analysis : analyses()) {
    if (!analysis.in_report) continue;
    auto result = run_analysis(analysis, run, {}, {});
    if (!result && result.error().code == ErrorCode::unsupported) continue;  // not recorded, or too large
    if (!result) return forward_error(result);
    AnalysisSection& section = data.sections.emplace_back();
    for (Table& table : result->tables) {
      section.rows.push_back(table.rows());
      table = table.of_rows(rows_to_show(table, kMostRowsOfASection));
    }
    section.result = std::move(*result);
  }
  return {};
}

}  // namespace

const AnalysisResult* ReportedRun::result(std::string_view analysis) const {
  const auto found = std::find_if(results.begin(), results.end(),
                                  [&](const AnalysisResult& result) { return result.id == analysis; });
  return found == results.end() ? nullptr : &*found;
}

Result<ReportedRun> collect(const TraceReader& trace, std::int64_t id) {
  auto run = RunData::open(trace, id);
  if (!run) return forward_error(run);
  ReportedRun data;
  data.info = run->info();
  data.file = trace.file().filename().string();
  const auto table = run->expert_table({});
  if (!table) return forward_error(table);
  data.table = **table;
  const auto layers = run->layer_stats({});
  if (!layers) return forward_error(layers);
  data.layers = **layers;
  auto policy = trace.policy_changes(id);
  if (!policy) return forward_error(policy);
  data.policy = std::move(*policy);
  const auto sequences = run->sequences();
  if (!sequences) return forward_error(sequences);
  data.sequences = **sequences;
  data.load = analyze_load(data.table);
  data.paper = analyze_super_experts(data.table);
  SuperExpertOptions upstream;
  upstream.definition = SuperExpertDefinition::upstream;
  data.upstream = analyze_super_experts(data.table, upstream);
  data.entropy = analyze_entropy(data.layers, data.info);
  data.attention = analyze_attention(data.layers);
  if (data.info.probes.log_prob) {
    const auto tokens = run->tokens({});
    if (!tokens) return forward_error(tokens);
    data.likelihood = recorded_likelihood(**tokens);
  }
  Status status = collect_outlier_tokens(trace, data);
  if (status) status = add_results(*run, data);
  if (status) status = add_sections(*run, data);
  if (!status) return forward_error(status);
  return data;
}

Result<Effect> compare(const TraceReader& before_trace, const ReportedRun& before,
                       const TraceReader& after_trace, const ReportedRun& after) {
  Effect effect;
  auto differences = run_differences(before_trace, before.info, after_trace, after.info);
  if (!differences) return forward_error(differences);
  for (RunDifference& difference : *differences)
    effect.warnings.push_back(std::move(difference.detail));
  effect.same_shape = before.info.layers == after.info.layers && before.info.experts == after.info.experts &&
                      before.info.moe_layer == after.info.moe_layer;
  const RunData before_data(before_trace, before.info);
  const RunData after_data(after_trace, after.info);
  const auto common = compare_tokens(before_data, after_data, {});
  if (!common) return forward_error(common);
  effect.common = *common;
  if (!effect.same_shape) return effect;
  auto overlap = selection_overlap(before_data, after_data, common->tokens, {});
  if (!overlap) return forward_error(overlap);
  effect.overlap = std::move(*overlap);
  return effect;
}

}  // namespace expertscope::report
