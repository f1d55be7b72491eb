// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <string_view>

#include "probes/analysis/table.h"
#include "views/models/heatmap_data.h"

namespace expertscope {

/// The map of a number that a table has for layers and experts. `shape`: of the model, whose layers and
/// experts the map has. `domain`: only the rows with this text in the column of that name; empty: all rows.
/// `difference`: the numbers have a sign. Cells without a row were not measured; where the table counts
/// slots, 0 of them is an expert that was never used.
HeatmapData map_of(const Table& table, std::string_view column, const ExpertTable& shape, bool difference,
                   std::string_view domain = {});

}  // namespace expertscope
