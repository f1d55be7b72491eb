// SPDX-License-Identifier: GPL-3.0-or-later
#include <algorithm>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>

#include "app/cli/command.h"
#include "app/cli/console.h"
#include "app/cli/trace_tables.h"
#include "probes/analysis/analysis.h"
#include "probes/analysis/export.h"
#include "probes/analysis/run_data.h"
#include "probes/report/report.h"
#include "probes/store/trace_reader.h"

namespace expertscope::cli {
namespace {

enum class Format { table, json, csv };

struct AnalyzeArguments {
  std::string trace;
  std::string analysis;
  std::string format;
  std::string table;
  std::string baseline;
  std::int64_t run = 0;
  std::int64_t baseline_run = 0;
  std::int64_t from = 0;
  std::int64_t to = 0;
  bool json = false;
  bool explain = false;
  std::map<std::string, std::optional<std::string>> words;  ///< by id of an option
  std::map<std::string, bool> flags;                        ///< the same

  Format chosen_format() const {
    if (json || format == "json") return Format::json;
    return format == "csv" ? Format::csv : Format::table;
  }
  TokenRange range() const { return {from, to > 0 ? to : INT64_MAX}; }
};

std::string option_name(const std::string& id) {
  std::string name = "--" + id;
  std::replace(name.begin(), name.end(), '_', '-');
  return name;
}

Status list(bool json) {
  nlohmann::ordered_json entries = nlohmann::ordered_json::array();
  std::string text;
  for (const Analysis& analysis : analyses()) {
    entries.push_back({{"analysis", analysis.id}, {"title", analysis.title}});
    text += fmt::format("{:<15} {}\n", analysis.id, analysis.title);
  }
  return json ? write_json(entries) : write_text(text);
}

tl::unexpected<Error> unknown(const std::string& name) {
  std::vector<std::string> names;
  for (const Analysis& analysis : analyses())
    names.push_back(analysis.id);
  return fail(ErrorCode::invalid_argument, "there is no analysis '{}'{}", name, did_you_mean(name, names));
}

/// The options of the analysis as they were given; one of another analysis is refused.
Result<Options> given_options(const AnalyzeArguments& arguments, const Analysis& analysis) {
  Options options(analysis.options);
  const auto refused = [&](const std::string& id) {
    return fail(ErrorCode::invalid_argument, "{} has no option {}; analyze {} --explain lists them",
                analysis.id, option_name(id), analysis.id);
  };
  for (const auto& [id, word] : arguments.words) {
    if (!word) continue;
    const OptionInfo* info = analysis.find_option(id);
    if (info == nullptr) return refused(id);
    auto value = parse_option(*info, *word);
    if (!value) return forward_error(value);
    options.set(id, std::move(*value));
  }
  for (const auto& [id, on] : arguments.flags) {
    if (!on) continue;
    if (!options.set(id, true)) return refused(id);
  }
  return options;
}

Status print_csv(const AnalysisResult& result, const std::string& name) {
  if (name.empty()) return write_text(to_csv(result.main()));
  if (const Table* table = result.find(name)) return write_text(to_csv(*table));
  std::string names;
  for (const Table& table : result.tables)
    names += (names.empty() ? "" : ", ") + table.id;
  return fail(ErrorCode::invalid_argument, "{} gives no table {} here; it gives {}", result.id, name, names);
}

/// The run to compare with, and its trace.
struct Baseline {
  std::unique_ptr<TraceReader> trace;
  std::unique_ptr<RunData> data;  ///< null: none was given
};

Result<Baseline> open_baseline(const AnalyzeArguments& arguments, const TraceReader& trace,
                               std::int64_t run) {
  Baseline baseline;
  if (arguments.baseline.empty()) return baseline;
  auto opened = TraceReader::open(arguments.baseline);
  if (!opened) return forward_error(opened);
  baseline.trace = std::move(*opened);
  const auto chosen = choose_baseline_run(*baseline.trace, arguments.baseline_run, trace, run);
  if (!chosen) return forward_error(chosen);
  auto data = RunData::open(*baseline.trace, *chosen);
  if (!data) return forward_error(data);
  baseline.data = std::make_unique<RunData>(std::move(*data));
  return baseline;
}

Status print(const AnalysisResult& result, const AnalyzeArguments& arguments) {
  switch (arguments.chosen_format()) {
    case Format::json:
      return write_text(to_json(result) + "\n");
    case Format::csv:
      return print_csv(result, arguments.table);
    case Format::table:
      break;
  }
  return write_text(to_text(result));
}

Status analyze_trace(const AnalyzeArguments& arguments, const Analysis& analysis) {
  const auto options = given_options(arguments, analysis);
  if (!options) return forward_error(options);
  const auto trace = TraceReader::open(arguments.trace);
  if (!trace) return forward_error(trace);
  auto run = select_run(**trace, arguments.run);
  if (!run) return forward_error(run);
  if (arguments.chosen_format() == Format::table)
    note(fmt::format("run {} of {}: {}, {} tokens", run->id, arguments.trace, run->kind, run->tokens));
  const TraceReader::Snapshot one_state(**trace);
  const auto baseline = open_baseline(arguments, **trace, run->id);
  if (!baseline) return forward_error(baseline);
  RunData data(**trace, std::move(*run));
  data.set_baseline(baseline->data.get());
  const auto result = run_analysis(analysis, data, arguments.range(), *options);
  if (!result) return forward_error(result);
  return print(*result, arguments);
}

Status analyze(const AnalyzeArguments& arguments) {
  // Without a trace, an analysis is the first word.
  const std::string& name = arguments.analysis.empty() ? arguments.trace : arguments.analysis;
  if (name.empty()) return list(arguments.json);
  const Analysis* analysis = find_analysis(name);
  if (arguments.explain) return analysis == nullptr ? unknown(name) : write_text(explain(*analysis));
  if (arguments.analysis.empty()) {
    return fail(ErrorCode::invalid_argument,
                "the command takes a trace and an analysis; \"expertscope-cli analyze\" lists the analyses");
  }
  return analyze_trace(arguments, *analysis);  // known: the parser has looked
}

std::string default_text(const OptionInfo& option) {
  return format_value({"", "", option.type, {}, {}}, option.initial, "none");
}

/// What one or more analyses call so; `help` says what it means to each.
void define_option(Arguments& options, AnalyzeArguments& arguments, const OptionInfo& option,
                   const std::string& help) {
  const char* group = "Options of single analyses";
  const std::string name = option_name(option.id);
  if (option.type == ColumnType::flag) {
    options.add_flag(name, arguments.flags[option.id], help).section(group);
    return;
  }
  Argument argument = options.add(name, arguments.words[option.id], help).section(group);
  if (!option.choices.empty()) {
    argument.one_of(option.choices).value_name("NAME");
    return;
  }
  argument.value_name("N").checked_by([option](const std::string& word) {
    const auto value = parse_option(option, word);
    return value ? std::string() : value.error().message;
  });
}

void define_options(Arguments& options, AnalyzeArguments& arguments) {
  std::vector<std::pair<OptionInfo, std::string>> all;  // with the help
  for (const Analysis& analysis : analyses()) {
    for (const OptionInfo& option : analysis.options) {
      const auto same = std::find_if(all.begin(), all.end(),
                                     [&](const auto& other) { return other.first.id == option.id; });
      const bool flag = option.type == ColumnType::flag;
      const std::string help = fmt::format("{}: {}{}", analysis.id, option.meaning,
                                           flag ? "" : fmt::format(" [{}]", default_text(option)));
      if (same == all.end()) {
        all.emplace_back(option, help);
      } else {
        same->second += " " + help;
        same->first.least = std::min(same->first.least, option.least);
        same->first.most = std::max(same->first.most, option.most);
      }
    }
  }
  for (const auto& [option, help] : all)
    define_option(options, arguments, option, help);
}

}  // namespace

CommandBody define_analyze(Arguments& options) {
  auto arguments = std::make_shared<AnalyzeArguments>();
  std::vector<std::string> names;
  for (const Analysis& analysis : analyses())
    names.push_back(analysis.id);
  options.add("TRACE", arguments->trace, "Recorded trace").file();
  options.add("ANALYSIS", arguments->analysis, "What to compute; without it, the list").one_of(names);
  options.add_flag("--explain", arguments->explain, "Print what ANALYSIS means; needs no trace");
  options.add("--run", arguments->run, "Run in the trace (default: the newest)").range(1, 1e15);
  options.add("--from", arguments->from, "First token of the run that counts").range(0, 1e15);
  options.add("--to", arguments->to, "Token before which it ends (default: the last)").range(1, 1e15);
  const auto baseline =
      options.add("--baseline", arguments->baseline, "Trace with a run to compare with; may be TRACE itself")
          .value_name("FILE.db")
          .file();
  options
      .add("--baseline-run", arguments->baseline_run,
           "Run in the baseline (default: the newest; of TRACE itself, the one before)")
      .range(1, 1e15)
      .only_with(baseline);
  const auto format = options.add("--format", arguments->format, "json or csv (default: a table to read)")
                          .one_of({"json", "csv"})
                          .value_name("NAME");
  options.add("--table", arguments->table, "Table that CSV holds, of an analysis with several")
      .value_name("NAME")
      .only_with(format);
  options.add_flag("--json", arguments->json, "Same as --format json").not_with(format);
  define_options(options, *arguments);
  return [arguments](const CommandContext&) { return analyze(*arguments); };
}

}  // namespace expertscope::cli
