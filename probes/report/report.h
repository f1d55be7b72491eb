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
};

struct ReportOptions {
  std::int64_t run = 0;  ///< 0: the newest run of the trace
  std::optional<ReportComparison> comparison;
};

/// One self-contained HTML page (no network, no script needed to read it): identity, load heatmap,
/// super-expert table and plot, entropy per layer, policy and its effect, definitions with sources, and all
/// numbers as embedded JSON. `baseline` is another trace (or null): the run with the same data before the
/// edits; its newest run is used.
Result<std::string> make_report(const TraceReader& trace, const TraceReader* baseline,
                                const ReportOptions& options = {});

/// Writes text to a file through a temporary in the same folder; the error names the file.
Status write_file(const std::filesystem::path& file, const std::string& text);

}  // namespace expertscope
