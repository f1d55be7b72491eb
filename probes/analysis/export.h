// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <string>
#include <vector>

#include "probes/analysis/analysis.h"

namespace expertscope {

/// The machine-readable forms of every analysis; command line, window and report all print these.

/// One object: "analysis", the options, the values, and each table as a list with an object a row, one a
/// line. Null: missing. Text that is not UTF-8 has U+FFFD in it.
std::string to_json(const AnalysisResult& result);
/// One header row, snake_case; empty: missing. Flags are 1 and 0, text is as visible_text() has it.
std::string to_csv(const Table& table);

/// A value for a person: shares in percent, the shared expert by its name, numbers of five digits, text in
/// quotes where it is a token's; `none` where it is missing.
std::string format_value(const ColumnInfo& info, const Value& value, const char* none);
/// The rows a person wants to see first of many: all, or the `most` largest by Table::ranked_by.
std::vector<std::size_t> rows_to_show(const Table& table, std::size_t most);

}  // namespace expertscope
