// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <string>
#include <vector>

#include "probes/report/policy_view.h"
#include "probes/report/report_data.h"

namespace expertscope::report {

/// Share of each layer's slots per expert, viridis; unused experts hatched, edited ones outlined.
std::string load_heatmap(const LoadResult& load, const std::vector<CellMark>& marks);

/// What a map's caption has to add: what a cell stands for where it is not one expert. Else empty.
std::string map_note(const LoadResult& load);

/// Share after minus share before, on a diverging scale centred at 0. Both have the same layers and experts.
std::string difference_heatmap(const LoadResult& before, const LoadResult& after,
                               const std::vector<CellMark>& marks);

/// max |down_proj output| of every expert, layer by layer, with both thresholds and the super experts named.
std::string outlier_plot(const SuperExpertResult& result, int layers);

/// Mean router entropy per layer inside its range, below the largest possible one.
std::string entropy_plot(const EntropyResult& entropy, int layers, int experts);

/// Mean attention on the first token per layer inside its range, 0 to 100 %; empty when not measured.
std::string attention_plot(const AttentionResult& attention, int layers);

/// Overlap of the selections per layer, 0 to 100 %.
std::string overlap_plot(const std::vector<LayerOverlap>& overlap, int layers);

}  // namespace expertscope::report
