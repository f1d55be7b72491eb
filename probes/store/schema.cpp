// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/store/schema.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>
#include <system_error>

#include "probes/store/trace_versions.h"

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

constexpr std::array kTables = {"run",          "policy_change", "sequence",    "dropped",    "vocabulary",
                                "expert_stats", "layer_stats",   "token_block", "slot_block", "layer_block"};

Status create_schema(Database& database) {
  auto transaction = Transaction::begin(database);
  if (!transaction) return forward_error(transaction);
  // Another process may have created it while this one waited for the lock.
  auto id = database.integer("PRAGMA application_id");
  if (!id) return forward_error(id);
  if (id->value_or(0) == kTraceApplicationId) return {};
  if (auto status = database.execute(kSchema); !status) return status;
  const auto marks =
      fmt::format("PRAGMA application_id = {}; PRAGMA user_version = {}", kTraceApplicationId, kTraceVersion);
  if (auto status = database.execute(marks.c_str()); !status) return status;
  return transaction->commit();
}

Status check_identity(const Database& database) {
  const std::string file = database.file().string();
  auto id = database.integer("PRAGMA application_id");
  if (!id) {
    if (id.error().code != ErrorCode::format) return forward_error(id);
    if ((sqlite3_errcode(database.handle()) & 0xff) == SQLITE_CORRUPT) {
      return fail(ErrorCode::format, "{}: is damaged or incomplete: {}", file,
                  sqlite3_errmsg(database.handle()));
    }
    return fail(ErrorCode::format, "{}: is not an Expertscope trace (not a SQLite database)", file);
  }
  if (id->value_or(0) != kTraceApplicationId) {
    return fail(ErrorCode::format,
                "{}: is a SQLite database, but not an Expertscope trace (application_id {})", file,
                id->value_or(0));
  }
  auto version = database.integer("PRAGMA user_version");
  if (!version) return forward_error(version);
  if (version->value_or(0) > kTraceVersion) {
    return fail(ErrorCode::unsupported,
                "{}: was recorded by a newer Expertscope (trace version {}, this program reads up to {}); "
                "update Expertscope to open it",
                file, version->value_or(0), kTraceVersion);
  }
  if (version->value_or(0) < 1) {
    return fail(ErrorCode::format, "{}: trace version {} does not exist", file, version->value_or(0));
  }
  return {};
}

// Tables must be tables: a view of the same name in a file made by someone else could run any query.
Status check_tables(const Database& database) {
  auto query = database.prepare(
      "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?1 "
      "AND sql LIKE 'CREATE TABLE %'");
  if (!query) return forward_error(query);
  for (const char* table : kTables) {
    query->bind(1, table);
    auto row = query->step();
    if (!row) return forward_error(row);
    const bool found = *row && query->integer(0) == 1;
    query->reset();
    if (!found) {
      return fail(ErrorCode::format, "{}: damaged trace: table {} is missing", database.file().string(),
                  table);
    }
  }
  return {};
}

Status check_trace(const Database& database) {
  if (auto status = check_identity(database); !status) return status;
  return check_tables(database);
}

Status check_is_file(const std::filesystem::path& file) {
  std::error_code error;
  const auto status = std::filesystem::status(file, error);
  if (status.type() == std::filesystem::file_type::not_found) {
    return fail(ErrorCode::io, "{}: no such file", file.string());
  }
  if (std::filesystem::is_directory(status)) {
    return fail(ErrorCode::io, "{}: is a folder, not a trace", file.string());
  }
  return {};
}

// SQLite would say that it cannot open or read the file.
Status check_writable(const std::filesystem::path& file, const std::filesystem::path& folder) {
  if (::faccessat(AT_FDCWD, file.c_str(), W_OK, AT_EACCESS) != 0 && errno != ENOENT) {
    return fail(ErrorCode::io, "{}: cannot be written ({}); record into a copy or into another file",
                file.string(), std::generic_category().message(errno));
  }
  if (::faccessat(AT_FDCWD, folder.c_str(), W_OK | X_OK, AT_EACCESS) != 0) {
    return fail(ErrorCode::io, "{}: its folder {} cannot be written ({}); record into a file elsewhere",
                file.string(), folder.string(), std::generic_category().message(errno));
  }
  return {};
}

bool is_new(const std::filesystem::path& file) {
  // Only stat() here: opening and closing the file would drop SQLite's POSIX locks of this process.
  std::error_code error;
  const auto size = std::filesystem::file_size(file, error);
  return error ? !std::filesystem::exists(file, error) : size == 0;
}

}  // namespace

Result<std::unique_ptr<Database>> open_trace_for_writing(const std::filesystem::path& file) {
  const auto folder = file.has_parent_path() ? file.parent_path() : std::filesystem::path(".");
  std::error_code error;
  if (!std::filesystem::is_directory(folder, error)) {
    return fail(ErrorCode::io, "{}: the folder {} does not exist", file.string(), folder.string());
  }
  if (auto status = check_writable(file, folder); !status) return forward_error(status);
  const bool fresh = is_new(file);
  auto opened = Database::open(file, Database::Mode::create);
  if (!opened) return opened;
  Database& database = **opened;
  if (fresh) {
    if (auto status = database.execute("PRAGMA page_size = 32768"); !status) return forward_error(status);
    if (auto status = create_schema(database); !status) return forward_error(status);
  }
  if (auto status = check_trace(database); !status) return forward_error(status);
  auto mode = database.execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL");
  if (!mode) return forward_error(mode);
  return opened;
}

Result<std::unique_ptr<Database>> open_trace_for_reading(const std::filesystem::path& file) {
  if (auto status = check_is_file(file); !status) return forward_error(status);
  auto opened = Database::open(file, Database::Mode::read_only);
  if (!opened) return opened;
  auto status = check_trace(**opened);
  if (status) {
    // The last connection to close removes -wal and -shm, but not one that may only read: where the file is
    // writable, and now that it is known to be a trace, it is held by one that could.
    auto tidy = Database::open(file, Database::Mode::read_write);
    const bool held =
        tidy && check_trace(**tidy) && read_as_newest(**tidy) && (*tidy)->execute("PRAGMA query_only = ON");
    if (held) return tidy;
    if (auto readable = read_as_newest(**opened); !readable) return forward_error(readable);
    return opened;
  }
  // A WAL database on a read-only medium has no room for its -shm file; without a -wal it can be read as it
  // is.
  std::error_code error;
  if (status.error().code == ErrorCode::io && !std::filesystem::exists(file.string() + "-wal", error)) {
    auto fixed = Database::open(file, Database::Mode::immutable);
    if (fixed && check_trace(**fixed) && read_as_newest(**fixed)) return fixed;
  }
  return forward_error(status);
}

}  // namespace expertscope
