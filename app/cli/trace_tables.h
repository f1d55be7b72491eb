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

/// Analyses as tables for a person; scripts use the JSON and CSV of probes/analysis/export.h.
std::string to_table(const LoadResult& result);
std::string to_table(const SuperExpertResult& result);
std::string to_table(const EntropyResult& result);
std::string to_table(const AttentionResult& result);

}  // namespace expertscope::cli
