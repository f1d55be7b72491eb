// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/error.h"
#include "engine/run/session.h"
#include "probes/measure/divergence.h"
#include "probes/report/report.h"
#include "probes/store/trace_reader.h"

namespace expertscope {

/// What it takes, besides the model, to measure KL between two recorded runs: a trace holds the
/// log-probability of every token that came, and KL needs the whole distributions, so the tokens run again.
struct Replay {
  RunInfo before;  ///< the baseline
  RunInfo after;
  std::vector<std::vector<std::int32_t>> sequences;  ///< the baseline's tokens, in the order of their start
  std::int64_t tokens = 0;                           ///< in all sequences
  int longest = 0;                                   ///< tokens of the longest sequence
  std::string policy_before;  ///< JSON, the last in force; empty: the model's own routing
  std::string policy_after;
};

/// Reads the first `most_tokens` tokens of the baseline (0: all) and the last policy of each run.
Result<Replay> read_replay(const TraceReader& baseline, std::int64_t baseline_run, const TraceReader& trace,
                           std::int64_t run, std::int64_t most_tokens = 0);

/// KL(baseline || run) of the distributions after every token of the replay, each sequence from an empty
/// cache. The session has two sequence slots of at least replay.longest tokens, and its model has to be the
/// one both runs were recorded with.
Result<ReportDivergence> replay_divergence(Session& session, const Replay& replay,
                                           const DivergenceProgress& progress = {},
                                           const std::stop_token& stop = {});

}  // namespace expertscope
