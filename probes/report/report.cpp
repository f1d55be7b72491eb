// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/report/report.h"

#include <algorithm>
#include <system_error>
#include <utility>

#include "probes/report/html.h"
#include "probes/report/sections.h"
#include "probes/report/style.h"

namespace expertscope {
namespace {

Result<std::int64_t> newest_run(const TraceReader& trace) {
  auto runs = trace.runs();
  if (!runs) return forward_error(runs);
  if (runs->empty()) {
    return fail(ErrorCode::invalid_argument, "{}: the trace has no run to report", trace.file().string());
  }
  return runs->back().id;
}

std::string list_ids(const std::vector<RunInfo>& runs) {
  std::string ids;
  for (const RunInfo& run : runs)
    ids += fmt::format("{}{}", ids.empty() ? "" : ", ", run.id);
  return ids;
}

Status add_baseline(const TraceReader& trace, const TraceReader& baseline, const ReportOptions& options,
                    report::ReportInput& input) {
  const auto run = choose_baseline_run(baseline, options.baseline_run, trace, input.run.info.id);
  if (!run) return forward_error(run);
  auto before = report::collect(baseline, *run);
  if (!before) return forward_error(before);
  auto effect = report::compare(baseline, *before, trace, input.run);
  if (!effect) return forward_error(effect);
  input.before = std::move(*before);
  input.effect = std::move(*effect);
  input.divergence = options.divergence;
  return {};
}

Result<report::ReportInput> gather(const TraceReader& trace, const TraceReader* baseline,
                                   const ReportOptions& options) {
  Result<std::int64_t> run = options.run;
  if (options.run == 0) run = newest_run(trace);
  if (!run) return forward_error(run);
  auto data = report::collect(trace, *run);
  if (!data) return forward_error(data);
  report::ReportInput input;
  input.run = std::move(*data);
  input.steps = report::policy_steps(input.run.policy, input.run.info);
  input.comparison = options.comparison;
  if (baseline == nullptr) return input;
  if (auto added = add_baseline(trace, *baseline, options, input); !added) return forward_error(added);
  return input;
}

}  // namespace

Result<std::int64_t> choose_baseline_run(const TraceReader& baseline, std::int64_t wanted,
                                         const TraceReader& trace, std::int64_t run) {
  const auto runs = baseline.runs();
  if (!runs) return forward_error(runs);
  const std::string file = baseline.file().string();
  std::error_code ignored;
  const bool same_file = std::filesystem::equivalent(baseline.file(), trace.file(), ignored);
  if (same_file && wanted == run) {
    return fail(ErrorCode::invalid_argument,
                "{}: run {} cannot be its own baseline; the trace has the runs {}", file, run,
                list_ids(*runs));
  }
  const auto usable = [&](const RunInfo& info) {
    return wanted != 0 ? info.id == wanted : !same_file || info.id < run;
  };
  const auto chosen = std::find_if(runs->rbegin(), runs->rend(), usable);
  if (chosen != runs->rend()) return chosen->id;
  if (runs->empty()) return fail(ErrorCode::mismatch, "{}: the trace has no run to compare with", file);
  if (wanted != 0) {
    return fail(ErrorCode::invalid_argument,
                "{}: there is no run {} to compare with; the trace has the runs {}", file, wanted,
                list_ids(*runs));
  }
  return fail(ErrorCode::invalid_argument,
              "{}: no run came before run {} to compare it with; the trace has the runs {}", file, run,
              list_ids(*runs));
}

Result<std::string> make_report(const TraceReader& trace, const TraceReader* baseline,
                                const ReportOptions& options) {
  auto input = gather(trace, baseline, options);
  if (!input) return forward_error(input);
  const std::string name = report::escape(input->run.info.model.name);
  std::string page = "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n";
  page += "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n";
  page += "<title>Expertscope report: " + name + "</title>\n";
  page += std::string("<style>") + report::kStyle + "</style>\n</head>\n<body>\n<main>\n";
  page += report::title_section(*input);
  page += report::load_section(*input);
  page += report::super_expert_section(*input);
  page += report::layer_section(*input);
  page += report::analysis_sections(*input);
  page += report::policy_section(*input);
  page += report::effect_section(*input);
  page += report::text_section(*input);
  page += report::identity_section(*input);
  page += report::definitions_section(*input);
  page += "</main>\n<script type=\"application/json\" id=\"expertscope-data\">";
  page += report::script_json(report::report_json(*input));
  page += "</script>\n</body>\n</html>\n";
  return page;
}

}  // namespace expertscope
