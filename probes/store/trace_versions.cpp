// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/store/trace_versions.h"

#include <algorithm>
#include "probes/store/schema.h"

namespace expertscope {
namespace {

/// A column that a table got after version 1. Older rows read as `value`.
struct AddedColumn {
  int version;
  const char* table;
  const char* name;
  const char* type;   ///< as in CREATE TABLE
  const char* value;  ///< an SQL literal
};
// Side by side with the tables in trace_tables.cpp; a test compares both ways.
constexpr AddedColumn kAdded[] = {
    {2, "run", "backend_reason", "TEXT NOT NULL DEFAULT ''", "''"},
    {2, "run", "device", "TEXT NOT NULL DEFAULT ''", "''"},
    {2, "run", "device_uuid", "TEXT NOT NULL DEFAULT ''", "''"},
    {2, "run", "driver", "TEXT NOT NULL DEFAULT ''", "''"},
    {2, "run", "device_memory", "INTEGER", "NULL"},
    {2, "layer_stats", "attention_tokens", "INTEGER", "NULL"},
    {2, "layer_stats", "attention_sum", "REAL", "NULL"},
    {2, "layer_stats", "attention_min", "REAL", "NULL"},
    {2, "layer_stats", "attention_max", "REAL", "NULL"},
    {2, "layer_stats", "cache_hits", "INTEGER", "NULL"},
    {2, "layer_stats", "cache_misses", "INTEGER", "NULL"},
    {2, "layer_stats", "cache_bytes", "INTEGER", "NULL"},
    {2, "layer_block", "first_token_attention", "BLOB", "NULL"},
};

Result<int> trace_version(const Database& database) {
  const auto version = database.integer("PRAGMA user_version");
  if (!version) return forward_error(version);
  return static_cast<int>(version->value_or(0));
}

Result<bool> has_column(const Database& database, const AddedColumn& column) {
  auto query = database.prepare("SELECT 1 FROM pragma_table_info(?1, 'main') WHERE name = ?2");
  if (!query) return forward_error(query);
  query->bind(1, column.table);
  query->bind(2, column.name);
  return query->step();
}

/// The columns this trace does not have.
Result<std::vector<AddedColumn>> missing_columns(const Database& database, int version) {
  std::vector<AddedColumn> missing;
  for (const AddedColumn& column : kAdded) {
    if (column.version <= version) continue;
    const auto found = has_column(database, column);
    if (!found) return forward_error(found);
    if (!*found) missing.push_back(column);
  }
  return missing;
}

}  // namespace

std::vector<std::string> added_columns(std::string_view table) {
  std::vector<std::string> columns;
  for (const AddedColumn& column : kAdded) {
    if (table == column.table) columns.push_back(fmt::format("{} {}", column.name, column.type));
  }
  return columns;
}

Status upgrade_trace(Database& database) {
  const auto version = trace_version(database);
  if (!version) return forward_error(version);
  if (*version >= kTraceVersion) return {};
  const auto missing = missing_columns(database, *version);
  if (!missing) return forward_error(missing);
  for (const AddedColumn& column : *missing) {
    const auto sql =
        fmt::format("ALTER TABLE main.{} ADD COLUMN {} {}", column.table, column.name, column.type);
    if (auto status = database.execute(sql.c_str()); !status) return status;
  }
  return database.execute(fmt::format("PRAGMA user_version = {}", kTraceVersion).c_str());
}

Status read_as_newest(Database& database) {
  const auto version = trace_version(database);
  if (!version) return forward_error(version);
  if (*version >= kTraceVersion) return {};
  const auto missing = missing_columns(database, *version);
  if (!missing) return forward_error(missing);
  std::vector<std::string> tables;
  for (const AddedColumn& column : *missing) {
    if (std::find(tables.begin(), tables.end(), column.table) == tables.end())
      tables.emplace_back(column.table);
  }
  for (const std::string& table : tables) {
    std::string sql = fmt::format("CREATE TEMP VIEW IF NOT EXISTS {} AS SELECT *", table);
    for (const AddedColumn& column : *missing) {
      if (table == column.table) sql += fmt::format(", {} AS {}", column.value, column.name);
    }
    sql += fmt::format(" FROM main.{}", table);
    if (auto status = database.execute(sql.c_str()); !status) return status;
  }
  return {};
}

}  // namespace expertscope
