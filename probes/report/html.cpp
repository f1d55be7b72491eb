// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/report/html.h"

#include <fmt/format.h>

#include "engine/text/visible_text.h"
#include "probes/report/numbers.h"

namespace expertscope::report {
namespace {

void append_escaped(std::string& out, char c) {
  switch (c) {
    case '&':
      out += "&amp;";
      return;
    case '<':
      out += "&lt;";
      return;
    case '>':
      out += "&gt;";
      return;
    case '"':
      out += "&quot;";
      return;
    case '\'':
      out += "&#39;";
      return;
    default:
      out += c;
  }
}

}  // namespace

std::string escape(std::string_view text) {
  const std::string shown = visible_text(text, LineBreaks::keep);
  std::string out;
  out.reserve(shown.size());
  for (const char c : shown)
    append_escaped(out, c);
  return out;
}

std::string token_text(std::string_view bytes) {
  return "“" + visible_text(bytes) + "”";
}

std::string script_json(const std::string& json) {
  std::string out;
  out.reserve(json.size());
  for (const char c : visible_text(json, LineBreaks::keep)) {
    if (c == '<') {
      out += "\\u003c";
    } else if (c == '>') {
      out += "\\u003e";
    } else if (c == '&') {
      out += "\\u0026";
    } else {
      out += c;
    }
  }
  return out;
}

std::string grouped(std::int64_t value) {
  return numbers::count(value);
}

std::string number(double value) {
  return numbers::number(value);
}

std::string percent(double share) {
  return numbers::percent(share);
}

std::string table(const std::vector<Column>& columns, const std::vector<std::vector<std::string>>& rows) {
  std::string out = "<div class=\"scroll\"><table><thead><tr>";
  for (const Column& column : columns) {
    out += fmt::format("<th{}>{}</th>", column.numeric ? " class=\"n\"" : "", column.title);
  }
  out += "</tr></thead><tbody>\n";
  for (const auto& row : rows) {
    out += "<tr>";
    for (std::size_t i = 0; i < row.size() && i < columns.size(); ++i) {
      out += fmt::format("<td{}>{}</td>", columns[i].numeric ? " class=\"n\"" : "", row[i]);
    }
    out += "</tr>\n";
  }
  return out + "</tbody></table></div>\n";
}

}  // namespace expertscope::report
