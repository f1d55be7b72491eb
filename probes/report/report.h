// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "engine/error.h"
#include "probes/store/trace_reader.h"

namespace expertscope {

/// What an intervention did, measured by the caller on the same text, prompt and seed.
struct ReportComparison {
  std::string text_name;
  std::optional<double> perplexity_before;
  std::optional<double> perplexity_after;
  std::string protocol;
  std::optional<double> kl_mean;  ///< mean over tokens of KL(before || after), nats
  std::string prompt;
  std::string text_before;
  std::string text_after;
  std::int64_t kl_tokens = 0;    ///< tokens of kl_mean: of the prompt and of `text_before`
  std::string policy_json = {};  ///< the edits of "after"; empty: the model's own routing
};

/// KL between two recorded runs, measured by running the baseline's tokens again with the model: see
/// replay.h.
struct ReportDivergence {
  double kl_mean = 0;          ///< mean over tokens of KL(baseline || run), nats
  std::int64_t tokens = 0;     ///< tokens it was measured on, the baseline's first ones
  std::int64_t of_tokens = 0;  ///< tokens of the baseline
  std::string backend;         ///< Session::backend_description()
};

struct ReportOptions {
  std::int64_t run = 0;           ///< 0: the newest run of the trace
  std::int64_t baseline_run = 0;  ///< of the baseline; 0: as choose_baseline_run does
  std::optional<ReportComparison> comparison;
  std::optional<ReportDivergence> divergence;  ///< with a baseline only
};

/// The run of `baseline` to compare `run` of `trace` with: `wanted`, or for 0 the newest; where both are the
/// same file, the newest that came before `run`. A run is refused as its own baseline. The error lists the
/// runs there are.
Result<std::int64_t> choose_baseline_run(const TraceReader& baseline, std::int64_t wanted,
                                         const TraceReader& trace, std::int64_t run);

/// One self-contained HTML page (no network, no script needed to read it): identity, load heatmap,
/// super-expert table and plot, entropy per layer, policy and its effect, definitions with sources, and all
/// numbers as embedded JSON. `baseline` is a trace, the same or another (or null), with the run of the same
/// data before the edits.
Result<std::string> make_report(const TraceReader& trace, const TraceReader* baseline,
                                const ReportOptions& options = {});

}  // namespace expertscope
