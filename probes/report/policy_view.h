// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "probes/store/run_info.h"

namespace expertscope::report {

/// How an edit is drawn on a cell of the heatmap.
struct CellMark {
  int layer = 0;
  int expert = 0;
  char symbol = ' ';  ///< x prune, > reroute, + boost, - suppress, ! force
  std::string text;   ///< the edit in words
};

/// One policy change in words.
struct PolicyStep {
  std::int64_t token = 0;
  std::vector<std::string> edits;     ///< empty: the model's own routing
  std::vector<std::string> disabled;  ///< edits that were switched off
  std::string problem;                ///< why the recorded policy could not be read; else empty
  std::vector<CellMark> marks;
};
std::vector<PolicyStep> policy_steps(const std::vector<PolicyChange>& changes, const RunInfo& run);

/// Whether two policies as recorded (JSON; empty: the model's own routing) make the same edits: those that
/// are switched off and notes do not count.
bool same_edits(const std::string& a, const std::string& b);

}  // namespace expertscope::report
