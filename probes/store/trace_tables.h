// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <string>
#include <vector>

#include "engine/error.h"
#include "probes/store/database.h"

namespace expertscope {

/// A table of a trace.
struct TraceTable {
  const char* name;
  std::string create;     ///< its statement, as SQLite keeps it
  const char* run;        ///< the column that says to which run a row belongs; null: to none
  bool optional = false;  ///< made when there is something to put into it; who does not know it reads on
};
/// All of them. Rows of `run` itself come last.
const std::vector<TraceTable>& trace_tables();

/// The statements that make an empty trace of this version.
std::string trace_schema();

/// Makes one of the optional tables where it is not there yet.
Status make_optional_table(Database& database, const char* name);
/// Whether there is such a thing, be it a table or not.
Result<bool> has_table(const Database& database, const char* name);

/// Refuses a trace whose tables were not made by these statements: a view, a generated column, a check or an
/// index on an expression could run anything that SQL can say, and a trigger change what is recorded. Plain
/// indexes, and tables and views of other names, are a person's own business.
Status check_tables(const Database& database);

}  // namespace expertscope
