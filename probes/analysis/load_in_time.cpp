// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/analysis/analysis.h"
#include "probes/analysis/expert_use.h"
#include "probes/analysis/run_data.h"

namespace expertscope {
namespace {

Table empty_table() {
  constexpr auto kInteger = ColumnType::integer;
  return {
      "time",
      "Load in time",
      TableKey::token_range,
      {{"first_token", "from token", kInteger, "token index", "First run token index of the part."},
       {"end_token", "to", kInteger, "token index", "The one behind its last."},
       {"share", "share", ColumnType::number, "share", "Of the part's tokens, those routed to the expert."}}};
}

Result<AnalysisResult> run(RunData& data, const TokenRange& range, const Options& options,
                           const std::stop_token& stop) {
  auto asked = ask_for_expert(data, range, options);
  if (!asked) return forward_error(asked);
  ExpertUseQuery& query = *asked;
  query.bins = static_cast<std::size_t>(options.integer("bins"));
  const auto use = read_expert_use(data.reader(), data.info().id, query, stop);
  if (!use) return forward_error(use);
  AnalysisResult result;
  Table& table = result.tables.emplace_back(empty_table());
  const std::size_t bins = use->load_in_time.size();
  for (std::size_t bin = 0; bin < bins; ++bin) {
    table.add_row(bin_begin(query.covered, bins, bin), bin_begin(query.covered, bins, bin + 1),
                  static_cast<double>(use->load_in_time[bin]));
  }
  return result;
}

}  // namespace

Analysis load_in_time_analysis() {
  constexpr auto kInteger = ColumnType::integer;
  return {"load-in-time",
          "Load of an expert in the course of a run",
          "The run in parts of as many tokens, as far as they divide; share: tokens of a part that were "
          "routed to "
          "the expert / tokens of the part.",
          "",
          {Input::selections},
          {{"layer", kInteger, std::int64_t{0}, "The layer.", 0, 1e6},
           {"expert", kInteger, std::int64_t{0}, "The expert; -1: the shared one.", -1, 1e6},
           {"bins", kInteger, std::int64_t{64}, "Parts of the run.", 1, 100000}},
          {empty_table()},
          run};
}

}  // namespace expertscope
