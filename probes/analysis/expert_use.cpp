// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/analysis/expert_use.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "probes/analysis/analysis.h"
#include "probes/analysis/run_data.h"

namespace expertscope {
namespace {

bool heavier(const UsedSlot& a, const UsedSlot& b) {
  return a.weight != b.weight ? a.weight > b.weight : a.token < b.token;
}

std::int64_t bin_of(const TokenRange& covered, std::size_t bins, std::int64_t token) {
  return (token - covered.begin) * static_cast<std::int64_t>(bins) / (covered.end - covered.begin);
}

/// Takes slots one after the other.
class Collector {
 public:
  explicit Collector(const ExpertUseQuery& query) : query_(query) {
    const std::int64_t tokens = std::max<std::int64_t>(query.covered.end - query.covered.begin, 0);
    use_.load_in_time.assign(std::min(query.bins, static_cast<std::size_t>(tokens)), 0.0f);
  }

  void add(const UsedSlot& slot) {
    if (!counts(query_.counted, slot.token)) return;
    const std::size_t bins = use_.load_in_time.size();
    if (bins > 0) use_.load_in_time[bin_of(query_.covered, bins, slot.token)] += 1.0f;
    keep_if_heavy(slot);
  }

  /// Counts become shares of the tokens of each bin; the heaviest come first.
  ExpertUse finish() {
    const std::size_t bins = use_.load_in_time.size();
    for (std::size_t bin = 0; bin < bins; ++bin) {
      std::int64_t tokens = 0;
      const std::int64_t end = bin_begin(query_.covered, bins, bin + 1);
      for (std::int64_t token = bin_begin(query_.covered, bins, bin); token < end; ++token)
        tokens += counts(query_.counted, token) ? 1 : 0;
      // A part of which no token counts has no slot either.
      use_.load_in_time[bin] /= static_cast<float>(std::max<std::int64_t>(tokens, 1));
    }
    std::sort(use_.top.begin(), use_.top.end(), heavier);
    return std::move(use_);
  }

 private:
  /// A heap whose front is the lightest.
  void keep_if_heavy(const UsedSlot& slot) {
    auto& top = use_.top;
    const std::size_t most = query_.most_tokens;
    if (most == 0 || (top.size() == most && !heavier(slot, top.front()))) return;
    top.push_back(slot);
    std::push_heap(top.begin(), top.end(), heavier);
    if (top.size() <= most) return;
    std::pop_heap(top.begin(), top.end(), heavier);
    top.pop_back();
  }

  const ExpertUseQuery& query_;
  ExpertUse use_;
};

/// Gives every slot of the expert to `take`, which returns false to stop.
Status visit_used(const TraceReader& reader, std::int64_t run, const ExpertUseQuery& query,
                  const std::function<bool(const UsedSlot&)>& take) {
  if (query.expert == kSharedExpert) {
    const auto of_shared = [&](std::int64_t token, const SlotRow& slot) {
      return take({token, slot.output_max});
    };
    return reader.visit_expert(run, query.layer, query.expert, query.covered, of_shared);
  }
  const auto of_block = [&](const SlotBlock& slots) {
    for (std::size_t at = 0; at < slots.expert.size(); ++at) {
      if (slots.expert[at] != query.expert) continue;
      const std::int64_t token = slots.first_token + static_cast<std::int64_t>(at) / slots.slots;
      if (!take({token, slots.weight.empty() ? 0.0f : slots.weight[at]})) return false;
    }
    return true;
  };
  return reader.visit_slots(run, query.layer, query.covered, SlotWeights::with, of_block);
}

}  // namespace

Result<ExpertUseQuery> ask_for_expert(const RunData& data, const TokenRange& range, const Options& options) {
  const std::int64_t layer = options.integer("layer");
  const std::int64_t expert = options.integer("expert");
  if (auto there = data.check_expert(layer, expert); !there) return forward_error(there);
  ExpertUseQuery query;
  query.layer = static_cast<int>(layer);
  query.expert = static_cast<int>(expert);
  query.covered = data.covered(range);
  query.counted = data.counted();
  return query;
}

LoadRank rank_in_layer(const LayerLoad& load, int expert) {
  constexpr std::ptrdiff_t kNeighbours = 5;
  std::vector<int> order(load.count.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return load.count[a] > load.count[b]; });
  const auto at = std::find(order.begin(), order.end(), expert) - order.begin();
  LoadRank result;
  result.rank = static_cast<int>(at) + 1;
  const auto count = static_cast<std::ptrdiff_t>(order.size());
  const auto first =
      std::clamp<std::ptrdiff_t>(at - kNeighbours / 2, 0, std::max<std::ptrdiff_t>(0, count - kNeighbours));
  for (auto i = first; i < std::min(count, first + kNeighbours); ++i)
    result.neighbours.push_back(order[i]);
  return result;
}

std::int64_t bin_begin(const TokenRange& covered, std::size_t bins, std::size_t bin) {
  // The first token t with t * bins / tokens >= bin.
  const std::int64_t tokens = covered.end - covered.begin;
  const auto count = static_cast<std::int64_t>(bins);
  return covered.begin + (static_cast<std::int64_t>(bin) * tokens + count - 1) / count;
}

ExpertUse add_up(std::span<const UsedSlot> slots, const ExpertUseQuery& query) {
  Collector collector(query);
  for (const UsedSlot& slot : slots)
    collector.add(slot);
  return collector.finish();
}

Result<ExpertUse> read_expert_use(const TraceReader& reader, std::int64_t run, const ExpertUseQuery& query,
                                  const std::stop_token& stop,
                                  const std::function<void(const UsedSlot& slot)>& visit) {
  if (query.covered.end <= query.covered.begin) return ExpertUse{};
  Collector collector(query);
  const auto take = [&](const UsedSlot& slot) {
    collector.add(slot);
    if (visit && counts(query.counted, slot.token)) visit(slot);
    return !stop.stop_requested();
  };
  const auto status = visit_used(reader, run, query, take);
  if (!status) return forward_error(status);
  if (auto wanted = go_on(stop); !wanted) return forward_error(wanted);
  return collector.finish();
}

Result<SlotRow> read_slot(const TraceReader& reader, std::int64_t run, int layer, int expert,
                          std::int64_t token) {
  SlotRow found;
  const auto take = [&found](std::int64_t, const SlotRow& slot) {
    found = slot;
    return false;
  };
  const auto status = reader.visit_expert(run, layer, expert, {token, token + 1}, take);
  if (!status) return forward_error(status);
  return found;
}

}  // namespace expertscope
