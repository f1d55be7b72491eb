// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <optional>
#include <string>

#include "probes/report/policy_view.h"
#include "probes/report/report.h"
#include "probes/report/report_data.h"

namespace expertscope::report {

/// What the sections are written from. `before` and `effect` are there when a baseline was given.
struct ReportInput {
  ReportedRun run;
  std::vector<PolicyStep> steps;
  std::optional<ReportedRun> before;
  std::optional<Effect> effect;
  std::optional<ReportComparison> comparison;
  std::optional<ReportDivergence> divergence;  ///< only together with `before`

  /// Marks of every edit that was in force at some time.
  std::vector<CellMark> marks() const;
};

/// Whether the comparison was made with the edits of the run's last policy.
bool comparison_fits(const ReportInput& input);

/// What follows "from token 7": the edits of a policy as a list, or that there are none.
std::string edits_html(const PolicyStep& step);

// Each returns a piece of HTML; empty where it has nothing to say.
std::string title_section(const ReportInput& input);
std::string identity_section(const ReportInput& input);
std::string load_section(const ReportInput& input);
std::string super_expert_section(const ReportInput& input);
std::string layer_section(const ReportInput& input);
std::string analysis_sections(const ReportInput& input);
std::string policy_section(const ReportInput& input);
std::string effect_section(const ReportInput& input);
std::string text_section(const ReportInput& input);
std::string definitions_section(const ReportInput& input);

/// Every number of the report.
std::string report_json(const ReportInput& input);

}  // namespace expertscope::report
