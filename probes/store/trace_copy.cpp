// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/store/trace_copy.h"

#include <sqlite3.h>

#include <system_error>

#include "engine/formats/output_file.h"
#include "probes/store/database.h"
#include "probes/store/schema.h"

namespace expertscope {
namespace {

// Page by page: VACUUM INTO would compute whatever a table that is none of ours says of its columns.
Status copy_pages(const Database& from, const std::filesystem::path& to) {
  auto target = Database::open(to, Database::Mode::read_write);
  if (!target) return forward_error(target);
  // A journal in a file would stay for ever where the program is killed; the copy has no name before it is
  // whole.
  if (auto set = (*target)->execute("PRAGMA journal_mode = MEMORY"); !set) return set;
  sqlite3_backup* backup = sqlite3_backup_init((*target)->handle(), "main", from.handle(), "main");
  if (backup == nullptr) return (*target)->error(sqlite3_errcode((*target)->handle()), "write");
  sqlite3_backup_step(backup, -1);
  const int rc = sqlite3_backup_finish(backup);
  if (rc != SQLITE_OK) return (*target)->error(rc, "write");
  return {};
}

}  // namespace

Status copy_trace(const std::filesystem::path& from, const std::filesystem::path& to) {
  std::error_code error;
  if (std::filesystem::equivalent(from, to, error)) {
    return fail(ErrorCode::invalid_argument, "{}: is the trace that would be copied", to.string());
  }
  auto database = open_trace_for_reading(from);
  if (!database) return forward_error(database);
  auto output = OutputFile::create(to, 0600);
  if (!output) return forward_error(output);
  if (output->temporary().empty())
    return fail(ErrorCode::io, "{}: a trace can only be copied to a file", to.string());
  // Also in place of a file that others may read.
  std::filesystem::permissions(
      output->temporary(), std::filesystem::perms::owner_read | std::filesystem::perms::owner_write, error);
  if (error) return fail(ErrorCode::io, "{}: cannot be kept private: {}", to.string(), error.message());
  if (auto done = copy_pages(**database, output->temporary()); !done)
    return fail(done.error().code, "{}: cannot be written ({})", to.string(), done.error().message);
  return output->finish();
}

}  // namespace expertscope
