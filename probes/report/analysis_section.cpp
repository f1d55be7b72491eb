// SPDX-License-Identifier: GPL-3.0-or-later
#include <fmt/format.h>

#include "probes/analysis/export.h"
#include "probes/report/html.h"
#include "probes/report/sections.h"

namespace expertscope::report {
namespace {

std::string cell(const expertscope::Column& column, std::size_t row) {
  const Value value = column.value(row);
  const auto* integer = std::get_if<std::int64_t>(&value);
  if (integer != nullptr && column.info().unit != "expert") return grouped(*integer);
  return escape(format_value(column.info(), value, "—"));
}

std::string table_html(const Table& shown, std::size_t rows, const std::string& analysis) {
  std::vector<Column> columns;
  for (const expertscope::Column& column : shown.columns)
    columns.push_back({escape(column.info().title), column.type() != ColumnType::text});
  std::vector<std::vector<std::string>> cells;
  for (std::size_t row = 0; row < shown.rows(); ++row) {
    std::vector<std::string>& line = cells.emplace_back();
    for (const expertscope::Column& column : shown.columns)
      line.push_back(cell(column, row));
  }
  std::string out = "<h3>" + escape(shown.title) + "</h3>\n" + table(columns, cells);
  if (rows == shown.rows()) return out;
  const expertscope::Column* by = shown.find(shown.ranked_by);
  const std::string which = by == nullptr ? "The first" : "The largest by " + escape(by->info().title) + ",";
  return out + fmt::format(
                   "<p class=\"note\">{} {} of {}; <code>expertscope-cli analyze</code> with <code>{}"
                   "</code> writes all.</p>\n",
                   which, shown.rows(), grouped(static_cast<std::int64_t>(rows)), escape(analysis));
}

std::string section_html(const AnalysisSection& section, const Analysis& analysis) {
  std::string out = "<h2>" + escape(analysis.title) + "</h2>\n<p>" + escape(analysis.definition);
  if (!analysis.source.empty()) out += " Source: " + escape(analysis.source) + ".";
  out += "</p>\n";
  for (const NamedValue& named : section.result.values) {
    out += fmt::format("<p>{}: {}</p>\n", escape(named.info.title),
                       escape(format_value(named.info, named.value, "—")));
  }
  for (std::size_t i = 0; i < section.result.tables.size(); ++i)
    out += table_html(section.result.tables[i], section.rows[i], analysis.id);
  return out;
}

}  // namespace

std::string analysis_sections(const ReportInput& input) {
  std::string out;
  for (const AnalysisSection& section : input.run.sections)
    out += section_html(section, *find_analysis(section.result.id));
  return out;
}

}  // namespace expertscope::report
