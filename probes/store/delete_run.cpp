// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/store/delete_run.h"

#include <array>
#include <limits>

#include "probes/store/schema.h"
#include "probes/store/trace_tables.h"
#include "probes/store/writer_identity.h"

namespace expertscope {
namespace {

// Every table whose rows belong to a run, by the column that says to which.
struct Rows {
  const char* table;
  const char* column;
};
constexpr std::array kRows = {
    Rows{"policy_change", "run"}, Rows{"sequence", "run"},
    Rows{"dropped", "run"},       Rows{"vocabulary", "run"},
    Rows{"expert_stats", "run"},  Rows{"layer_stats", "run"},
    Rows{"token_block", "run"},   Rows{"slot_block", "run"},
    Rows{"layer_block", "run"},   Rows{"run", "id"},
};
// And those that not every trace has.
constexpr std::array kOptional = {"shared_expert_stats", "shared_expert_block"};

Status check_deletable(const Database& database, std::int64_t run) {
  const std::string file = database.file().string();
  auto query = database.prepare("SELECT status, writer FROM run WHERE id = ?1");
  if (!query) return forward_error(query);
  query->bind(1, run);
  auto row = query->step();
  if (!row) return forward_error(row);
  if (!*row) return fail(ErrorCode::invalid_argument, "{}: there is no run {} to delete", file, run);
  const bool recorded = query->text(0) == "recording" && writer_state(query->text(1)) != WriterState::gone;
  query->reset();
  if (!recorded) return {};
  return fail(ErrorCode::invalid_argument,
              "{}: run {} is still being recorded; stop the recording, then delete it", file, run);
}

Status run_with(const Database& database, const char* sql, std::int64_t run) {
  auto statement = database.prepare(sql);
  if (!statement) return forward_error(statement);
  statement->bind(1, run);
  return statement->run();
}

}  // namespace

Status delete_run(const std::filesystem::path& file, std::int64_t run) {
  // One for writing would make a trace where there is none.
  if (auto there = open_trace_for_reading(file); !there) return forward_error(there);
  auto opened = open_trace_for_writing(file);
  if (!opened) return forward_error(opened);
  Database& database = **opened;
  // What is overwritten goes through the log: FAST clears what shares a page with other rows, and leaves the
  // pages that become free as they are, so that deleting takes little room on a disk that is full.
  if (auto set = database.execute("PRAGMA secure_delete = FAST"); !set) return set;
  auto transaction = Transaction::begin(database);
  if (!transaction) return forward_error(transaction);
  database.note_length();
  if (auto status = database.check_in_place(); !status) return status;
  if (auto status = check_deletable(database, run); !status) return status;
  for (const Rows& rows : kRows) {
    const auto sql = fmt::format("DELETE FROM {} WHERE {} = ?1", rows.table, rows.column);
    if (auto gone = run_with(database, sql.c_str(), run); !gone) return gone;
  }
  for (const char* table : kOptional) {
    auto there = has_table(database, table);
    if (!there) return forward_error(there);
    const auto sql = fmt::format("DELETE FROM {} WHERE run = ?1", table);
    if (auto gone = *there ? run_with(database, sql.c_str(), run) : Status(); !gone) return gone;
  }
  // Last, so that it finds room in the pages that became free.
  if (auto made = make_optional_table(database, "deleted_run"); !made) return made;
  if (auto kept = run_with(database, "INSERT OR IGNORE INTO deleted_run VALUES(?1)", run); !kept) return kept;
  return transaction->commit();
}

Result<std::optional<std::int64_t>> id_behind_deleted_runs(const Database& database) {
  auto there = has_table(database, "deleted_run");
  if (!there) return forward_error(there);
  if (!*there) return std::nullopt;
  auto highest = database.integer(
      "SELECT max(id) FROM (SELECT max(id) AS id FROM run UNION ALL SELECT max(id) FROM "
      "deleted_run)");
  if (!highest) return forward_error(highest);
  if (highest->value_or(0) == std::numeric_limits<std::int64_t>::max()) {
    return fail(ErrorCode::format, "{}: damaged trace: no id is left behind run {}", database.file().string(),
                **highest);
  }
  return highest->value_or(0) + 1;
}

}  // namespace expertscope
