// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/error.h"
#include "probes/analysis/analysis.h"
#include "probes/analysis/layer_use.h"
#include "probes/analysis/run_data.h"
#include "probes/report/run_differences.h"
#include "probes/store/run_info.h"
#include "probes/store/trace_reader.h"
#include "views/models/selection.h"

namespace expertscope {

/// What the views ask of a trace; made from a Selection.
struct TraceQuery {
  std::int64_t run = 0;       ///< 0: the newest
  std::int64_t baseline = 0;  ///< 0: none
  TokenRange range;           ///< time filter of the table and the expert's details
  std::string domain;         ///< whose tokens count in them; empty: all
  Cell cell;                  ///< expert to look at; invalid: none
  std::int64_t token = -1;    ///< token to look at; -1: none
  std::int64_t page = -1;     ///< first token of the strip; -1: the last kPageTokens
};

/// The strip shows at most this many tokens at once.
inline constexpr std::int64_t kPageTokens = 2000;

/// Everything about one run but its tokens.
struct RunSnapshot {
  RunInfo run;
  std::vector<PolicyChange> policy_changes;
  std::vector<std::string> domains;  ///< of its sequences, in alphabetical order
  ExpertTable table;                 ///< of the query's range and domain
  LoadResult load;
  SuperExpertResult super_experts;
  EntropyResult entropy;
  AttentionResult attention;
};

/// The super experts of a run, for the marks of a map.
std::vector<Cell> super_cells(const RunSnapshot& run);

/// The tokens of the strip.
struct TokenPage {
  std::int64_t total = 0;  ///< tokens of the run
  std::vector<TokenRow> tokens;
};

/// A token an expert ran for.
struct RoutedToken {
  std::int64_t token = 0;  ///< run token index
  SlotRow slot;
  std::string before;  ///< bytes of a few tokens before it, in the same sequence
  std::string bytes;
  std::string after;
};

/// One expert of one layer in one run. A shared expert has neither share nor rank, neighbours and load in
/// time, and its tokens are weighed by max |down_proj output|.
struct ExpertDetail {
  Cell cell;
  TokenRange covered;  ///< the tokens of the query's range that the run has
  ExpertStats stats;
  double share = 0;                 ///< of the layer's slots
  int rank = 0;                     ///< by load in its layer, from 1
  int experts = 0;                  ///< experts in the layer
  std::vector<float> load_in_time;  ///< share of the tokens routed to the expert, per bin of the range
  std::vector<RoutedToken> top;     ///< by combine weight, at most 12
  std::vector<int> neighbours;      ///< experts around it in the load ranking, itself included
  std::int64_t first_token = 0;     ///< run index of weights[0]
  std::vector<float> weights;       ///< combine weight per token of the strip; 0 where not routed here
  std::string output_token_bytes;   ///< what the token of stats.output_max stands for
};

/// What one token did in every MoE layer.
struct TokenDetail {
  TokenRow token;
  std::vector<SlotRow> slots;
};

/// One consistent answer. Parts are shared: a part that did not change is the same object as before.
struct TraceView {
  TraceQuery query;
  std::shared_ptr<const std::vector<RunInfo>> runs;  ///< newest first; never null
  std::shared_ptr<const RunSnapshot> run;            ///< null: the trace has no run
  std::shared_ptr<const CountedTokens> counted;      ///< tokens of the query's domain; null: all
  std::shared_ptr<const ExpertTable> baseline;       ///< null: none
  std::vector<RunDifference> differences;      ///< what makes the baseline another run than by its edits
  std::shared_ptr<const TokenPage> tokens;     ///< null: no run
  std::shared_ptr<const ExpertDetail> expert;  ///< null: none asked for, or not in this run
  std::shared_ptr<const TokenDetail> token;    ///< null: none asked for
  std::shared_ptr<const LayerUse>
      layer_use;  ///< of the cell's layer, for the next one; null: none, or too large
};

/// Reads what the query asks for; blocking, for a worker. `previous` (may be null) lends the parts of a
/// finished run that cannot have changed.
Result<TraceView> read_trace_view(const TraceReader& reader, const TraceQuery& query,
                                  const TraceView* previous);

}  // namespace expertscope
