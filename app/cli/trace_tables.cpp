// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/trace_tables.h"

#include <algorithm>
#include <iterator>
#include <vector>

#include "app/cli/console.h"
#include "probes/analysis/export.h"

namespace expertscope::cli {
namespace {

constexpr std::size_t kMostLayers = 200;  ///< rows of a table of layers or domains
constexpr std::size_t kAllRows = 40;      ///< of another that is not cut
constexpr std::size_t kFirstRows = 10;    ///< of one that is
constexpr std::size_t kLine = 100;        ///< columns of a terminal that prose fills

/// Columns of a terminal: characters are counted, however wide.
std::size_t width_of(const std::string& text) {
  const auto continues = [](char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; };
  return text.size() - static_cast<std::size_t>(std::count_if(text.begin(), text.end(), continues));
}

std::string padded(const std::string& text, std::size_t width, bool left) {
  const std::string blanks(width - std::min(width, width_of(text)), ' ');
  return left ? text + blanks : blanks + text;
}

std::string cell(const Column& column, std::size_t row) {
  const Value value = column.value(row);
  const auto* integer = std::get_if<std::int64_t>(&value);
  if (integer != nullptr && column.info().unit != "expert") return format_count(*integer);
  return format_value(column.info(), value, "-");
}

std::size_t most_rows(const Table& table) {
  if (table.key == TableKey::layer || table.key == TableKey::domain) return kMostLayers;
  return table.rows() > kAllRows ? kFirstRows : kAllRows;
}

std::string table_text(const Table& table) {
  const std::vector<std::size_t> rows = rows_to_show(table, most_rows(table));
  std::string text = "\n" + heading(table.title);
  const Column* by = table.find(table.ranked_by);
  if (rows.size() < table.rows()) {
    text += fmt::format(": {}{} of {}",
                        by == nullptr ? "the first " : "the largest by " + by->info().title + ", ",
                        rows.size(), format_count(static_cast<std::int64_t>(table.rows())));
  }
  text += "\n";
  std::vector<std::string> lines(rows.size() + 1);
  for (const Column& column : table.columns) {
    std::vector<std::string> cells{column.info().title};
    for (const std::size_t row : rows)
      cells.push_back(cell(column, row));
    std::size_t width = 0;
    for (const std::string& each : cells)
      width = std::max(width, width_of(each));
    for (std::size_t i = 0; i < cells.size(); ++i) {
      lines[i] += (lines[i].empty() ? "" : "  ") + padded(cells[i], width, column.type() == ColumnType::text);
    }
  }
  for (std::string& line : lines) {
    line.resize(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

/// Words filled into lines, each behind `indent` blanks.
std::string filled(const std::string& prose, std::size_t indent) {
  std::string text;
  std::string line;
  for (std::size_t begin = 0; begin < prose.size();) {
    const std::size_t end = std::min(prose.find(' ', begin), prose.size());
    const std::string word = prose.substr(begin, end - begin);
    if (!line.empty() && indent + width_of(line) + 1 + width_of(word) > kLine) {
      text += std::string(indent, ' ') + line + "\n";
      line.clear();
    }
    line += (line.empty() ? "" : " ") + word;
    begin = end + 1;
  }
  return text + std::string(indent, ' ') + line + "\n";
}

std::string bounds(const OptionInfo& option) {
  if (option.type == ColumnType::flag) return "off unless given";
  const std::string initial = format_value({"", "", option.type, {}, {}}, option.initial, "none");
  if (option.type != ColumnType::text)
    return fmt::format("{} to {}, else {}", option.least, option.most, initial);
  std::string choices;
  for (const std::string& choice : option.choices)
    choices += (choices.empty() ? "" : "|") + choice;
  return fmt::format("{}, else {}", choices, initial);
}

}  // namespace

Result<RunInfo> select_run(const TraceReader& trace, std::int64_t run) {
  auto runs = trace.runs();
  if (!runs) return forward_error(runs);
  if (runs->empty())
    return fail(ErrorCode::invalid_argument, "{}: the trace holds no run", trace.file().string());
  const auto by_id = [](const RunInfo& a, const RunInfo& b) { return a.id < b.id; };
  if (run == 0) return *std::max_element(runs->begin(), runs->end(), by_id);
  std::string ids;
  for (const RunInfo& info : *runs) {
    if (info.id == run) return info;
    fmt::format_to(std::back_inserter(ids), "{}{}", ids.empty() ? "" : ", ", info.id);
  }
  return fail(ErrorCode::invalid_argument, "{}: there is no run {}; the trace has {}", trace.file().string(),
              run, ids);
}

std::string to_text(const AnalysisResult& result) {
  std::string text;
  for (const NamedValue& named : result.options.values())
    text += fmt::format("{}: {}\n", named.info.id, format_value(named.info, named.value, "-"));
  for (const NamedValue& named : result.values)
    text += fmt::format("{}: {}\n", named.info.title, format_value(named.info, named.value, "-"));
  for (const Table& table : result.tables)
    text += table_text(table);
  return text;
}

std::string explain(const Analysis& analysis) {
  std::string text =
      heading(analysis.id) + "\n" + filled(analysis.title, 0) + "\n" + filled(analysis.definition, 2);
  if (!analysis.source.empty()) text += "\n" + heading("source") + "\n" + filled(analysis.source, 2);
  if (!analysis.inputs.empty()) text += "\n" + heading("needs") + "\n";
  for (const Input input : analysis.inputs)
    text += filled(std::string(input_name(input)), 2);
  if (!analysis.options.empty()) text += "\n" + heading("options") + "\n";
  for (const OptionInfo& option : analysis.options) {
    std::string name = option.id;
    std::replace(name.begin(), name.end(), '_', '-');
    text += filled(fmt::format("--{} ({}): {}", name, bounds(option), option.meaning), 2);
  }
  for (const Table& table : analysis.tables) {
    text += "\n" + heading("table " + table.id) + "\n";
    for (const Column& column : table.columns) {
      const ColumnInfo& info = column.info();
      text += filled(
          fmt::format("{}{}: {}", info.id, info.unit.empty() ? "" : " [" + info.unit + "]", info.meaning), 2);
    }
  }
  return text;
}

}  // namespace expertscope::cli
