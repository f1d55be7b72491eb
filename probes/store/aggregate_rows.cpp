// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/store/aggregate_rows.h"

#include <algorithm>
#include <string>

#include "probes/store/stat_table.h"

namespace expertscope {
namespace {

std::size_t index(std::int64_t value) {
  return static_cast<std::size_t>(value);
}

tl::unexpected<Error> damaged(const Database& database, const char* table, const RunInfo& run,
                              const std::string& what) {
  return fail(ErrorCode::format, "{}: damaged trace: {} of run {}{}", database.file().string(), table, run.id,
              what);
}

Status read_expert_row(const Database& database, const RunInfo& run, const Statement& row,
                       ExpertTable& table) {
  const std::int64_t layer = row.integer(0);
  const std::int64_t expert = row.integer(1);
  const bool exists = layer >= 0 && layer < run.layers && run.moe_layer[index(layer)] != 0 && expert >= 0 &&
                      expert < run.experts;
  if (!exists) {
    return damaged(database, "expert_stats", run, fmt::format(" names layer {}, expert {}", layer, expert));
  }
  if (expert_stats_table().read(row, run, table.at(static_cast<int>(layer), static_cast<int>(expert))))
    return {};
  return damaged(database, "expert_stats", run,
                 fmt::format(", layer {}, expert {}: a number is out of range", layer, expert));
}

Status read_shared_row(const Database& database, const RunInfo& run, const Statement& row,
                       ExpertTable& table) {
  const std::int64_t layer = row.integer(0);
  if (layer < 0 || layer >= run.layers || !table.has_shared(static_cast<int>(layer)))
    return damaged(database, "shared_expert_stats", run, fmt::format(" names layer {}", layer));
  ExpertStats& stats = table.at(static_cast<int>(layer), kSharedExpert);
  if (shared_expert_stats_table().read(row, run, stats) && stats.count <= run.tokens) return {};
  return damaged(database, "shared_expert_stats", run,
                 fmt::format(", layer {}: a number is out of range", layer));
}

Status read_shared_experts(const Database& database, const RunInfo& run, ExpertTable& table) {
  if (run.shared_layer.empty()) return {};
  auto query = database.prepare(shared_expert_stats_table().select_sql());
  if (!query) return forward_error(query);
  query->bind(1, run.id);
  return query->for_each_row(
      [&](const Statement& row) { return read_shared_row(database, run, row, table); });
}

Status read_layer_row(const Database& database, const RunInfo& run, const Statement& row,
                      std::vector<LayerStats>& layers) {
  const std::int64_t layer = row.integer(0);
  if (layer < 0 || layer >= run.layers) {
    return damaged(database, "layer_stats", run, fmt::format(" names layer {}", layer));
  }
  LayerStats& stats = layers[index(layer)];
  stats.tokens = run.tokens;
  if (layer_stats_table().read(row, run, stats)) return {};
  return damaged(database, "layer_stats", run, fmt::format(", layer {}: a number is out of range", layer));
}

}  // namespace

Result<ExpertTable> empty_expert_table(const Database& database, const RunInfo& run) {
  auto count = database.prepare("SELECT count(*) FROM expert_stats WHERE run = ?1");
  if (!count) return forward_error(count);
  count->bind(1, run.id);
  auto row = count->step();
  if (!row) return forward_error(row);
  const std::int64_t rows = *row ? count->integer(0) : 0;
  const std::int64_t moe_layers =
      std::count_if(run.moe_layer.begin(), run.moe_layer.end(), [](auto moe) { return moe != 0; });
  if (rows != moe_layers * run.experts) {
    return damaged(database, "expert_stats", run,
                   fmt::format(" has {} rows, not one for each of {} experts in {} layers", rows, run.experts,
                               moe_layers));
  }
  ExpertTable table;
  table.layers = run.layers;
  table.experts = run.experts;
  table.cells.resize(index(run.layers) * index(run.experts));
  table.moe_layer = run.moe_layer;
  table.shared_layer = run.shared_layer;
  table.shared.resize(run.shared_layer.size());
  return table;
}

Result<ExpertTable> read_expert_table(const Database& database, const RunInfo& run) {
  auto table = empty_expert_table(database, run);
  if (!table) return forward_error(table);
  table->tokens = run.tokens;
  auto query = database.prepare(expert_stats_table().select_sql());
  if (!query) return forward_error(query);
  query->bind(1, run.id);
  const auto status =
      query->for_each_row([&](const Statement& row) { return read_expert_row(database, run, row, *table); });
  if (!status) return forward_error(status);
  if (auto shared = read_shared_experts(database, run, *table); !shared) return forward_error(shared);
  return table;
}

Result<std::vector<LayerStats>> read_layer_stats(const Database& database, const RunInfo& run) {
  auto query = database.prepare(layer_stats_table().select_sql());
  if (!query) return forward_error(query);
  query->bind(1, run.id);
  std::vector<LayerStats> layers(index(run.layers));
  int rows = 0;
  const auto status = query->for_each_row([&](const Statement& row) {
    ++rows;
    return read_layer_row(database, run, row, layers);
  });
  if (!status) return forward_error(status);
  if (rows != run.layers) {
    return damaged(database, "layer_stats", run, fmt::format(" has {} rows, not {}", rows, run.layers));
  }
  return layers;
}

}  // namespace expertscope
