// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "probes/analysis/analysis.h"
#include "probes/analysis/run_data.h"
#include "tests/probes/synthetic.h"

namespace expertscope::testing {

/// The recording of tests/data/golden/analyses.json as a trace, and what NumPy found in it.
class PlantedTrace {
 public:
  PlantedTrace();

  const nlohmann::json& golden() const { return golden_; }
  RunData& data() const { return *data_; }
  /// Runs an analysis with options as words; a failure ends in an empty result.
  AnalysisResult run(const std::string& analysis,
                     const std::vector<std::pair<std::string, std::string>>& options = {},
                     const TokenRange& range = {});

 private:
  void record();

  TemporaryFolder folder_;
  nlohmann::json golden_;
  std::unique_ptr<TraceReader> reader_;
  std::unique_ptr<RunData> data_;
};

/// Whether a table has these rows: golden columns are named, in their order. Numbers agree to 1e-9 of
/// themselves.
void expect_rows(const Table& table, const nlohmann::json& rows, const std::vector<std::string>& columns);

}  // namespace expertscope::testing
