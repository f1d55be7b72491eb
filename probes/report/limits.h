// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>

// A report is read by a person, and a browser has to hold it: what a trace may claim (524,288 experts) is
// summed up from here on.
namespace expertscope::report {

/// Cells of a map that are drawn one by one, and experts whose numbers the page embeds; more are binned, and
/// left out. The largest public models have about 25,000.
inline constexpr std::size_t kMostCells = 32768;
/// Rows and columns of a map.
inline constexpr int kMostRows = 160;
inline constexpr int kMostColumns = 512;
/// Points of the outlier plot before only the largest at each place are drawn.
inline constexpr std::size_t kMostPoints = kMostCells;
/// Rows of a table, edits of a list, steps of a timeline, names in a line.
inline constexpr std::size_t kMostRowsOfATable = 200;
/// Rows of a table of an analysis, the largest ones.
inline constexpr std::size_t kMostRowsOfASection = 20;
/// Names beside the points of the outlier plot.
inline constexpr std::size_t kMostLabels = 24;
/// Edited cells that are marked on a map.
inline constexpr std::size_t kMostMarks = 4096;

}  // namespace expertscope::report
