// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <vector>

#include "engine/error.h"
#include "probes/store/database.h"
#include "probes/store/run_info.h"

namespace expertscope {

/// Rows of expert_stats and layer_stats, checked: there is one for every cell, and counts, tokens and
/// channels are those of the run. An error names the file, the table, the run and the row.

/// A table of zeros for the run. Its size is what the run claims, so first the rows are counted.
Result<ExpertTable> empty_expert_table(const Database& database, const RunInfo& run);

Result<ExpertTable> read_expert_table(const Database& database, const RunInfo& run);

/// [layers]
Result<std::vector<LayerStats>> read_layer_stats(const Database& database, const RunInfo& run);

}  // namespace expertscope
