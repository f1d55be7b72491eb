// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>
#include <vector>

#include "probes/analysis/table.h"
#include "views/models/heatmap_data.h"

namespace expertscope {

/// The title of a column as the name of a map: "Known from token".
QString column_name(const ColumnInfo& info);

/// The map of a number that a table has for layers and experts. `shape`: of the model, whose layers and
/// experts the map has. `domain`: only the rows with this text in the column of that name; empty: all rows.
/// `difference`: the numbers have a sign. Cells without a row were not measured, and none of a shape without
/// tokens; an expert without a slot, by the table where it counts them and else by the shape, was never used.
HeatmapData map_of(const Table& table, const ColumnInfo& column, const ExpertTable& shape, bool difference,
                   std::string_view domain = {});
/// The row of a layer and an expert, the first where there are more.
std::optional<std::size_t> row_of(const Table& table, Cell cell);
/// At most `most` rows of an expert, those with the largest values of a column first.
std::vector<std::size_t> largest_rows_of(const Table& table, Cell cell, const Column& column,
                                         std::size_t most);

}  // namespace expertscope
