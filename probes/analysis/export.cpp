// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/analysis/export.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <nlohmann/json.hpp>
#include <numeric>

#include "engine/text/visible_text.h"

namespace expertscope {
namespace {

using Json = nlohmann::json;

std::string json_text(const std::string& text) {
  return Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
}

// Numbers stay numbers with a point, as other writers of JSON have them.
std::string json_number(double value) {
  if (!std::isfinite(value)) return "null";
  std::string text = fmt::format("{}", value);
  if (text.find_first_not_of("-0123456789") == std::string::npos) text += ".0";
  return text;
}

struct ToJson {
  std::string operator()(std::monostate) const { return "null"; }
  std::string operator()(std::int64_t value) const { return fmt::format("{}", value); }
  std::string operator()(double value) const { return json_number(value); }
  std::string operator()(const std::string& value) const { return json_text(value); }
  std::string operator()(bool value) const { return value ? "true" : "false"; }
};

std::string csv_text(const std::string& text) {
  std::string shown = visible_text(text);
  if (shown.find_first_of(",\"") == std::string::npos) return shown;
  std::string quoted = "\"";
  for (const char c : shown)
    quoted += c == '"' ? "\"\"" : std::string(1, c);
  return quoted + "\"";
}

struct ToCsv {
  std::string operator()(std::monostate) const { return {}; }
  std::string operator()(std::int64_t value) const { return fmt::format("{}", value); }
  std::string operator()(double value) const {
    return std::isfinite(value) ? fmt::format("{}", value) : std::string();
  }
  std::string operator()(const std::string& value) const { return csv_text(value); }
  std::string operator()(bool value) const { return value ? "1" : "0"; }
};

void add_named(const std::vector<NamedValue>& values, std::string& json) {
  for (const NamedValue& named : values)
    json += fmt::format(",\n  {}: {}", json_text(named.info.id), std::visit(ToJson{}, named.value));
}

void add_table(const Table& table, std::string& json) {
  std::vector<std::string> names;
  for (const Column& column : table.columns)
    names.push_back(json_text(column.info().id));
  json += fmt::format(",\n  {}: [", json_text(table.id));
  for (std::size_t row = 0; row < table.rows(); ++row) {
    json += row == 0 ? "\n    {" : ",\n    {";
    for (std::size_t i = 0; i < table.columns.size(); ++i) {
      fmt::format_to(std::back_inserter(json), "{}{}: {}", i == 0 ? "" : ", ", names[i],
                     std::visit(ToJson{}, table.columns[i].value(row)));
    }
    json += "}";
  }
  json += table.rows() == 0 ? "]" : "\n  ]";
}

}  // namespace

std::string to_json(const AnalysisResult& result) {
  std::string json = fmt::format("{{\n  \"analysis\": {}", json_text(result.id));
  add_named(result.options.values(), json);
  add_named(result.values, json);
  for (const Table& table : result.tables)
    add_table(table, json);
  return json + "\n}";
}

std::string to_csv(const Table& table) {
  std::string csv;
  for (const Column& column : table.columns)
    csv += (csv.empty() ? "" : ",") + column.info().id;
  csv += "\n";
  for (std::size_t row = 0; row < table.rows(); ++row) {
    for (std::size_t i = 0; i < table.columns.size(); ++i) {
      if (i > 0) csv += ",";
      csv += std::visit(ToCsv{}, table.columns[i].value(row));
    }
    csv += "\n";
  }
  return csv;
}

std::string format_value(const ColumnInfo& info, const Value& value, const char* none) {
  if (const auto* text = std::get_if<std::string>(&value)) {
    const std::string shown = visible_text(*text);
    return info.unit == "token" ? "“" + shown + "”" : shown;
  }
  if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "yes" : "no";
  if (const auto* integer = std::get_if<std::int64_t>(&value)) {
    return info.unit == "expert" && *integer == kSharedExpert ? "shared" : fmt::format("{}", *integer);
  }
  const auto* number = std::get_if<double>(&value);
  if (number == nullptr || !std::isfinite(*number)) return none;
  if (info.unit == "share") return fmt::format("{:.4g} %", 100 * *number);
  return fmt::format("{:.5g}", *number);
}

std::vector<std::size_t> rows_to_show(const Table& table, std::size_t most) {
  std::vector<std::size_t> rows(table.rows());
  std::iota(rows.begin(), rows.end(), std::size_t{0});
  if (rows.size() <= most) return rows;
  if (const Column* by = table.find(table.ranked_by)) {
    const auto larger = [by](std::size_t a, std::size_t b) {
      const double x = by->has(a) ? by->number(a) : -INFINITY;
      const double y = by->has(b) ? by->number(b) : -INFINITY;
      return x != y ? x > y : a < b;
    };
    std::partial_sort(rows.begin(), rows.begin() + static_cast<std::ptrdiff_t>(most), rows.end(), larger);
  }
  rows.resize(most);
  return rows;
}

}  // namespace expertscope
