// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/store/schema.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>

#include "engine/formats/descriptor.h"
#include "engine/formats/foreign_content.h"
#include "probes/store/trace_tables.h"

namespace expertscope {
namespace {

Status create_schema(Database& database) {
  auto transaction = Transaction::begin(database);
  if (!transaction) return forward_error(transaction);
  // Another process may have created it while this one waited for the lock.
  auto id = database.integer("PRAGMA application_id");
  if (!id) return forward_error(id);
  if (id->value_or(0) == kTraceApplicationId) return {};
  if (auto status = database.execute(trace_schema().c_str()); !status) return status;
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
    const auto what = foreign_file(database.file());
    return fail(ErrorCode::format, "{}: is not an Expertscope trace{}", file,
                what.empty() ? " (not a SQLite database)" : ": " + what);
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
  if (version->value_or(0) < kTraceVersion) {
    return fail(ErrorCode::unsupported,
                "{}: has trace version {}, from before the first release, and this program reads version {}; "
                "record it again",
                file, version->value_or(0), kTraceVersion);
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

// Nobody but its owner can read it, as prompts and texts go into a trace; SQLite's -wal and -shm files follow
// it. Where there is something already, also a link to nowhere, it fails.
Status create_private_file(const std::filesystem::path& file) {
  const int descriptor =
      ::open(file.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, S_IRUSR | S_IWUSR);
  if (descriptor < 0) {
    const int code = errno;
    return fail(is_no_room(code) ? ErrorCode::disk_full : ErrorCode::io, "{}: cannot be created: {}",
                file.string(), std::generic_category().message(code));
  }
  ::close(descriptor);
  return {};
}

}  // namespace

std::string_view bounded_text(std::string_view text, std::size_t most) {
  if (text.size() <= most) return text;
  std::size_t length = most;
  while (length > 0 && (static_cast<unsigned char>(text[length]) & 0xc0) == 0x80)
    --length;
  return text.substr(0, length);
}

Result<std::unique_ptr<Database>> open_trace_for_writing(const std::filesystem::path& file) {
  const auto folder = file.has_parent_path() ? file.parent_path() : std::filesystem::path(".");
  std::error_code error;
  if (!std::filesystem::is_directory(folder, error)) {
    return fail(ErrorCode::io, "{}: the folder {} does not exist", file.string(), folder.string());
  }
  if (auto status = check_writable(file, folder); !status) return forward_error(status);
  const bool fresh = is_new(file);
  if (fresh && !file.empty() && !std::filesystem::exists(file, error)) {
    // A link to where the trace shall be is followed, as SQLite does.
    const auto target = std::filesystem::read_symlink(file, error);
    auto made = create_private_file(error ? file : folder / target);
    if (!made && !std::filesystem::exists(file, error)) return forward_error(made);
  }
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
    const bool held = tidy && check_trace(**tidy) && (*tidy)->execute("PRAGMA query_only = ON");
    if (held) return tidy;
    return opened;
  }
  // A WAL database on a read-only medium has no room for its -shm file; without a -wal it can be read as it
  // is.
  std::error_code error;
  if (status.error().code == ErrorCode::io && !std::filesystem::exists((*opened)->log_file(), error)) {
    auto fixed = Database::open(file, Database::Mode::immutable);
    if (fixed && check_trace(**fixed)) return fixed;
  }
  return forward_error(status);
}

}  // namespace expertscope
