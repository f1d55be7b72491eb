// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/store/database.h"

#include <sqlite3.h>
#include <sys/resource.h>

#include <cerrno>
#include <cmath>
#include <system_error>
#include <utility>

namespace expertscope {
namespace {

constexpr int kBusyTimeoutMs = 10000;
// Our largest value is one block of router logits; anything far beyond it in a file is damage.
constexpr int kLongestValue = 256 << 20;

// SQLite says SQLITE_FULL for ENOSPC only; a quota or a file size limit comes as a failed write, most often
// without its errno.
bool is_full(int code, int system_errno) {
  if ((code & 0xff) == SQLITE_FULL) return true;
  if (code != SQLITE_IOERR_WRITE && code != SQLITE_IOERR_FSYNC && code != SQLITE_IOERR_SHMSIZE) return false;
  if (system_errno == ENOSPC || system_errno == EDQUOT || system_errno == EFBIG) return true;
  rlimit limit{};
  return getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
}

ErrorCode error_code(int code, int system_errno) {
  if (is_full(code, system_errno)) return ErrorCode::disk_full;
  switch (code & 0xff) {
    case SQLITE_INTERRUPT:
      return ErrorCode::cancelled;
    case SQLITE_NOMEM:
      return ErrorCode::out_of_memory;
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
    case SQLITE_ERROR:
    case SQLITE_TOOBIG:
    case SQLITE_MISMATCH:
    case SQLITE_CONSTRAINT:
      return ErrorCode::format;
    case SQLITE_MISUSE:
    case SQLITE_RANGE:
      return ErrorCode::invalid_argument;
    default:
      return ErrorCode::io;
  }
}

// A FIFO or a device would be waited for, and what it says is no database. So for what SQLite keeps beside
// one.
Status check_kind(const std::filesystem::path& file) {
  for (const char* suffix : {"", "-wal", "-shm", "-journal"}) {
    std::filesystem::path part = file;
    part += suffix;
    std::error_code error;
    const auto status = std::filesystem::status(part, error);
    if (!std::filesystem::exists(status) || std::filesystem::is_regular_file(status)) continue;
    return fail(ErrorCode::io, "{}: is {}, not {}", part.string(),
                std::filesystem::is_directory(status) ? "a folder" : "a pipe or a device",
                *suffix == '\0' ? "a trace" : "what belongs to a trace; remove it");
  }
  return {};
}

// A file name as SQLite's URI syntax wants it.
std::string escape_uri(const std::string& path) {
  std::string out;
  for (const char c : path) {
    if (c == '%' || c == '?' || c == '#') {
      out += fmt::format("%{:02x}", static_cast<unsigned char>(c));
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace

std::string plain_name(const std::filesystem::path& file) {
  return file.is_absolute() ? file.string() : "./" + file.string();
}

void Statement::Finalize::operator()(sqlite3_stmt* statement) const {
  sqlite3_finalize(statement);
}
void Database::Close::operator()(sqlite3* database) const {
  sqlite3_close_v2(database);
}

void Statement::bind(int parameter, std::int64_t value) {
  if (const int rc = sqlite3_bind_int64(statement_.get(), parameter, value)) bind_error_ = rc;
}
void Statement::bind(int parameter, double value) {
  if (std::isnan(value)) return bind_null(parameter);
  if (const int rc = sqlite3_bind_double(statement_.get(), parameter, value)) bind_error_ = rc;
}
void Statement::bind(int parameter, std::string_view text) {
  const int rc = sqlite3_bind_text64(statement_.get(), parameter, text.data() == nullptr ? "" : text.data(),
                                     text.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
  if (rc != SQLITE_OK) bind_error_ = rc;
}
void Statement::bind_blob(int parameter, std::span<const std::byte> bytes) {
  // A null pointer would bind NULL, and an empty blob is not "not measured".
  const void* data = bytes.empty() ? static_cast<const void*>("") : bytes.data();
  if (const int rc = sqlite3_bind_blob64(statement_.get(), parameter, data, bytes.size(), SQLITE_STATIC)) {
    bind_error_ = rc;
  }
}
void Statement::bind_null(int parameter) {
  if (const int rc = sqlite3_bind_null(statement_.get(), parameter)) bind_error_ = rc;
}

Result<bool> Statement::step() {
  if (bind_error_ != SQLITE_OK)
    return database_->error(std::exchange(bind_error_, SQLITE_OK), "bind a value");
  const int rc = sqlite3_step(statement_.get());
  if (rc == SQLITE_ROW) return true;
  // The message must be taken before reset, which may replace it.
  if (rc != SQLITE_DONE) {
    auto failure = database_->error(rc, sqlite3_stmt_readonly(statement_.get()) != 0 ? "read" : "write");
    reset();
    return failure;
  }
  reset();
  return false;
}

Status Statement::run() {
  auto row = step();
  if (!row) return forward_error(row);
  reset();
  return {};
}

Status Statement::for_each_row(const std::function<Status(const Statement& row)>& visit) {
  for (;;) {
    auto row = step();
    if (!row) return forward_error(row);
    if (!*row) return {};
    if (auto status = visit(*this); !status) {
      reset();
      return status;
    }
  }
}

void Statement::reset() {
  sqlite3_reset(statement_.get());
}

std::int64_t Statement::integer(int column) const {
  return sqlite3_column_int64(statement_.get(), column);
}
double Statement::real(int column) const {
  return is_null(column) ? std::nan("") : sqlite3_column_double(statement_.get(), column);
}
bool Statement::is_null(int column) const {
  return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL;
}
std::string Statement::text(int column) const {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement_.get(), column));
  const int size = sqlite3_column_bytes(statement_.get(), column);
  return text == nullptr ? std::string() : std::string(text, static_cast<std::size_t>(size));
}
std::span<const std::byte> Statement::blob(int column) const {
  const auto* data = static_cast<const std::byte*>(sqlite3_column_blob(statement_.get(), column));
  const int size = sqlite3_column_bytes(statement_.get(), column);
  if (data == nullptr || size <= 0) return {};
  return {data, static_cast<std::size_t>(size)};
}

Result<std::unique_ptr<Database>> Database::open(const std::filesystem::path& file, Mode mode) {
  if (file.empty()) return fail(ErrorCode::invalid_argument, "the name of the trace is empty");
  if (auto kind = check_kind(file); !kind) return forward_error(kind);
  std::unique_ptr<Database> database(new Database());
  database->file_ = file;
  int flags = SQLITE_OPEN_FULLMUTEX;
  std::string name = plain_name(file);
  switch (mode) {
    case Mode::read_only:
      flags |= SQLITE_OPEN_READONLY;
      break;
    case Mode::read_write:
      flags |= SQLITE_OPEN_READWRITE;
      break;
    case Mode::create:
      flags |= SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
      break;
    case Mode::immutable:
      flags |= SQLITE_OPEN_READONLY | SQLITE_OPEN_URI;
      name = "file:" + escape_uri(std::filesystem::absolute(file).string()) + "?immutable=1";
      break;
  }
  sqlite3* handle = nullptr;
  const int rc = sqlite3_open_v2(name.c_str(), &handle, flags, nullptr);
  database->handle_.reset(handle);
  if (handle == nullptr)
    return fail(ErrorCode::out_of_memory, "{}: not enough memory to open", file.string());
  if (rc != SQLITE_OK) return database->error(rc, "open");
  sqlite3_extended_result_codes(handle, 1);
  sqlite3_busy_timeout(handle, kBusyTimeoutMs);
  sqlite3_limit(handle, SQLITE_LIMIT_LENGTH, kLongestValue);
  // The file may come from anyone: nothing in its schema may run code of ours.
  sqlite3_db_config(handle, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  sqlite3_db_config(handle, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, nullptr);
  sqlite3_exec(handle, "PRAGMA cell_size_check = ON", nullptr, nullptr, nullptr);
  return database;
}

Status Database::execute(const char* sql) {
  if (const int rc = sqlite3_exec(handle_.get(), sql, nullptr, nullptr, nullptr)) return error(rc, "write");
  return {};
}

Result<Statement> Database::prepare(std::string_view sql) const {
  sqlite3_stmt* raw = nullptr;
  const int rc = sqlite3_prepare_v3(handle_.get(), sql.data(), static_cast<int>(sql.size()),
                                    SQLITE_PREPARE_PERSISTENT, &raw, nullptr);
  if (rc != SQLITE_OK) return error(rc, "read");
  Statement statement;
  statement.statement_.reset(raw);
  statement.database_ = this;
  return statement;
}

Result<std::optional<std::int64_t>> Database::integer(std::string_view sql) const {
  auto statement = prepare(sql);
  if (!statement) return forward_error(statement);
  auto row = statement->step();
  if (!row) return forward_error(row);
  if (!*row) return std::nullopt;
  return statement->integer(0);
}

std::int64_t Database::last_insert_id() const {
  return sqlite3_last_insert_rowid(handle_.get());
}
void Database::interrupt() {
  sqlite3_interrupt(handle_.get());
}

tl::unexpected<Error> Database::error(int code, std::string_view doing) const {
  const int system_errno = sqlite3_system_errno(handle_.get());
  const ErrorCode kind = error_code(code, system_errno);
  if (kind == ErrorCode::disk_full) {
    return fail(kind, "{}: no space left for the trace; what was recorded before is kept", file_.string());
  }
  if (kind == ErrorCode::cancelled) return fail(kind, "{}: the query was cancelled", file_.string());
  return fail(kind, "{}: cannot {}: {}", file_.string(), doing, sqlite3_errmsg(handle_.get()));
}

Result<Transaction> Transaction::begin(Database& database) {
  if (auto status = database.execute("BEGIN IMMEDIATE"); !status) return forward_error(status);
  return Transaction(database);
}
Transaction::Transaction(Transaction&& other) noexcept : database_(std::exchange(other.database_, nullptr)) {}
Transaction::~Transaction() {
  // SQLite may have rolled back by itself after an error; a second ROLLBACK only says so.
  if (database_ != nullptr) sqlite3_exec(database_->handle(), "ROLLBACK", nullptr, nullptr, nullptr);
}
Status Transaction::commit() {
  if (auto status = database_->execute("COMMIT"); !status) return status;
  database_ = nullptr;
  return {};
}

}  // namespace expertscope
