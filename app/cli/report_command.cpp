// SPDX-License-Identifier: GPL-3.0-or-later
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "app/cli/console.h"
#include "app/cli/run_options.h"
#include "app/cli/trace_tables.h"
#include "probes/report/replay.h"
#include "probes/report/report.h"
#include "probes/store/trace_reader.h"

namespace expertscope::cli {
namespace {

struct ReportArguments {
  std::string trace;
  std::string baseline;
  std::string model;
  std::string out;
  std::int64_t run = 0;
  std::int64_t baseline_run = 0;
  std::int64_t kl_tokens = 0;
  int threads = 0;
  std::string backend = "auto";
  bool json = false;
};

/// KL needs the distributions of both sides: the baseline's tokens run again, in the arithmetic of the run.
Result<ReportDivergence> measure_divergence(const TraceReader& baseline, const TraceReader& trace,
                                            const ReportOptions& options, const ReportArguments& arguments) {
  const auto replay = read_replay(baseline, options.baseline_run, trace, options.run, arguments.kl_tokens);
  if (!replay) return forward_error(replay);
  auto model = open_model(arguments.model);
  if (!model) return forward_error(model);
  RunOptions run;
  run.math = replay->after.math;
  run.threads = arguments.threads;
  run.backend = arguments.backend;
  SessionShape shape;
  shape.max_context = replay->longest;
  shape.max_sequences = 2;
  shape.all_logits = true;
  const auto session = open_session(std::move(*model), run, shape);
  if (!session) return forward_error(session);
  Progress progress("KL", "tokens");
  auto measured = replay_divergence(**session, *replay,
                                    [&](std::int64_t done) { progress.update(done, replay->tokens); });
  if (const std::string changed = (*session)->model().rewritten_weights(); !changed.empty()) note(changed);
  if (!measured) return run_failure(**session, measured.error());
  return measured;
}

Status choose_baseline(const TraceReader& baseline, const TraceReader& trace,
                       const ReportArguments& arguments, ReportOptions& options) {
  const auto run = choose_baseline_run(baseline, arguments.baseline_run, trace, options.run);
  if (!run && run.error().code == ErrorCode::invalid_argument) {
    return fail(run.error().code, "{}; choose one with --baseline-run", run.error().message);
  }
  if (!run) return forward_error(run);
  options.baseline_run = *run;
  if (arguments.model.empty()) return {};
  auto divergence = measure_divergence(baseline, trace, options, arguments);
  if (!divergence) return forward_error(divergence);
  options.divergence = std::move(*divergence);
  return {};
}

nlohmann::ordered_json as_json(const ReportArguments& arguments, const ReportOptions& options,
                               std::size_t bytes) {
  nlohmann::ordered_json json = {{"out", arguments.out}, {"run", options.run}, {"bytes", bytes}};
  if (arguments.baseline.empty()) return json;
  json["baseline"] = {{"trace", arguments.baseline}, {"run", options.baseline_run}};
  json["kl_mean"] = nullptr;
  json["kl_tokens"] = 0;
  if (options.divergence) {
    json["kl_mean"] = options.divergence->kl_mean;
    json["kl_tokens"] = options.divergence->tokens;
  }
  return json;
}

Status report(const ReportArguments& arguments) {
  Status output = check_result("--out", arguments.out, arguments.json,
                               {{"the file that TRACE reads", arguments.trace},
                                {"the file that --baseline reads", arguments.baseline},
                                files_of_model(arguments.model)});
  if (!output) return output;
  const auto trace = TraceReader::open(arguments.trace);
  if (!trace) return forward_error(trace);
  const auto run = select_run(**trace, arguments.run);
  if (!run) return forward_error(run);
  ReportOptions options;
  options.run = run->id;
  std::unique_ptr<TraceReader> baseline;
  if (!arguments.baseline.empty()) {
    auto opened = TraceReader::open(arguments.baseline);
    if (!opened) return forward_error(opened);
    baseline = std::move(*opened);
    if (auto chosen = choose_baseline(*baseline, **trace, arguments, options); !chosen) return chosen;
  }
  const auto html = make_report(**trace, baseline.get(), options);
  if (!html) return forward_error(html);
  const bool shown = is_standard_output(arguments.out);
  if (auto written = shown ? write_text(*html) : write_file(arguments.out, *html); !written) return written;
  if (shown) return {};
  if (!arguments.json) {
    note(fmt::format("run {} of {} reported in {}", options.run, arguments.trace, arguments.out));
    return {};
  }
  return write_json(as_json(arguments, options, html->size()));
}

}  // namespace

CommandBody define_report(Arguments& options) {
  auto arguments = std::make_shared<ReportArguments>();
  options.add("TRACE", arguments->trace, "Recorded trace").required().file();
  options.add("--out", arguments->out, "HTML file to write; - for standard output")
      .required()
      .value_name("FILE.html")
      .file_or_stream();
  options.add("--run", arguments->run, "Run in the trace (default: the newest)").range(1, 1e15);
  options.add_flag("--json", arguments->json, "Print what was written as JSON");

  const char* group = "Comparison with a run of the same data without the edits";
  const auto baseline =
      options.add("--baseline", arguments->baseline, "Trace with that run; may be TRACE itself")
          .value_name("FILE.db")
          .file()
          .section(group);
  options
      .add("--baseline-run", arguments->baseline_run,
           "Run in the baseline (default: the newest; of TRACE itself, the one before the reported run)")
      .range(1, 1e15)
      .only_with(baseline)
      .section(group);
  const auto model = options
                         .add("--model", arguments->model,
                              "Model: runs the baseline's tokens again, under both policies, to measure KL")
                         .value_name("MODEL")
                         .file()
                         .only_with(baseline)
                         .section(group);
  options.add("--kl-tokens", arguments->kl_tokens, "Measure KL on the first N of these tokens; 0: on all")
      .range(0, 1e15)
      .show_default()
      .only_with(model)
      .section(group);
  options.add("--threads", arguments->threads, "Threads; 0: every processor this process may use")
      .range(0, 4096)
      .show_default()
      .only_with(model)
      .section(group);
  add_backend_option(options, arguments->backend).only_with(model).section(group);
  return [arguments](const CommandContext&) { return report(*arguments); };
}

}  // namespace expertscope::cli
