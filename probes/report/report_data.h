// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/error.h"
#include "probes/analysis/analysis.h"
#include "probes/report/report.h"
#include "probes/store/trace_reader.h"

namespace expertscope::report {

/// The mean negative log-likelihood of recorded tokens.
struct RecordedLikelihood {
  std::int64_t tokens = 0;  ///< with a log-probability, and not generated
  double nll_mean = 0;      ///< nats
};

/// Everything the report says about one run.
struct RunData {
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
};
Result<RunData> collect(const TraceReader& trace, std::int64_t run);

/// Mean over tokens of |selected before and after| / |selected before| in one layer (router saturation of
/// OLMoE, arXiv 2409.02060, between two policies instead of two checkpoints).
struct LayerOverlap {
  int layer = 0;
  double overlap = 0;
};

/// A run against the run before its edits.
struct Effect {
  std::vector<std::string> warnings;  ///< why the two are not, or not fully, comparable
  bool same_shape = false;            ///< layers and experts agree, so that loads can be compared
  std::int64_t common_tokens = 0;     ///< both traces hold the same tokens up to here
  std::vector<LayerOverlap> overlap;  ///< over the common tokens; empty without
  std::int64_t scored_tokens = 0;     ///< common tokens with a log-probability in both
  double nll_before = 0;              ///< nats, over scored_tokens
  double nll_after = 0;

  /// Mean of ln p before - ln p after of those tokens.
  double log_prob_difference() const { return nll_after - nll_before; }
};
Result<Effect> compare(const TraceReader& before_trace, const RunData& before, const TraceReader& after_trace,
                       const RunData& after);

}  // namespace expertscope::report
