// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "engine/error.h"
#include "probes/store/database.h"

namespace expertscope {

/// The statements that make an empty trace of this version.
const char* trace_schema();

/// Makes table deleted_run where it is not there yet: only a trace from which a run was deleted has it.
const char* deleted_run_schema();

/// Refuses a trace whose tables were not made by these statements: a view, a generated column, a check or an
/// index on an expression could run anything that SQL can say, and a trigger change what is recorded. Plain
/// indexes, and tables and views of other names, are a person's own business.
Status check_tables(const Database& database);

}  // namespace expertscope
