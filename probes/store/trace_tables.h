// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "engine/error.h"
#include "probes/store/database.h"

namespace expertscope {

/// The statements that make an empty trace of this version.
const char* trace_schema();

/// Makes one of the tables that not every trace has, where it is not there yet: deleted_run when the first
/// run is deleted, shared_expert_stats and shared_expert_block for the first run of a model with shared
/// experts.
Status make_optional_table(Database& database, const char* name);
/// Whether there is such a thing, be it a table or not.
Result<bool> has_table(const Database& database, const char* name);

/// Refuses a trace whose tables were not made by these statements: a view, a generated column, a check or an
/// index on an expression could run anything that SQL can say, and a trigger change what is recorded. Plain
/// indexes, and tables and views of other names, are a person's own business.
Status check_tables(const Database& database);

}  // namespace expertscope
