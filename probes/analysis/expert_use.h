// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <stop_token>
#include <vector>

#include "engine/error.h"
#include "probes/analysis/results.h"
#include "probes/store/run_info.h"
#include "probes/store/trace_reader.h"

namespace expertscope {

/// Where an expert stands among those of its layer, by load.
struct LoadRank {
  int rank = 0;                 ///< from 1; of equal loads the lower expert comes first
  std::vector<int> neighbours;  ///< at most 5 experts around it in the ranking, itself included
};
/// `expert`: a routed one.
LoadRank rank_in_layer(const LayerLoad& load, int expert);

/// What is asked of an expert's slots.
struct ExpertUseQuery {
  int layer = 0;
  int expert = 0;               ///< or kSharedExpert
  TokenRange covered;           ///< tokens that the run has
  std::size_t bins = 0;         ///< of the load in time; at most one a token
  std::size_t most_tokens = 0;  ///< of the heaviest
  /// Tokens that count (RunData::counted); null: all.
  const std::vector<std::uint8_t>* counted = nullptr;
};

class RunData;
class Options;
/// What the options `layer` and `expert` ask for over a range; the error says what there is.
Result<ExpertUseQuery> ask_for_expert(const RunData& data, const TokenRange& range, const Options& options);

/// A slot of the expert, and what tokens are ranked by: the combine weight; of a shared expert, which has
/// none, max |output|.
struct UsedSlot {
  std::int64_t token = 0;  ///< run token index
  float weight = 0;
};

/// When and for what an expert runs.
struct ExpertUse {
  std::vector<float> load_in_time;  ///< [bins] share of the tokens of each equal part of the range
  std::vector<UsedSlot> top;        ///< by weight, the earlier token first of equal ones
};
/// First token of bin `bin` of `bins` over a range.
std::int64_t bin_begin(const TokenRange& covered, std::size_t bins, std::size_t bin);

/// Of slots of the expert, by token, all inside `query.covered`.
ExpertUse add_up(std::span<const UsedSlot> slots, const ExpertUseQuery& query);
/// The same of a trace, of which only what is asked for here is read: a layer's experts and weights. `visit`
/// sees every slot on the way; may be empty.
Result<ExpertUse> read_expert_use(const TraceReader& reader, std::int64_t run, const ExpertUseQuery& query,
                                  const std::stop_token& stop,
                                  const std::function<void(const UsedSlot& slot)>& visit = {});
/// All numbers of one slot.
Result<SlotRow> read_slot(const TraceReader& reader, std::int64_t run, int layer, int expert,
                          std::int64_t token);

}  // namespace expertscope
