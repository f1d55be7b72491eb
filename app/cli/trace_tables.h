// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <string>

#include "engine/error.h"
#include "probes/analysis/analysis.h"
#include "probes/store/trace_reader.h"

namespace expertscope::cli {

/// The run with this id, or the newest for 0; the error lists the runs there are.
Result<RunInfo> select_run(const TraceReader& trace, std::int64_t run);

/// A result for a person: its values, and of each table all rows or the largest; scripts use the JSON and CSV
/// of probes/analysis/export.h.
std::string to_text(const AnalysisResult& result);
/// What an analysis means: definition, source, what it needs, options, tables with their columns and units.
std::string explain(const Analysis& analysis);

}  // namespace expertscope::cli
