// SPDX-License-Identifier: GPL-3.0-or-later
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "app/cli/command.h"
#include "app/cli/console.h"
#include "app/cli/trace_tables.h"
#include "probes/report/report.h"
#include "probes/store/trace_reader.h"

namespace expertscope::cli {
namespace {

struct ReportArguments {
  std::string trace;
  std::string baseline;
  std::string out;
  std::int64_t run = 0;
  bool json = false;
};

Status report(const ReportArguments& arguments) {
  const auto trace = TraceReader::open(arguments.trace);
  if (!trace) return forward_error(trace);
  const auto run = select_run(**trace, arguments.run);
  if (!run) return forward_error(run);
  std::unique_ptr<TraceReader> baseline;
  if (!arguments.baseline.empty()) {
    auto opened = TraceReader::open(arguments.baseline);
    if (!opened) return forward_error(opened);
    baseline = std::move(*opened);
  }
  ReportOptions options;
  options.run = run->id;
  const auto html = make_report(**trace, baseline.get(), options);
  if (!html) return forward_error(html);
  if (auto written = write_file(arguments.out, *html); !written) return written;
  if (!arguments.json) return {};
  return write_json(
      nlohmann::ordered_json{{"out", arguments.out}, {"run", run->id}, {"bytes", html->size()}});
}

}  // namespace

CommandBody define_report(Arguments& options) {
  auto arguments = std::make_shared<ReportArguments>();
  options.add("TRACE", arguments->trace, "Recorded trace").required();
  options.add("--out", arguments->out, "HTML file to write").required().value_name("FILE.html");
  options.add("--baseline", arguments->baseline, "Trace of the same data without the edits, to compare with")
      .value_name("FILE.db");
  options.add("--run", arguments->run, "Run in the trace (default: the newest)").range(1, 1e15);
  options.add_flag("--json", arguments->json, "Print what was written as JSON");
  return [arguments](const CommandContext&) { return report(*arguments); };
}

}  // namespace expertscope::cli
