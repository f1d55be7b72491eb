// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <string>

#include "probes/analysis/analysis.h"

namespace expertscope {

/// The machine-readable forms of each analysis; the CLI, the window and the report all print these.
/// CSV: one header row, snake_case, tidy (one row per layer and expert), empty = missing.
std::string to_json(const LoadResult& result);
std::string to_csv(const LoadResult& result);
std::string to_json(const SuperExpertResult& result);
std::string to_csv(const SuperExpertResult& result);
std::string to_json(const EntropyResult& result);
std::string to_csv(const EntropyResult& result);
std::string to_json(const AttentionResult& result);
std::string to_csv(const AttentionResult& result);

/// Every ExpertStats field, one row per (layer, expert) of the MoE layers: `layer,expert,count,...`. A shared
/// expert is expert -1, whose count are tokens; what only a router gives is missing there.
std::string to_csv(const ExpertTable& table);
std::string to_json(const ExpertTable& table);

}  // namespace expertscope
