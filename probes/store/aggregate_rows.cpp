// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/store/aggregate_rows.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "probes/store/schema.h"

namespace expertscope {
namespace {

std::size_t index(std::int64_t value) {
  return static_cast<std::size_t>(value);
}

// The columns of one row, read one after the other; remembers whether all of them made sense.
class RowReader {
 public:
  RowReader(const Statement& row, const RunInfo& run, int column) : row_(row), run_(run), column_(column) {}

  std::int64_t integer(std::int64_t min, std::int64_t max) {
    const std::int64_t value = row_.integer(column_++);
    good_ = good_ && value >= min && value <= max;
    return value;
  }

  // NULL is "not measured", or, where the probe ran, a number that is not finite.
  double real(bool measured) {
    const int column = column_++;
    if (row_.is_null(column)) return measured ? std::numeric_limits<double>::quiet_NaN() : 0.0;
    const double value = row_.real(column);
    good_ = good_ && std::isfinite(value);
    return value;
  }

  bool null() const { return row_.is_null(column_); }

  // Value, channel and token; all of them NULL where nothing was measured.
  void maximum(double& value, int& channel, std::int64_t& token) {
    const int first = column_;
    if (row_.is_null(first + 2)) {
      column_ += 3;
      good_ = good_ && row_.is_null(first) && row_.is_null(first + 1);
      return;
    }
    good_ = good_ && !row_.is_null(first);
    value = real(false);
    if (row_.is_null(column_)) {
      ++column_;
    } else {
      channel = static_cast<int>(integer(0, run_.hidden_size - 1));
    }
    token = integer(0, run_.tokens - 1);
  }

  bool good() const { return good_; }

 private:
  const Statement& row_;
  const RunInfo& run_;
  int column_;
  bool good_ = true;
};

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
  RowReader read(row, run, 2);
  ExpertStats& stats = table.at(static_cast<int>(layer), static_cast<int>(expert));
  // A token has at most as many slots as there are experts.
  stats.count = read.integer(0, run.tokens * run.experts);
  stats.probability_sum = read.real(run.probes.routing);
  stats.weight_sum = read.real(run.probes.routing);
  stats.norm_sum = read.real(run.probes.expert_output);
  stats.weighted_norm_sum = read.real(run.probes.routing && run.probes.expert_output);
  read.maximum(stats.output_max, stats.output_channel, stats.output_token);
  read.maximum(stats.first_row_max, stats.first_row_channel, stats.first_row_token);
  if (read.good()) return {};
  return damaged(database, "expert_stats", run,
                 fmt::format(", layer {}, expert {}: a number is out of range", layer, expert));
}

Status read_shared_row(const Database& database, const RunInfo& run, const Statement& row,
                       ExpertTable& table) {
  const std::int64_t layer = row.integer(0);
  if (layer < 0 || layer >= run.layers || !table.has_shared(static_cast<int>(layer)))
    return damaged(database, "shared_expert_stats", run, fmt::format(" names layer {}", layer));
  RowReader read(row, run, 1);
  ExpertStats& stats = table.at(static_cast<int>(layer), kSharedExpert);
  stats.count = read.integer(0, run.tokens);
  stats.norm_sum = read.real(run.probes.expert_output);
  read.maximum(stats.output_max, stats.output_channel, stats.output_token);
  read.maximum(stats.first_row_max, stats.first_row_channel, stats.first_row_token);
  if (read.good()) return {};
  return damaged(database, "shared_expert_stats", run,
                 fmt::format(", layer {}: a number is out of range", layer));
}

Status read_shared_experts(const Database& database, const RunInfo& run, ExpertTable& table) {
  if (run.shared_layer.empty()) return {};
  auto query = database.prepare(
      "SELECT layer, count, norm_sum, output_max, output_channel, output_token, first_row_max, "
      "first_row_channel, first_row_token FROM shared_expert_stats WHERE run = ?1");
  if (!query) return forward_error(query);
  query->bind(1, run.id);
  return query->for_each_row(
      [&](const Statement& row) { return read_shared_row(database, run, row, table); });
}

void read_attention(RowReader& read, const RunInfo& run, LayerStats& stats) {
  const std::int64_t tokens = read.integer(0, run.tokens);
  const bool measured = run.probes.attention && tokens > 0;
  if (measured) stats.attention_tokens = tokens;
  stats.attention_sum = read.real(measured);
  stats.attention_min = read.real(measured);
  stats.attention_max = read.real(measured);
}

// All three are NULL where the backend held all experts.
void read_cache(RowReader& read, const RunInfo& run, LayerStats& stats) {
  if (read.null()) return;
  // Half of it, so that hits and misses of all layers can be added up.
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max() / kMaxLayers / 2;
  CacheStats cache;
  cache.hits = read.integer(0, std::min(kMost, run.tokens * run.experts));
  cache.misses = read.integer(0, std::min(kMost, run.tokens * run.experts));
  cache.bytes = read.integer(0, kMost);
  stats.cache = cache;
}

Status read_layer_row(const Database& database, const RunInfo& run, const Statement& row,
                      std::vector<LayerStats>& layers) {
  const std::int64_t layer = row.integer(0);
  if (layer < 0 || layer >= run.layers) {
    return damaged(database, "layer_stats", run, fmt::format(" names layer {}", layer));
  }
  RowReader read(row, run, 1);
  LayerStats& stats = layers[index(layer)];
  stats.tokens = run.tokens;
  const std::int64_t measured = read.integer(0, run.tokens);
  const bool probe = run.probes.entropy && run.moe_layer[index(layer)] != 0 && measured > 0;
  if (probe) stats.entropy_tokens = measured;
  stats.entropy_sum = read.real(probe);
  stats.entropy_min = read.real(probe);
  stats.entropy_max = read.real(probe);
  read.maximum(stats.hidden_max, stats.hidden_channel, stats.hidden_token);
  read_attention(read, run, stats);
  read_cache(read, run, stats);
  if (read.good()) return {};
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
  auto query = database.prepare(
      "SELECT layer, expert, count, probability_sum, weight_sum, norm_sum, weighted_norm_sum, output_max, "
      "output_channel, output_token, first_row_max, first_row_channel, first_row_token FROM expert_stats "
      "WHERE run = ?1");
  if (!query) return forward_error(query);
  query->bind(1, run.id);
  const auto status =
      query->for_each_row([&](const Statement& row) { return read_expert_row(database, run, row, *table); });
  if (!status) return forward_error(status);
  if (auto shared = read_shared_experts(database, run, *table); !shared) return forward_error(shared);
  return table;
}

Result<std::vector<LayerStats>> read_layer_stats(const Database& database, const RunInfo& run) {
  auto query = database.prepare(
      "SELECT layer, tokens, entropy_sum, entropy_min, entropy_max, hidden_max, hidden_channel, "
      "hidden_token, attention_tokens, attention_sum, attention_min, attention_max, cache_hits, "
      "cache_misses, cache_bytes FROM layer_stats WHERE run = ?1");
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
