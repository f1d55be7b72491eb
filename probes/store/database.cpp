// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/store/database.h"

#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <system_error>
#include <utility>

#include "engine/formats/descriptor.h"
#include "probes/store/schema.h"

namespace expertscope {
namespace {

constexpr int kBusyTimeoutMs = 10000;
// Our longest rows are a run with a prompt and a text, 134 MB, and a block of all slots of 16384 experts,
// 84 MB; anything far beyond them in a file is damage.
constexpr int kLongestRow = 160 << 20;
static_assert(kLongestRow > 2 * kMaxLongText, "a run has a prompt and a text");

// In a damaged file pages can hang together in a circle, and a thousand rows can share one long value: then a
// small file keeps a query busy for ever. In a sound one, a row takes some twenty steps and ten bytes.
constexpr int kWatchInterval = 4096;
constexpr std::int64_t kFreeSteps = 1 << 21;  // less than a tenth of a second
constexpr std::int64_t kStepsPerByte = 8;
constexpr std::int64_t kFreeBytes = 1 << 20;
constexpr std::int64_t kBytesPerByte = 2;  // UTF-16 in the file is longer in UTF-8

// SQLite says SQLITE_FULL for ENOSPC only; a quota or a file size limit comes as a failed write, most often
// without its errno.
bool is_full(int code, int system_errno) {
  if ((code & 0xff) == SQLITE_FULL) return true;
  if (code != SQLITE_IOERR_WRITE && code != SQLITE_IOERR_FSYNC && code != SQLITE_IOERR_SHMSIZE) return false;
  if (is_no_room(system_errno)) return true;
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
Status check_kind(const std::filesystem::path& named) {
  std::error_code dangling;
  const auto target = std::filesystem::canonical(named, dangling);
  const bool link = !dangling && std::filesystem::is_symlink(named, dangling);
  const auto& file = link ? target : named;
  for (const char* suffix : {"", "-wal", "-shm", "-journal"}) {
    std::filesystem::path part = *suffix == '\0' ? named : file;
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
  database_->steps_ = steps_;
  const int rc = sqlite3_step(statement_.get());
  steps_ = database_->steps_;
  if (rc == SQLITE_ROW) {
    if (!too_many_bytes()) return true;
    reset();
    return fail(ErrorCode::format, "{}: damaged trace: rows hold more bytes than the file has",
                database_->file().string());
  }
  // The message must be taken before reset, which may replace it.
  if (rc != SQLITE_DONE) {
    auto failure = database_->error(rc, sqlite3_stmt_readonly(statement_.get()) != 0 ? "read" : "write");
    reset();
    return failure;
  }
  reset();
  return false;
}

bool Statement::too_many_bytes() {
  for (int column = sqlite3_data_count(statement_.get()) - 1; column >= 0; --column) {
    const int type = sqlite3_column_type(statement_.get(), column);
    if (type == SQLITE_TEXT || type == SQLITE_BLOB) bytes_ += sqlite3_column_bytes(statement_.get(), column);
  }
  return !database_->can_hold(bytes_);
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
  steps_ = 0;
  bytes_ = 0;
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
  const std::string real = sqlite3_db_filename(handle, "main");
  database->names_ = {real, real + "-wal"};
  struct stat info {};
  if (::stat(database->names_[0].c_str(), &info) == 0) database->size_seen_ = info.st_size;
  sqlite3_extended_result_codes(handle, 1);
  sqlite3_busy_timeout(handle, kBusyTimeoutMs);
  sqlite3_limit(handle, SQLITE_LIMIT_LENGTH, kLongestRow);
  sqlite3_progress_handler(handle, kWatchInterval, &Database::watch, database.get());
  // The file may come from anyone: nothing in its schema may run code of ours.
  sqlite3_db_config(handle, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  sqlite3_db_config(handle, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, nullptr);
  sqlite3_db_config(handle, SQLITE_DBCONFIG_ENABLE_FKEY, 0, nullptr);
  sqlite3_exec(handle, "PRAGMA cell_size_check = ON", nullptr, nullptr, nullptr);
  return database;
}

int Database::watch(void* self) {
  const auto& database = *static_cast<const Database*>(self);
  database.steps_ += kWatchInterval;
  if (database.steps_ <= kFreeSteps) return 0;
  database.exhausted_ = database.steps_ > kFreeSteps + kStepsPerByte * database.bytes_on_disk();
  return database.exhausted_ ? 1 : 0;
}

// Called from inside SQLite, which nothing may be thrown through: no memory is taken here.
std::int64_t Database::bytes_on_disk() const {
  std::int64_t total = 0;
  for (const std::string& name : names_) {
    struct stat info {};
    if (::stat(name.c_str(), &info) == 0) total += info.st_size;
  }
  return std::max(total, size_seen_);  // an open file can be read on after somebody deleted it
}

bool Database::can_hold(std::int64_t bytes) const {
  // Every row asks, so the file system is asked last; bytes_on_disk() is never less than size_seen_.
  return bytes <= kFreeBytes || bytes <= kBytesPerByte * size_seen_ ||
         bytes <= kBytesPerByte * bytes_on_disk();
}

int Database::ask_on_busy(void* self, int) {
  const auto& database = *static_cast<const Database*>(self);
  return database.on_busy_() ? 1 : 0;
}

void Database::set_on_busy(std::function<bool()> go_on) {
  on_busy_ = std::move(go_on);
  sqlite3_busy_handler(handle_.get(), &Database::ask_on_busy, this);
}

Status Database::check_in_place() {
  int moved = 0;
  sqlite3_file_control(handle_.get(), "main", SQLITE_FCNTL_HAS_MOVED, &moved);
  if (moved != 0) {
    return fail(ErrorCode::io,
                "{}: was deleted, moved or replaced while it was written; what was not in it yet is lost",
                file_.string());
  }
  struct stat info {};
  if (::stat(names_[0].c_str(), &info) != 0) return {};
  const std::int64_t before = std::exchange(size_seen_, info.st_size);
  if (info.st_size >= before) return {};
  // VACUUM shortens a file, too, and then says so in it.
  if (length_ >= 0 && info.st_size >= length_) return {};
  return fail(ErrorCode::io,
              "{}: was cut from {} to {} bytes while it was written; what stood in the rest is lost",
              file_.string(), before, info.st_size);
}

void Database::note_length() {
  const auto pages = integer("PRAGMA page_count");
  const auto page = integer("PRAGMA page_size");
  const std::int64_t length = pages && page ? pages->value_or(0) * page->value_or(0) : 0;
  length_ = length > 0 ? length : -1;  // an emptied file has no page
}

Status Database::execute(const char* sql) {
  steps_ = 0;
  if (const int rc = sqlite3_exec(handle_.get(), sql, nullptr, nullptr, nullptr)) return error(rc, "write");
  return {};
}

Result<Statement> Database::prepare(std::string_view sql) const {
  steps_ = 0;
  sqlite3_stmt* raw = nullptr;
  const int rc = sqlite3_prepare_v3(handle_.get(), sql.data(), static_cast<int>(sql.size()),
                                    SQLITE_PREPARE_PERSISTENT, &raw, nullptr);
  if (rc != SQLITE_OK) return error(rc, "read");
  Statement statement;
  statement.statement_.reset(raw);
  statement.database_ = this;
  return statement;
}

Result<Statement*> Database::kept(std::string_view sql) {
  auto found = kept_.find(sql);
  if (found == kept_.end()) {
    auto statement = prepare(sql);
    if (!statement) return forward_error(statement);
    found = kept_.emplace(sql, std::move(*statement)).first;
  }
  return &found->second;
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
  if (std::exchange(exhausted_, false)) {
    return fail(ErrorCode::format,
                "{}: damaged trace: a query takes longer than a sound file of its size can", file_.string());
  }
  const int system_errno = sqlite3_system_errno(handle_.get());
  const ErrorCode kind = error_code(code, system_errno);
  if (kind == ErrorCode::disk_full) {
    return fail(kind, "{}: no space left for the trace", file_.string());
  }
  if (kind == ErrorCode::cancelled) return fail(kind, "{}: the query was cancelled", file_.string());
  if ((code & 0xff) == SQLITE_BUSY) {
    return fail(kind, "{}: another program has locked it; try again when that is done with it",
                file_.string());
  }
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
