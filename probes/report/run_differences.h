// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <string>
#include <vector>

#include "engine/error.h"
#include "probes/store/trace_reader.h"

namespace expertscope {

/// Why the numbers of two runs are not, or not fully, comparable.
struct RunDifference {
  std::string what;    ///< in a word or two: "model", "prompt"
  std::string detail;  ///< in a sentence, with both values
};

/// What two runs differ in besides their edits: model, weights, kind, data or prompt, arithmetic, sampling,
/// length, tokens that were dropped. Empty: their numbers can be compared.
std::vector<RunDifference> run_differences(const RunInfo& before, const RunInfo& after);

/// The same, and whether runs of the same data read the same tokens: a chat template, another tokenizer or
/// other windows over the data change them. Looks at the first 4,096 tokens.
Result<std::vector<RunDifference>> run_differences(const TraceReader& before_trace, const RunInfo& before,
                                                   const TraceReader& after_trace, const RunInfo& after);

}  // namespace expertscope
