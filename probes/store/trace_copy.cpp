// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/store/trace_copy.h"

#include <sqlite3.h>

#include <system_error>

#include "probes/store/database.h"
#include "probes/store/schema.h"

namespace expertscope {
namespace {

// Page by page: VACUUM INTO would compute whatever a table that is none of ours says of its columns.
Status copy_pages(const Database& from, const std::filesystem::path& to) {
  if (auto made = create_private_file(to); !made) return made;
  auto target = Database::open(to, Database::Mode::read_write);
  if (!target) return forward_error(target);
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
  std::filesystem::path partial = to;
  partial += ".part";
  std::filesystem::remove(partial, error);
  if (auto done = copy_pages(**database, partial); !done) {
    std::filesystem::remove(partial, error);
    return fail(done.error().code, "{}: cannot be written ({})", to.string(), done.error().message);
  }
  std::filesystem::rename(partial, to, error);
  if (error) return fail(ErrorCode::io, "{}: {}", to.string(), error.message());
  return {};
}

}  // namespace expertscope
