// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/analysis/analysis_cache.h"

#include <algorithm>
#include <utility>

#include "probes/analysis/export.h"
#include "probes/analysis/run_data.h"

namespace expertscope {
namespace {

std::string options_key(const Analysis& analysis, const Options& options) {
  AnalysisResult asked;
  asked.id = analysis.id;
  asked.options = complete(analysis, options);
  return to_json(asked);
}

bool same(const TokenRange& a, const TokenRange& b) {
  return a.begin == b.begin && a.end == b.end;
}

std::size_t bytes_of(const AnalysisResult& result) {
  std::size_t bytes = result.state_bytes;
  for (const Table& table : result.tables) {
    for (const Column& column : table.columns)
      bytes += column.bytes();
  }
  return bytes;
}

}  // namespace

Result<std::shared_ptr<const AnalysisResult>> AnalysisCache::get(const Analysis& analysis, RunData& data,
                                                                 const TokenRange& range,
                                                                 const Options& options,
                                                                 const std::stop_token& stop) {
  Entry entry{data.info().id, range, data.covered(range), options_key(analysis, options), data.domain(),
              nullptr,        0};
  const auto known = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& other) {
    return other.run == entry.run && same(other.asked, entry.asked) && other.options == entry.options &&
           other.domain == entry.domain;
  });
  if (known != entries_.end() && same(known->covered, entry.covered) && data.baseline() == nullptr) {
    entries_.splice(entries_.begin(), entries_, known);
    return known->result;
  }
  const bool grown = known != entries_.end() && known->covered.begin == entry.covered.begin &&
                     known->covered.end < entry.covered.end;
  const TokenRange later{grown ? known->covered.end : 0, entry.covered.end};
  auto result = grown && analysis.extend ? analysis.extend(data, *known->result, later, stop)
                                         : run_analysis(analysis, data, range, options, stop);
  if (!result) return forward_error(result);
  entry.result = std::make_shared<const AnalysisResult>(std::move(*result));
  entry.bytes = bytes_of(*entry.result);
  const auto answer = entry.result;
  if (known != entries_.end()) entries_.erase(known);
  keep(std::move(entry));
  return answer;
}

void AnalysisCache::keep(Entry entry) {
  entries_.push_front(std::move(entry));
  std::size_t bytes = 0;
  const auto too_much = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& each) {
    bytes += each.bytes;
    return bytes > most_bytes_;
  });
  entries_.erase(too_much, entries_.end());
}

}  // namespace expertscope
