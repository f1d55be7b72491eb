// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/error.h"
#include "probes/analysis/analysis.h"
#include "probes/report/report.h"
#include "probes/store/trace_reader.h"

namespace expertscope::report {

/// An analysis with a section of its own.
struct AnalysisSection {
  AnalysisResult result;          ///< with as many rows a table as a person reads
  std::vector<std::size_t> rows;  ///< of each table before it was cut
};

/// Everything the report says about one run.
struct ReportedRun {
  RunInfo info;
  std::string file;  ///< of the trace, without its folder
  ExpertTable table;
  std::vector<LayerStats> layers;
  std::vector<PolicyChange> policy;
  std::vector<SequenceInfo> sequences;
  LoadResult load;
  SuperExpertResult paper;
  SuperExpertResult upstream;
  EntropyResult entropy;
  AttentionResult attention;
  RecordedLikelihood likelihood;
  std::vector<TokenRow> outlier_tokens;  ///< of the first kMostRowsOfATable of paper.super_experts
  std::vector<AnalysisResult> results;   ///< for the page's JSON
  std::vector<AnalysisSection> sections;

  /// The first of this analysis; null: it was not run.
  const AnalysisResult* result(std::string_view analysis) const;
};
Result<ReportedRun> collect(const TraceReader& trace, std::int64_t run);

/// A run against the run before its edits.
struct Effect {
  std::vector<std::string> warnings;  ///< why the two are not, or not fully, comparable
  bool same_shape = false;            ///< layers and experts agree, so that loads can be compared
  CommonTokens common;
  std::vector<LayerOverlap> overlap;  ///< over the common tokens; empty without

  /// Mean of ln p before - ln p after of the scored tokens.
  double log_prob_difference() const { return common.nll_after - common.nll_before; }
};
Result<Effect> compare(const TraceReader& before_trace, const ReportedRun& before,
                       const TraceReader& after_trace, const ReportedRun& after);

}  // namespace expertscope::report
