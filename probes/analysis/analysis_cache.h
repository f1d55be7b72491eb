// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <stop_token>
#include <string>

#include "engine/error.h"
#include "probes/analysis/analysis.h"

namespace expertscope {

/// Results of analyses of one trace, by run, range, analysis and options. A run that has grown is computed
/// again, or, where the analysis can say how, only its new tokens are. The results used longest ago go when
/// all together take too much memory. One thread at a time.
class AnalysisCache {
 public:
  explicit AnalysisCache(std::size_t most_bytes = std::size_t{256} << 20) : most_bytes_(most_bytes) {}

  /// As run_analysis(); what was stopped or failed is not kept.
  Result<std::shared_ptr<const AnalysisResult>> get(const Analysis& analysis, RunData& data,
                                                    const TokenRange& range, const Options& options,
                                                    const std::stop_token& stop = {});

 private:
  struct Entry {
    std::int64_t run = 0;
    TokenRange asked;
    TokenRange covered;   ///< of these, the tokens that the run had
    std::string options;  ///< and the analysis, as JSON
    std::string domain;   ///< whose tokens counted
    std::shared_ptr<const AnalysisResult> result;
    std::size_t bytes = 0;
  };
  void keep(Entry entry);

  std::size_t most_bytes_;
  std::list<Entry> entries_;  ///< the one used last first
};

}  // namespace expertscope
