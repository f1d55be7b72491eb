// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/store/trace_tables.h"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

namespace expertscope {
namespace {

constexpr const char* kSchema = R"sql(
CREATE TABLE run(
  id INTEGER PRIMARY KEY,
  kind TEXT NOT NULL,
  started_at TEXT NOT NULL,
  finished_at TEXT,
  status TEXT NOT NULL,
  message TEXT NOT NULL DEFAULT '',
  writer TEXT NOT NULL,
  model_path TEXT NOT NULL,
  model_name TEXT NOT NULL,
  config_sha256 TEXT NOT NULL,
  tensor_count INTEGER NOT NULL,
  total_bytes INTEGER NOT NULL,
  architecture TEXT NOT NULL,
  layers INTEGER NOT NULL,
  experts INTEGER NOT NULL,
  top_k INTEGER NOT NULL,
  hidden_size INTEGER NOT NULL,
  moe_layers TEXT NOT NULL,
  program_version TEXT NOT NULL,
  backend TEXT NOT NULL,
  math TEXT NOT NULL,
  sampling TEXT NOT NULL,
  dataset TEXT NOT NULL,
  dataset_sha256 TEXT NOT NULL,
  prompt TEXT NOT NULL,
  text TEXT NOT NULL DEFAULT '',
  probes TEXT NOT NULL,
  tokens INTEGER NOT NULL DEFAULT 0,
  dropped_tokens INTEGER NOT NULL DEFAULT 0,
  backend_reason TEXT NOT NULL DEFAULT '',
  device TEXT NOT NULL DEFAULT '',
  device_uuid TEXT NOT NULL DEFAULT '',
  driver TEXT NOT NULL DEFAULT '',
  device_memory INTEGER
) STRICT;

CREATE TABLE policy_change(
  run INTEGER NOT NULL,
  token INTEGER NOT NULL,
  policy TEXT NOT NULL,
  PRIMARY KEY(run, token)
) STRICT, WITHOUT ROWID;

CREATE TABLE sequence(
  run INTEGER NOT NULL,
  number INTEGER NOT NULL,
  first_token INTEGER NOT NULL,
  domain TEXT NOT NULL,
  PRIMARY KEY(run, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE dropped(
  run INTEGER NOT NULL,
  token INTEGER NOT NULL,
  sequence INTEGER NOT NULL,
  position INTEGER NOT NULL,
  tokens INTEGER NOT NULL
) STRICT;

CREATE TABLE vocabulary(
  run INTEGER NOT NULL,
  token_id INTEGER NOT NULL,
  bytes BLOB NOT NULL,
  PRIMARY KEY(run, token_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE expert_stats(
  run INTEGER NOT NULL,
  layer INTEGER NOT NULL,
  expert INTEGER NOT NULL,
  count INTEGER NOT NULL DEFAULT 0,
  probability_sum REAL,
  weight_sum REAL,
  norm_sum REAL,
  weighted_norm_sum REAL,
  output_max REAL,
  output_channel INTEGER,
  output_token INTEGER,
  first_row_max REAL,
  first_row_channel INTEGER,
  first_row_token INTEGER,
  PRIMARY KEY(run, layer, expert)
) STRICT, WITHOUT ROWID;

CREATE TABLE layer_stats(
  run INTEGER NOT NULL,
  layer INTEGER NOT NULL,
  moe INTEGER NOT NULL,
  tokens INTEGER NOT NULL DEFAULT 0,
  entropy_sum REAL,
  entropy_min REAL,
  entropy_max REAL,
  hidden_max REAL,
  hidden_channel INTEGER,
  hidden_token INTEGER,
  attention_tokens INTEGER,
  attention_sum REAL,
  attention_min REAL,
  attention_max REAL,
  cache_hits INTEGER,
  cache_misses INTEGER,
  cache_bytes INTEGER,
  PRIMARY KEY(run, layer)
) STRICT, WITHOUT ROWID;

CREATE TABLE token_block(
  run INTEGER NOT NULL,
  first_token INTEGER NOT NULL,
  tokens INTEGER NOT NULL,
  token_id BLOB NOT NULL,
  sequence BLOB NOT NULL,
  position BLOB NOT NULL,
  generated BLOB NOT NULL,
  log_prob BLOB,
  UNIQUE(run, first_token)
) STRICT;

CREATE TABLE slot_block(
  run INTEGER NOT NULL,
  layer INTEGER NOT NULL,
  first_token INTEGER NOT NULL,
  tokens INTEGER NOT NULL,
  slots INTEGER NOT NULL,
  expert BLOB NOT NULL,
  weight BLOB,
  probability BLOB,
  output_norm BLOB,
  output_max BLOB,
  output_channel BLOB,
  UNIQUE(run, layer, first_token)
) STRICT;

CREATE TABLE layer_block(
  run INTEGER NOT NULL,
  layer INTEGER NOT NULL,
  first_token INTEGER NOT NULL,
  tokens INTEGER NOT NULL,
  entropy BLOB,
  hidden_max BLOB,
  hidden_channel BLOB,
  router_logits BLOB,
  first_token_attention BLOB,
  UNIQUE(run, layer, first_token)
) STRICT;

CREATE VIEW expert_load AS
  SELECT run, layer, expert, count,
         CAST(count AS REAL) / nullif(sum(count) OVER (PARTITION BY run, layer), 0) AS share,
         weight_sum
  FROM expert_stats;
)sql";

// Tables that a trace has from the moment on when there is something to put into them. Who does not know them
// passes them over.
struct OptionalTable {
  const char* name;
  const char* columns;  // and what follows them
};
constexpr std::array kOptionalTables = {
    OptionalTable{"deleted_run", "(id INTEGER PRIMARY KEY) STRICT"},
    OptionalTable{"shared_expert_stats", R"sql((
  run INTEGER NOT NULL,
  layer INTEGER NOT NULL,
  count INTEGER NOT NULL DEFAULT 0,
  norm_sum REAL,
  output_max REAL,
  output_channel INTEGER,
  output_token INTEGER,
  first_row_max REAL,
  first_row_channel INTEGER,
  first_row_token INTEGER,
  PRIMARY KEY(run, layer)
) STRICT, WITHOUT ROWID)sql"},
    OptionalTable{"shared_expert_block", R"sql((
  run INTEGER NOT NULL,
  layer INTEGER NOT NULL,
  first_token INTEGER NOT NULL,
  tokens INTEGER NOT NULL,
  output_norm BLOB NOT NULL,
  output_max BLOB NOT NULL,
  output_channel BLOB NOT NULL,
  UNIQUE(run, layer, first_token)
) STRICT)sql"},
};

constexpr std::array kTables = {"run",          "policy_change", "sequence",    "dropped",    "vocabulary",
                                "expert_stats", "layer_stats",   "token_block", "slot_block", "layer_block"};

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

// As SQLite keeps it: without IF NOT EXISTS.
std::string statement_of(const char* table) {
  for (const OptionalTable& optional : kOptionalTables) {
    if (std::string_view(table) == optional.name)
      return fmt::format("CREATE TABLE {}{}", optional.name, optional.columns);
  }
  const std::string_view schema = kSchema;
  const auto begin = schema.find(fmt::format("CREATE TABLE {}(", table));
  return std::string(schema.substr(begin, schema.find(';', begin) - begin));
}

Status check_table(const Database& database, Statement& query, const char* table) {
  const std::string file = database.file().string();
  query.bind(1, table);
  auto row = query.step();
  if (!row) return forward_error(row);
  if (!*row) return fail(ErrorCode::format, "{}: damaged trace: table {} is missing", file, table);
  const std::string found = without_blanks(query.text(0));
  query.reset();
  const std::string wanted = without_blanks(statement_of(table));
  if (found == wanted) return {};
  const auto differs = std::mismatch(found.begin(), found.end(), wanted.begin(), wanted.end()).first;
  constexpr std::size_t kShown = 40;
  const auto at = static_cast<std::size_t>(differs - found.begin());
  return fail(ErrorCode::format,
              "{}: damaged trace: table {} is not made like that of a trace; it differs at '{}'", file, table,
              found.substr(at, kShown));
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

// Any thing of that name, a view for instance, has to be the table. Those of the shared experts come
// together.
Status check_optional_tables(const Database& database, Statement& query) {
  auto shared = has_table(database, "shared_expert_stats");
  if (!shared) return forward_error(shared);
  for (const OptionalTable& table : kOptionalTables) {
    auto there = has_table(database, table.name);
    if (!there) return forward_error(there);
    const bool needed = *shared && std::string_view(table.name) == "shared_expert_block";
    if (!*there && !needed) continue;
    if (auto status = check_table(database, query, table.name); !status) return status;
    if (auto status = check_indexes(database, table.name); !status) return status;
  }
  return {};
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

const char* trace_schema() {
  return kSchema;
}

Status make_optional_table(Database& database, const char* name) {
  const auto* table =
      std::find_if(kOptionalTables.begin(), kOptionalTables.end(),
                   [name](const OptionalTable& optional) { return std::string_view(optional.name) == name; });
  return database.execute(
      fmt::format("CREATE TABLE IF NOT EXISTS {}{}", table->name, table->columns).c_str());
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
  for (const char* table : kTables) {
    if (auto status = check_table(database, *query, table); !status) return status;
    if (auto status = check_indexes(database, table); !status) return status;
  }
  if (auto status = check_optional_tables(database, *query); !status) return status;
  return check_triggers(database);
}

}  // namespace expertscope
