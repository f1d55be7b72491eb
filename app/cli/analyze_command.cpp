// SPDX-License-Identifier: GPL-3.0-or-later
#include <memory>
#include <string>

#include "app/cli/command.h"
#include "app/cli/console.h"
#include "app/cli/trace_tables.h"
#include "probes/analysis/analysis.h"
#include "probes/analysis/export.h"
#include "probes/store/trace_reader.h"

namespace expertscope::cli {
namespace {

enum class Format { table, json, csv };

struct AnalyzeArguments {
  std::string trace;
  std::string analysis;
  std::string format;
  std::string definition = "paper";
  std::int64_t run = 0;
  bool json = false;

  Format chosen_format() const {
    if (json || format == "json") return Format::json;
    return format == "csv" ? Format::csv : Format::table;
  }
};

template <class Analysis>
Status print(const Analysis& result, Format format) {
  switch (format) {
    case Format::json:
      return write_text(to_json(result) + "\n");
    case Format::csv:
      return write_text(to_csv(result));
    case Format::table:
      break;
  }
  return write_text(to_table(result));
}

Status print_load(const TraceReader& trace, const RunInfo& run, Format format) {
  const auto table = trace.expert_table(run.id);
  if (!table) return forward_error(table);
  return print(analyze_load(*table), format);
}

Status print_super_experts(const TraceReader& trace, const RunInfo& run, const AnalyzeArguments& arguments) {
  const auto table = trace.expert_table(run.id);
  if (!table) return forward_error(table);
  SuperExpertOptions options;
  if (arguments.definition == "upstream") options.definition = SuperExpertDefinition::upstream;
  return print(analyze_super_experts(*table, options), arguments.chosen_format());
}

Status print_entropy(const TraceReader& trace, const RunInfo& run, Format format) {
  const auto layers = trace.layer_stats(run.id);
  if (!layers) return forward_error(layers);
  return print(analyze_entropy(*layers, run), format);
}

Status print_attention(const TraceReader& trace, const RunInfo& run, Format format) {
  const auto layers = trace.layer_stats(run.id);
  if (!layers) return forward_error(layers);
  return print(analyze_attention(*layers), format);
}

Status analyze(const AnalyzeArguments& arguments) {
  const auto trace = TraceReader::open(arguments.trace);
  if (!trace) return forward_error(trace);
  const auto run = select_run(**trace, arguments.run);
  if (!run) return forward_error(run);
  if (arguments.chosen_format() == Format::table)
    note(fmt::format("run {} of {}: {}, {} tokens", run->id, arguments.trace, run->kind, run->tokens));
  if (arguments.analysis == "load") return print_load(**trace, *run, arguments.chosen_format());
  if (arguments.analysis == "entropy") return print_entropy(**trace, *run, arguments.chosen_format());
  if (arguments.analysis == "attention") return print_attention(**trace, *run, arguments.chosen_format());
  return print_super_experts(**trace, *run, arguments);
}

}  // namespace

CommandBody define_analyze(Arguments& options) {
  auto arguments = std::make_shared<AnalyzeArguments>();
  options.add("TRACE", arguments->trace, "Recorded trace").required().file();
  options
      .add("ANALYSIS", arguments->analysis,
           "load: routed tokens and weights per expert; super-experts: outliers of the down_proj output; "
           "entropy: of the router, per layer; attention: on the first token, per layer")
      .required()
      .one_of({"load", "super-experts", "entropy", "attention"});
  options.add("--run", arguments->run, "Run in the trace (default: the newest)").range(1, 1e15);
  const auto format = options.add("--format", arguments->format, "json or csv (default: a table to read)")
                          .one_of({"json", "csv"})
                          .value_name("NAME");
  options
      .add("--definition", arguments->definition,
           "super-experts: paper (all tokens) or upstream (first routed token of each sequence only)")
      .one_of({"paper", "upstream"})
      .show_default()
      .value_name("NAME");
  options.add_flag("--json", arguments->json, "Same as --format json").not_with(format);
  return [arguments](const CommandContext&) { return analyze(*arguments); };
}

}  // namespace expertscope::cli
