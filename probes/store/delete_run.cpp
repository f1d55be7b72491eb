// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/store/delete_run.h"

#include <limits>

#include "probes/store/schema.h"
#include "probes/store/trace_tables.h"
#include "probes/store/writer_identity.h"

namespace expertscope {
namespace {

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
  for (const TraceTable& table : trace_tables()) {
    auto there = has_table(database, table.name);
    if (!there) return forward_error(there);
    if (!*there || table.run == nullptr) continue;
    auto gone = database.write(fmt::format("DELETE FROM {} WHERE {} = ?1", table.name, table.run), run);
    if (!gone) return gone;
  }
  // Last, so that it finds room in the pages that became free.
  if (auto made = make_optional_table(database, "deleted_run"); !made) return made;
  if (auto kept = database.write("INSERT OR IGNORE INTO deleted_run VALUES(?1)", run); !kept) return kept;
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
