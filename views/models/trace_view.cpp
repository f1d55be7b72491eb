// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/models/trace_view.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "probes/analysis/expert_use.h"
#include "probes/analysis/run_data.h"

namespace expertscope {
namespace {

constexpr std::size_t kTimeBins = 64;
constexpr std::size_t kTopTokens = 12;

bool same_range(const TokenRange& a, const TokenRange& b) {
  return a.begin == b.begin && a.end == b.end;
}

Result<std::shared_ptr<const RunSnapshot>> read_snapshot(const TraceReader& reader, RunData& data,
                                                         const TokenRange& range) {
  auto snapshot = std::make_shared<RunSnapshot>();
  const RunInfo& run = data.info();
  snapshot->run = run;
  auto domains = data.domains();
  if (!domains) return forward_error(domains);
  snapshot->domains = std::move(*domains);
  auto changes = reader.policy_changes(run.id);
  if (!changes) return forward_error(changes);
  snapshot->policy_changes = std::move(*changes);
  const auto table = data.expert_table(range);
  if (!table) return forward_error(table);
  snapshot->table = **table;
  auto layers = reader.layer_stats(run.id);
  if (!layers) return forward_error(layers);
  snapshot->load = analyze_load(snapshot->table);
  snapshot->super_experts = analyze_super_experts(snapshot->table);
  snapshot->entropy = analyze_entropy(*layers, run);
  snapshot->attention = analyze_attention(*layers);
  return snapshot;
}

/// The last page ends with the last token that counts.
TokenRange page_range(const RunInfo& run, std::int64_t page, const CountedTokens* counted) {
  std::int64_t end = run.tokens;
  while (page < 0 && end > 0 && !counts(counted, end - 1))
    --end;
  const std::int64_t begin = page >= 0 ? page : std::max<std::int64_t>(0, end - kPageTokens);
  return {begin, page < 0 ? std::max(begin, end) : begin + kPageTokens};
}

/// The tokens of the page; of a growing run only those that are new are read.
Result<std::shared_ptr<const TokenPage>> read_page(const TraceReader& reader, const RunInfo& run,
                                                   const TokenRange& range, const TokenPage* previous) {
  auto page = std::make_shared<TokenPage>();
  page->total = run.tokens;
  std::int64_t begin = range.begin;
  if (previous != nullptr) {
    for (const TokenRow& token : previous->tokens) {
      if (token.index >= range.begin && token.index < range.end) page->tokens.push_back(token);
    }
    if (!page->tokens.empty() && page->tokens.front().index == range.begin) {
      begin = page->tokens.back().index + 1;
    } else {
      page->tokens.clear();
    }
  }
  auto rest = reader.tokens(run.id, {begin, range.end});
  if (!rest) return forward_error(rest);
  page->tokens.insert(page->tokens.end(), std::make_move_iterator(rest->begin()),
                      std::make_move_iterator(rest->end()));
  return page;
}

/// When and for what the expert runs, and its weights of the page's tokens. A layer that fits into memory is
/// read once for all its experts.
Result<ExpertUse> read_use(const TraceReader& reader, const RunInfo& run, const ExpertUseQuery& query,
                           ExpertDetail& detail, std::shared_ptr<const LayerUse>& layer_use) {
  const auto on_page = [&detail, &query](const UsedSlot& used) {
    if (!counts(query.counted, used.token)) return;
    const std::int64_t at = used.token - detail.first_token;
    if (at >= 0 && at < static_cast<std::int64_t>(detail.weights.size())) detail.weights[at] += used.weight;
  };
  if (query.expert == kSharedExpert || !LayerUse::fits(run))
    return read_expert_use(reader, run.id, query, {}, on_page);
  auto layer = LayerUse::read(reader, run, query.layer, layer_use, {});
  if (!layer) return forward_error(layer);
  layer_use = std::move(*layer);
  const std::vector<UsedSlot> slots = layer_use->of(query.expert, query.covered);
  std::for_each(slots.begin(), slots.end(), on_page);
  return add_up(slots, query);
}

Status read_slots(const TraceReader& reader, const RunInfo& run, std::size_t page_tokens,
                  const CountedTokens* counted, ExpertDetail& detail,
                  std::shared_ptr<const LayerUse>& layer_use) {
  detail.weights.assign(page_tokens, 0.0f);
  ExpertUseQuery query;
  query.layer = detail.cell.layer;
  query.expert = detail.cell.expert;
  query.covered = detail.covered;
  query.counted = counted;
  query.bins = detail.cell.is_shared() ? 0 : kTimeBins;
  query.most_tokens = kTopTokens;
  auto use = read_use(reader, run, query, detail, layer_use);
  if (!use) return forward_error(use);
  detail.load_in_time = std::move(use->load_in_time);
  for (const UsedSlot& used : use->top) {
    auto context = token_context(reader, run.id, used.token);
    if (!context) return forward_error(context);
    const auto slot = read_slot(reader, run.id, query.layer, query.expert, used.token);
    if (!slot) return forward_error(slot);
    detail.top.push_back({used.token, *slot, std::move(context->before), std::move(context->bytes),
                          std::move(context->after)});
  }
  return {};
}

Result<std::shared_ptr<const ExpertDetail>> read_expert(const TraceReader& reader, const TraceQuery& query,
                                                        const RunSnapshot& snapshot, const TokenPage& page,
                                                        const CountedTokens* counted,
                                                        std::shared_ptr<const LayerUse>& layer_use) {
  const auto load = std::find_if(snapshot.load.layers.begin(), snapshot.load.layers.end(),
                                 [&](const LayerLoad& layer) { return layer.layer == query.cell.layer; });
  const bool there = load != snapshot.load.layers.end() && query.cell.expert < snapshot.table.experts &&
                     query.cell.expert >= snapshot.table.first_expert(query.cell.layer);
  if (!there) {
    return std::shared_ptr<const ExpertDetail>();
  }
  auto detail = std::make_shared<ExpertDetail>();
  detail->cell = query.cell;
  detail->stats = snapshot.table.at(query.cell.layer, query.cell.expert);
  if (!query.cell.is_shared()) {
    detail->share = load->share[query.cell.expert];
    detail->experts = static_cast<int>(load->count.size());
    LoadRank rank = rank_in_layer(*load, query.cell.expert);
    detail->rank = rank.rank;
    detail->neighbours = std::move(rank.neighbours);
  }
  detail->first_token = page.tokens.empty() ? 0 : page.tokens.front().index;
  detail->covered = {std::clamp<std::int64_t>(query.range.begin, 0, snapshot.run.tokens),
                     std::clamp<std::int64_t>(query.range.end, 0, snapshot.run.tokens)};
  const std::int64_t run = snapshot.run.id;
  if (detail->covered.end > detail->covered.begin) {
    if (const auto read = read_slots(reader, snapshot.run, page.tokens.size(), counted, *detail, layer_use);
        !read)
      return forward_error(read);
  }
  if (const std::int64_t token = detail->stats.output_token; token >= 0) {
    const auto rows = reader.tokens(run, {token, token + 1});
    if (rows && !rows->empty()) detail->output_token_bytes = rows->front().bytes;
  }
  return detail;
}

Result<std::shared_ptr<const TokenDetail>> read_token(const TraceReader& reader, std::int64_t run,
                                                      std::int64_t token) {
  const auto rows = reader.tokens(run, {token, token + 1});
  if (!rows) return forward_error(rows);
  if (rows->empty()) return std::shared_ptr<const TokenDetail>();
  auto slots = reader.token_slots(run, token);
  if (!slots) return forward_error(slots);
  auto detail = std::make_shared<TokenDetail>();
  detail->token = rows->front();
  detail->slots = std::move(*slots);
  return detail;
}

const RunInfo* find_run(const std::vector<RunInfo>& runs, std::int64_t id) {
  if (id == 0) return runs.empty() ? nullptr : &runs.front();
  const auto at = std::find_if(runs.begin(), runs.end(), [id](const RunInfo& run) { return run.id == id; });
  return at == runs.end() ? nullptr : &*at;
}

/// True when a run cannot have changed since `previous` was read.
bool is_settled(const RunInfo& run, const TraceView* previous) {
  return previous != nullptr && previous->run != nullptr && previous->run->run.id == run.id &&
         previous->run->run.tokens == run.tokens && previous->run->run.status == run.status;
}

/// A run is no baseline of itself: its difference is nothing.
Status read_baseline(const TraceReader& reader, TraceView& view, const TraceView* previous) {
  const std::int64_t wanted = view.query.baseline;
  if (wanted == 0 || wanted == view.run->run.id) return {};
  const RunInfo* run = find_run(*view.runs, wanted);
  if (run == nullptr) return {};
  if (previous != nullptr && previous->baseline != nullptr && previous->query.baseline == wanted &&
      previous->query.domain == view.query.domain) {
    const RunInfo* before = find_run(*previous->runs, wanted);
    if (before != nullptr && before->tokens == run->tokens && before->status == run->status)
      view.baseline = previous->baseline;
  }
  if (!view.baseline) {
    RunData data(reader, *run);
    if (auto status = data.set_domain(view.query.domain); !status) return status;
    auto table = data.expert_table({});
    if (!table) return forward_error(table);
    view.baseline = *table;
  } else if (view.run == previous->run) {
    view.differences = previous->differences;
    return {};
  }
  auto differences = run_differences(reader, *run, reader, view.run->run);
  if (!differences) return forward_error(differences);
  view.differences = std::move(*differences);
  return {};
}

}  // namespace

std::vector<Cell> super_cells(const RunSnapshot& run) {
  std::vector<Cell> cells;
  for (const SuperExpert& expert : run.super_experts.super_experts) {
    cells.push_back({expert.layer, expert.expert});
  }
  return cells;
}

Result<TraceView> read_trace_view(const TraceReader& reader, const TraceQuery& query,
                                  const TraceView* previous) {
  const TraceReader::Snapshot one_state(reader);
  auto runs = reader.runs();
  if (!runs) return forward_error(runs);
  std::sort(runs->begin(), runs->end(), [](const RunInfo& a, const RunInfo& b) { return a.id > b.id; });
  TraceView view;
  view.query = query;
  view.runs = std::make_shared<const std::vector<RunInfo>>(std::move(*runs));
  const RunInfo* run = find_run(*view.runs, query.run);
  if (run == nullptr) return view;

  const bool settled = is_settled(*run, previous);
  const bool same_domain = settled && previous->query.domain == query.domain;
  const bool same_filter = same_domain && same_range(previous->query.range, query.range);
  if (same_filter) {
    view.run = previous->run;
    view.counted = previous->counted;
  } else {
    RunData data(reader, *run);
    if (auto status = data.set_domain(query.domain); !status) return forward_error(status);
    view.counted = data.shared_counted();
    auto snapshot = read_snapshot(reader, data, query.range);
    if (!snapshot) return forward_error(snapshot);
    view.run = std::move(*snapshot);
  }
  const bool same_page = same_domain && previous->query.page == query.page;
  if (same_page) {
    view.tokens = previous->tokens;
  } else {
    const bool same_run = previous != nullptr && previous->run != nullptr && previous->run->run.id == run->id;
    auto page = read_page(reader, *run, page_range(*run, query.page, view.counted.get()),
                          same_run ? previous->tokens.get() : nullptr);
    if (!page) return forward_error(page);
    view.tokens = std::move(*page);
  }
  if (previous != nullptr) view.layer_use = previous->layer_use;
  if (query.cell.valid()) {
    if (same_filter && same_page && previous->expert != nullptr && previous->expert->cell == query.cell) {
      view.expert = previous->expert;
    } else {
      auto expert = read_expert(reader, query, *view.run, *view.tokens, view.counted.get(), view.layer_use);
      if (!expert) return forward_error(expert);
      view.expert = std::move(*expert);
    }
  }
  if (query.token >= 0) {
    auto token = read_token(reader, run->id, query.token);
    if (!token) return forward_error(token);
    view.token = std::move(*token);
  }
  if (const auto baseline = read_baseline(reader, view, previous); !baseline) return forward_error(baseline);
  return view;
}

}  // namespace expertscope
