// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <type_traits>
#include <variant>
#include <vector>

#include "probes/store/aggregates.h"
#include "probes/store/database.h"
#include "probes/store/run_info.h"

namespace expertscope {

/// A count of what happened, an index (channel, token), a sum or an extreme of what was measured.
enum class StatKind : std::uint8_t {
  count,
  channel,  ///< -1: not known
  token,    ///< run token index; -1: nothing was measured
  sum,
  extreme,
  peak,  ///< an extreme that is there exactly where its token is
};

/// A field of ExpertStats or LayerStats, and so a column of their tables: CREATE, every row that is written,
/// every row that is read with its check, SPEC.md and the exports follow.
template <class Stats>
struct StatColumn {
  using Member =
      std::variant<std::int64_t Stats::*, int Stats::*, double Stats::*, std::int64_t CacheStats::*>;

  const char* name;
  StatKind kind;
  Member member;
  const char* meaning;
  std::array<ProbeFlag, 2> probes = {};            ///< which measure it together; none: it is always there
  std::array<LayerNumbers, 2> from = {};           ///< a sum over slots: of these, multiplied
  bool (*known)(const Stats&) = nullptr;           ///< whether a number came; null: 0 is one
  std::int64_t (*most)(const RunInfo&) = nullptr;  ///< of a count; null: the run's tokens

  bool measured(const CaptureRequest& what) const {
    for (const auto probe : probes)
      if (probe != nullptr && !(what.*probe)) return false;
    return true;
  }
  /// Only of experts that a router chooses.
  bool routed() const {
    return probes[0] == &CaptureRequest::routing || probes[1] == &CaptureRequest::routing;
  }
  bool is_number() const { return std::holds_alternative<double Stats::*>(member); }
  std::string sql_type() const { return is_number() ? "REAL" : "INTEGER"; }
  /// The value of a count, channel or token; -1: there is none.
  std::int64_t index_of(const Stats& stats) const;
  /// The value of a sum or an extreme.
  double number_of(const Stats& stats) const { return stats.*std::get<double Stats::*>(member); }
};

/// A table with one row of statistics a key. Keys begin with `run`, `layer`; the statistics follow them.
template <class Stats>
struct StatTable {
  const char* name;
  std::vector<const char*> keys;
  int primary;  ///< how many of them are the primary key
  std::vector<StatColumn<Stats>> columns;
  std::string replace_sql;  ///< made of the others by finished()

  std::string create_sql() const;
  /// Writes one row, in place of what was there. Statistics that `what` does not measure are NULL.
  Status write(Database& database, std::span<const std::int64_t> key, const Stats& stats,
               const CaptureRequest& what) const;
  /// SELECT of the keys behind `run`, then of the columns.
  std::string select_sql() const;
  /// Takes a row of select_sql(); false where a number is none that the run can have.
  bool read(const Statement& row, const RunInfo& run, Stats& stats) const;
};

template <class Stats>
StatTable<Stats> finished(StatTable<Stats> table);

const StatTable<ExpertStats>& expert_stats_table();
/// Of the columns of an expert those that need no router.
const StatTable<ExpertStats>& shared_expert_stats_table();
const StatTable<LayerStats>& layer_stats_table();

// ------------------------------------------------------------------------------------------ definitions

namespace stats {

// The struct that a member belongs to; null: a cache that is not there.
template <class Owner, class Stats>
Owner* owner_of(Stats& stats, bool make = false) {
  if constexpr (!std::is_same_v<std::remove_const_t<Owner>, CacheStats>) {
    return &stats;
  } else if constexpr (std::is_same_v<std::remove_const_t<Stats>, LayerStats>) {
    if constexpr (!std::is_const_v<Stats>)
      if (make && !stats.cache) stats.cache.emplace();
    return stats.cache ? &*stats.cache : nullptr;
  } else {
    return nullptr;  // experts have no cache of their own
  }
}

template <class Stats>
std::int64_t most(const StatColumn<Stats>& column, const RunInfo& run) {
  if (column.kind == StatKind::channel) return run.hidden_size - 1;
  if (column.kind == StatKind::token) return run.tokens - 1;
  return column.most != nullptr ? column.most(run) : run.tokens;
}

}  // namespace stats

template <class Stats>
std::int64_t StatColumn<Stats>::index_of(const Stats& stats) const {
  const auto get = [&]<class Owner, class Value>(Value Owner::*field) -> std::int64_t {
    const Owner* owner = stats::owner_of<const Owner>(stats);
    if constexpr (std::is_integral_v<Value>) return owner != nullptr ? owner->*field : -1;
    return -1;
  };
  return std::visit(get, member);
}

template <class Stats>
std::string StatTable<Stats>::create_sql() const {
  std::string sql = fmt::format("CREATE TABLE {}(\n", name);
  for (const char* key : keys)
    sql += fmt::format("  {} INTEGER NOT NULL,\n", key);
  for (const auto& column : columns) {
    const bool always = column.kind == StatKind::count && column.probes[0] == nullptr &&
                        !std::holds_alternative<std::int64_t CacheStats::*>(column.member);
    sql += fmt::format("  {} {}{},\n", column.name, column.sql_type(), always ? " NOT NULL" : "");
  }
  sql += "  PRIMARY KEY(run";
  for (int i = 1; i < primary; ++i)
    sql += fmt::format(", {}", keys[static_cast<std::size_t>(i)]);
  return sql + ")\n) STRICT, WITHOUT ROWID";
}

template <class Stats>
Status StatTable<Stats>::write(Database& database, std::span<const std::int64_t> key, const Stats& stats,
                               const CaptureRequest& what) const {
  auto statement = database.kept(replace_sql);
  if (!statement) return forward_error(statement);
  Statement& row = **statement;
  int parameter = 0;
  for (const std::int64_t value : key)
    row.bind(++parameter, value);
  for (const auto& column : columns) {
    row.bind_null(++parameter);
    if (!column.measured(what) || (column.known != nullptr && !column.known(stats))) continue;
    // SQLite has no NaN, and a reader takes infinity for damage: NULL stands for both.
    if (column.is_number()) {
      if (std::isfinite(column.number_of(stats))) row.bind(parameter, column.number_of(stats));
    } else if (const std::int64_t value = column.index_of(stats); value >= 0) {
      row.bind(parameter, value);
    }
  }
  return row.run();
}

template <class Stats>
StatTable<Stats> finished(StatTable<Stats> table) {
  table.replace_sql = fmt::format("REPLACE INTO {} VALUES(?1", table.name);
  for (std::size_t i = 2; i <= table.keys.size() + table.columns.size(); ++i)
    table.replace_sql += fmt::format(", ?{}", i);
  table.replace_sql += ")";
  return table;
}

template <class Stats>
std::string StatTable<Stats>::select_sql() const {
  std::string sql = "SELECT layer";
  for (std::size_t i = 2; i < keys.size(); ++i)
    sql += fmt::format(", {}", keys[i]);
  for (const auto& column : columns)
    sql += fmt::format(", {}", column.name);
  return fmt::format("{} FROM {} WHERE run = ?1", sql, name);
}

template <class Stats>
bool StatTable<Stats>::read(const Statement& row, const RunInfo& run, Stats& stats) const {
  const int first = static_cast<int>(keys.size()) - 1;
  bool good = true;
  int index = first;
  for (const auto& column : columns) {
    const int place = index++;
    if (row.is_null(place)) continue;
    const auto take = [&]<class Owner, class Value>(Value Owner::*field) {
      Owner* owner = stats::owner_of<Owner>(stats, true);
      if (owner == nullptr) return;
      if constexpr (std::is_integral_v<Value>) {
        const std::int64_t value = row.integer(place);
        good = good && value >= 0 && value <= stats::most(column, run);
        owner->*field = static_cast<Value>(value);
      } else {
        owner->*field = row.real(place);
        good = good && std::isfinite(owner->*field);
      }
    };
    std::visit(take, column.member);
  }
  index = first;
  for (const auto& column : columns) {
    const bool there = !row.is_null(index++);
    const bool known = column.known == nullptr || column.known(stats);
    good = good && (known || !there) && (column.kind != StatKind::peak || there == known);
    // Where its probe ran, a number that is not there was not finite.
    if (column.is_number() && !there && known && column.measured(run.probes))
      stats.*std::get<double Stats::*>(column.member) = std::numeric_limits<double>::quiet_NaN();
  }
  return good;
}

}  // namespace expertscope
