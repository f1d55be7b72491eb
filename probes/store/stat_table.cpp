// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/store/stat_table.h"

#include <algorithm>
#include <iterator>

#include "probes/store/schema.h"

namespace expertscope {
namespace {

using E = ExpertStats;
using L = LayerStats;
using P = CaptureRequest;
using S = LayerColumns;
using K = StatKind;

template <class Stats, std::int64_t Stats::*Member, std::int64_t Least>
bool at_least(const Stats& stats) {
  return stats.*Member >= Least;
}
constexpr auto kAnyOutput = at_least<E, &E::output_token, 0>;
constexpr auto kAnyFirstRow = at_least<E, &E::first_row_token, 0>;
constexpr auto kAnyEntropy = at_least<L, &L::entropy_tokens, 1>;
constexpr auto kAnyHidden = at_least<L, &L::hidden_token, 0>;
constexpr auto kAnyAttention = at_least<L, &L::attention_tokens, 1>;

// A token has at most as many slots as there are experts.
std::int64_t slots_of(const RunInfo& run) {
  return run.tokens * std::max(run.experts, 1);
}
// Half of what can be counted, so that hits and misses of all layers can be added up.
constexpr std::int64_t kMostCached = std::numeric_limits<std::int64_t>::max() / kMaxLayers / 2;
std::int64_t cached_of(const RunInfo& run) {
  return std::min(kMostCached, slots_of(run));
}
std::int64_t bytes_of(const RunInfo&) {
  return kMostCached;
}

const StatColumn<E> kExpertColumns[] = {
    {"count",
     K::count,
     &E::count,
     "slots the expert ran in, tokens of a shared expert; 0: never used",
     {},
     {},
     nullptr,
     slots_of},
    {"probability_sum",
     K::sum,
     &E::probability_sum,
     "scores at selection: the router's softmax probabilities, or sigmoids",
     {&P::routing},
     {&S::probability}},
    {"weight_sum", K::sum, &E::weight_sum, "combine weights applied", {&P::routing}, {&S::weight}},
    {"norm_sum", K::sum, &E::norm_sum, "of the L2 norms of f_e", {&P::expert_output}, {&S::output_norm}},
    {"weighted_norm_sum",
     K::sum,
     &E::weighted_norm_sum,
     "of combine weight x norm (its mean over count is REAP with applied weights)",
     {&P::routing, &P::expert_output},
     {&S::weight, &S::output_norm}},
    {"output_max",
     K::peak,
     &E::output_max,
     "largest absolute value in any f_e",
     {&P::expert_output},
     {},
     kAnyOutput},
    {"output_channel", K::channel, &E::output_channel, "its channel", {&P::expert_output}, {}, kAnyOutput},
    {"output_token", K::token, &E::output_token, "its run token index", {&P::expert_output}, {}, kAnyOutput},
    {"first_row_max",
     K::peak,
     &E::first_row_max,
     "the same over the first token routed to the expert in each sequence only",
     {&P::expert_output},
     {},
     kAnyFirstRow},
    {"first_row_channel",
     K::channel,
     &E::first_row_channel,
     "its channel",
     {&P::expert_output},
     {},
     kAnyFirstRow},
    {"first_row_token",
     K::token,
     &E::first_row_token,
     "its run token index",
     {&P::expert_output},
     {},
     kAnyFirstRow},
};

const StatColumn<L> kLayerColumns[] = {
    {"entropy_tokens",
     K::count,
     &L::entropy_tokens,
     "tokens with an entropy; 0 in a dense layer",
     {&P::entropy}},
    {"entropy_sum",
     K::sum,
     &L::entropy_sum,
     "nats, of the router's scores before any edit: of the softmax over all experts, or of sigmoids divided "
     "by their sum",
     {&P::entropy},
     {},
     kAnyEntropy},
    {"entropy_min", K::extreme, &L::entropy_min, "the smallest", {&P::entropy}, {}, kAnyEntropy},
    {"entropy_max", K::extreme, &L::entropy_max, "the largest", {&P::entropy}, {}, kAnyEntropy},
    {"hidden_max",
     K::peak,
     &L::hidden_max,
     "largest absolute value of the hidden state after the layer",
     {&P::hidden},
     {},
     kAnyHidden},
    {"hidden_channel", K::channel, &L::hidden_channel, "its channel", {&P::hidden}, {}, kAnyHidden},
    {"hidden_token", K::token, &L::hidden_token, "its run token index", {&P::hidden}, {}, kAnyHidden},
    {"attention_tokens",
     K::count,
     &L::attention_tokens,
     "tokens with an attention mass on position 0",
     {&P::attention}},
    {"attention_sum",
     K::sum,
     &L::attention_sum,
     "of that mass: the softmax weight of the sequence's first position, mean over the query heads, 0 .. 1",
     {&P::attention},
     {},
     kAnyAttention},
    {"attention_min", K::extreme, &L::attention_min, "the smallest", {&P::attention}, {}, kAnyAttention},
    {"attention_max", K::extreme, &L::attention_max, "the largest", {&P::attention}, {}, kAnyAttention},
    {"cache_hits",
     K::count,
     &CacheStats::hits,
     "selections of an expert that was on the device; NULL: the backend held all experts",
     {},
     {},
     nullptr,
     cached_of},
    {"cache_misses",
     K::count,
     &CacheStats::misses,
     "selections of an expert that was not",
     {},
     {},
     nullptr,
     cached_of},
    {"cache_bytes",
     K::count,
     &CacheStats::bytes,
     "bytes of experts read from the host",
     {},
     {},
     nullptr,
     bytes_of},
};

StatTable<E> make_shared_table() {
  StatTable<E> table{"shared_expert_stats", {"run", "layer"}, 2, {}, {}};
  std::copy_if(std::begin(kExpertColumns), std::end(kExpertColumns), std::back_inserter(table.columns),
               [](const StatColumn<E>& column) { return !column.routed(); });
  return table;
}

}  // namespace

const StatTable<ExpertStats>& expert_stats_table() {
  static const auto table = finished<E>({"expert_stats",
                                         {"run", "layer", "expert"},
                                         3,
                                         {std::begin(kExpertColumns), std::end(kExpertColumns)},
                                         {}});
  return table;
}
const StatTable<ExpertStats>& shared_expert_stats_table() {
  static const auto table = finished(make_shared_table());
  return table;
}
const StatTable<LayerStats>& layer_stats_table() {
  static const auto table = finished<L>(
      {"layer_stats", {"run", "layer", "moe"}, 2, {std::begin(kLayerColumns), std::end(kLayerColumns)}, {}});
  return table;
}

}  // namespace expertscope
