// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/store/trace_tables.h"

#include <algorithm>
#include <string_view>

#include "probes/store/run_columns.h"
#include "probes/store/stat_table.h"

namespace expertscope {
namespace {

std::string run_sql() {
  std::string columns;
  for (const RunColumn& column : run_columns())
    columns += fmt::format("{}\n  {} {}", columns.empty() ? "" : ",", column.name, sql_declaration(column));
  return fmt::format("CREATE TABLE run({}\n) STRICT", columns);
}

std::vector<TraceTable> make_tables() {
  return {
      {"policy_change", R"sql(CREATE TABLE policy_change(
  run INTEGER NOT NULL,
  token INTEGER NOT NULL,
  policy TEXT NOT NULL,
  PRIMARY KEY(run, token)
) STRICT, WITHOUT ROWID)sql",
       "run"},
      {"sequence", R"sql(CREATE TABLE sequence(
  run INTEGER NOT NULL,
  number INTEGER NOT NULL,
  first_token INTEGER NOT NULL,
  domain TEXT NOT NULL,
  PRIMARY KEY(run, number)
) STRICT, WITHOUT ROWID)sql",
       "run"},
      {"dropped", R"sql(CREATE TABLE dropped(
  run INTEGER NOT NULL,
  token INTEGER NOT NULL,
  sequence INTEGER NOT NULL,
  position INTEGER NOT NULL,
  tokens INTEGER NOT NULL
) STRICT)sql",
       "run"},
      {"vocabulary", R"sql(CREATE TABLE vocabulary(
  run INTEGER NOT NULL,
  token_id INTEGER NOT NULL,
  bytes BLOB NOT NULL,
  PRIMARY KEY(run, token_id)
) STRICT, WITHOUT ROWID)sql",
       "run"},
      {"expert_stats", expert_stats_table().create_sql(), "run"},
      {"layer_stats", layer_stats_table().create_sql(), "run"},
      {"column", R"sql(CREATE TABLE column(
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  granularity TEXT NOT NULL,
  encoding TEXT NOT NULL,
  unit TEXT NOT NULL,
  meaning TEXT NOT NULL
) STRICT)sql",
       nullptr},
      {"column_block", R"sql(CREATE TABLE column_block(
  run INTEGER NOT NULL,
  layer INTEGER NOT NULL,
  first_token INTEGER NOT NULL,
  column INTEGER NOT NULL,
  tokens INTEGER NOT NULL,
  width INTEGER NOT NULL,
  data BLOB NOT NULL,
  UNIQUE(run, layer, first_token, column)
) STRICT)sql",
       "run"},
      {"deleted_run", "CREATE TABLE deleted_run(id INTEGER PRIMARY KEY) STRICT", nullptr, true},
      {"shared_expert_stats", shared_expert_stats_table().create_sql(), "run", true},
      {"run", run_sql(), "id"},
  };
}

constexpr const char* kViews = R"sql(CREATE VIEW expert_load AS
  SELECT run, layer, expert, count,
         CAST(count AS REAL) / nullif(sum(count) OVER (PARTITION BY run, layer), 0) AS share,
         weight_sum
  FROM expert_stats)sql";

bool is_space(char c) {
  return c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == '\f';
}

bool is_mark(char c) {
  return c == '(' || c == ')' || c == ',';
}

// The statement with one blank where there has to be one, and none elsewhere. No text of ours has a blank in
// quotes, so one that becomes equal was equal.
std::string without_blanks(std::string_view sql) {
  std::string out;
  for (std::size_t i = 0; i < sql.size(); ++i) {
    if (!is_space(sql[i])) {
      out += sql[i];
      continue;
    }
    const bool needed = !out.empty() && out.back() != ' ' && !is_mark(out.back()) && i + 1 < sql.size() &&
                        !is_space(sql[i + 1]) && !is_mark(sql[i + 1]);
    if (needed) out += ' ';
  }
  return out;
}

Status check_table(const Database& database, Statement& query, const TraceTable& table) {
  const std::string file = database.file().string();
  query.bind(1, table.name);
  auto row = query.step();
  if (!row) return forward_error(row);
  if (!*row) return fail(ErrorCode::format, "{}: damaged trace: table {} is missing", file, table.name);
  const std::string found = without_blanks(query.text(0));
  query.reset();
  const std::string wanted = without_blanks(table.create);
  if (found == wanted) return {};
  const auto differs = std::mismatch(found.begin(), found.end(), wanted.begin(), wanted.end()).first;
  constexpr std::size_t kShown = 40;
  const auto at = static_cast<std::size_t>(differs - found.begin());
  return fail(ErrorCode::format,
              "{}: damaged trace: table {} is not made like that of a trace; it differs at '{}'", file,
              table.name, found.substr(at, kShown));
}

// An index on an expression, or of a part of the rows, computes something for every row that is written.
Status check_indexes(const Database& database, const char* table) {
  auto query = database.prepare(
      "SELECT i.name FROM pragma_index_list(?1, 'main') AS i WHERE i.partial OR EXISTS "
      "(SELECT 1 FROM pragma_index_xinfo(i.name, 'main') AS c WHERE c.cid < -1) LIMIT 1");
  if (!query) return forward_error(query);
  query->bind(1, table);
  auto row = query->step();
  if (!row) return forward_error(row);
  if (!*row) return {};
  return fail(ErrorCode::format, "{}: damaged trace: index {} of table {} computes an expression",
              database.file().string(), query->text(0), table);
}

Status check_triggers(const Database& database) {
  auto query = database.prepare("SELECT name FROM main.sqlite_schema WHERE type = 'trigger' LIMIT 1");
  if (!query) return forward_error(query);
  auto row = query->step();
  if (!row) return forward_error(row);
  if (!*row) return {};
  return fail(ErrorCode::format, "{}: damaged trace: it has a trigger ({}), and no trace needs one",
              database.file().string(), query->text(0));
}

}  // namespace

const std::vector<TraceTable>& trace_tables() {
  static const std::vector<TraceTable> tables = make_tables();
  return tables;
}

std::string trace_schema() {
  std::string sql;
  for (const TraceTable& table : trace_tables())
    if (!table.optional) sql += table.create + ";\n";
  return sql + kViews;
}

Status make_optional_table(Database& database, const char* name) {
  auto there = has_table(database, name);
  if (!there) return forward_error(there);
  if (*there) return {};
  const auto& tables = trace_tables();
  const auto table = std::find_if(tables.begin(), tables.end(), [name](const TraceTable& candidate) {
    return std::string_view(candidate.name) == name;
  });
  return database.execute(table->create.c_str());
}

Result<bool> has_table(const Database& database, const char* name) {
  auto query = database.prepare("SELECT 1 FROM main.sqlite_schema WHERE name = ?1 COLLATE NOCASE LIMIT 1");
  if (!query) return forward_error(query);
  query->bind(1, name);
  return query->step();
}

Status check_tables(const Database& database) {
  auto query = database.prepare("SELECT sql FROM main.sqlite_schema WHERE type = 'table' AND name = ?1");
  if (!query) return forward_error(query);
  for (const TraceTable& table : trace_tables()) {
    // Any thing of that name, a view for instance, has to be the table.
    auto there = has_table(database, table.name);
    if (!there) return forward_error(there);
    if (!*there && table.optional) continue;
    if (auto status = check_table(database, *query, table); !status) return status;
    if (auto status = check_indexes(database, table.name); !status) return status;
  }
  return check_triggers(database);
}

}  // namespace expertscope
