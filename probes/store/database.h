// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "engine/error.h"

struct sqlite3;
struct sqlite3_stmt;

namespace expertscope {

class Database;

/// A name that SQLite takes for nothing but a file: "file:..." and ":memory:" mean something else to it, also
/// in a statement.
std::string plain_name(const std::filesystem::path& file);

/// A prepared statement. Parameters count from 1, columns from 0, as in SQLite. Must not outlive its
/// Database.
class Statement {
 public:
  Statement() = default;
  explicit operator bool() const { return statement_ != nullptr; }

  // A bind that fails (out of memory, no such parameter) is reported by the next step().
  void bind(int parameter, std::int64_t value);
  void bind(int parameter, int value) { bind(parameter, static_cast<std::int64_t>(value)); }
  void bind(int parameter, double value);  ///< NaN becomes NULL, as SQLite has no NaN
  void bind(int parameter, std::string_view text);
  void bind(int parameter, const std::string& text) { bind(parameter, std::string_view(text)); }
  void bind(int parameter, const char* text) { bind(parameter, std::string_view(text)); }
  /// The bytes are not copied and must live until the statement is reset or stepped to its end.
  void bind_blob(int parameter, std::span<const std::byte> bytes);
  void bind_null(int parameter);
  void bind(int parameter, std::span<const std::byte> bytes) { bind_blob(parameter, bytes); }
  template <class Value>
  void bind(int parameter, const std::optional<Value>& value) {
    value ? bind(parameter, *value) : bind_null(parameter);
  }

  /// True: a row is there. False: done, and the statement is reset for the next use.
  /// A file that makes it work, or gives it more bytes, than a sound one of its size could is
  /// ErrorCode::format.
  Result<bool> step();
  /// Runs a statement that returns no rows and resets it.
  Status run();
  /// Steps to the end and gives each row to `visit`, whose error ends it.
  Status for_each_row(const std::function<Status(const Statement& row)>& visit);
  void reset();

  std::int64_t integer(int column) const;
  double real(int column) const;
  bool is_null(int column) const;
  std::string text(int column) const;
  /// Valid until the next step or reset; empty for NULL.
  std::span<const std::byte> blob(int column) const;

 private:
  friend class Database;
  bool too_many_bytes();
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
  const Database* database_ = nullptr;
  int bind_error_ = 0;
  std::int64_t steps_ = 0;  ///< of SQLite's machine, since the last reset
  std::int64_t bytes_ = 0;  ///< in the texts and blobs of the rows since then
};

/// One connection. Errors carry the file and SQLite's message; a full disk is ErrorCode::disk_full, an
/// interrupted query ErrorCode::cancelled, a file that is not a database or is damaged ErrorCode::format.
class Database {
 public:
  enum class Mode : std::uint8_t { read_only, read_write, create, immutable };
  static Result<std::unique_ptr<Database>> open(const std::filesystem::path& file, Mode mode);
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  const std::filesystem::path& file() const { return file_; }
  /// Where SQLite keeps the log: beside the file itself, not beside a link to it.
  const std::string& log_file() const { return names_[1]; }

  /// One or more statements without parameters; rows are ignored.
  Status execute(const char* sql);
  Result<Statement> prepare(std::string_view sql) const;
  /// Runs a statement that returns no rows with ?1, ?2, ... = `values`; it stays prepared for the next time.
  template <class... Values>
  Status write(std::string_view sql, const Values&... values) {
    auto statement = kept(sql);
    if (!statement) return forward_error(statement);
    int parameter = 0;
    ((*statement)->bind(++parameter, values), ...);
    return (*statement)->run();
  }
  /// The statement, prepared once for the life of the connection.
  Result<Statement*> kept(std::string_view sql);
  /// First column of the first row of a query without parameters; empty where there is no row.
  Result<std::optional<std::int64_t>> integer(std::string_view sql) const;
  std::int64_t last_insert_id() const;

  /// `go_on` is asked again and again while another connection holds a lock, instead of for ten seconds; it
  /// waits a little itself and must not throw. False: the statement fails.
  void set_on_busy(std::function<bool()> go_on);
  /// Whether the file is still the one that was opened, and not shorter than it was at the last call, unless
  /// it was tidied up: SQLite itself goes on writing into a file that nobody will find again.
  Status check_in_place();
  /// Notes how long the file has to be at least, for check_in_place(). To be called where this connection has
  /// the lock and has added nothing yet: what it adds stands in the log first.
  void note_length();
  /// Whether a sound file of this size can hold so many bytes of texts and blobs.
  bool can_hold(std::int64_t bytes) const;

  /// Safe from any thread while the connection exists.
  void interrupt();
  sqlite3* handle() const { return handle_.get(); }

  /// The Error for a result code of this connection. `doing` completes "FILE: cannot ...".
  tl::unexpected<Error> error(int code, std::string_view doing) const;

 private:
  friend class Statement;
  Database() = default;
  struct Close {
    void operator()(sqlite3* database) const;
  };
  static int watch(void* database);
  static int ask_on_busy(void* database, int attempts);
  std::int64_t bytes_on_disk() const;

  std::filesystem::path file_;
  std::array<std::string, 2> names_;  ///< of the file and its log
  std::int64_t size_seen_ = 0;
  std::int64_t length_ = -1;  ///< bytes, as noted; -1: not known
  std::function<bool()> on_busy_;
  std::unique_ptr<sqlite3, Close> handle_;
  std::map<std::string, Statement, std::less<>> kept_;
  mutable std::int64_t steps_ = 0;  ///< of the statement that runs
  mutable bool exhausted_ = false;  ///< it was stopped because it takes too many
};

/// BEGIN IMMEDIATE now; ROLLBACK on the way out unless committed.
class Transaction {
 public:
  static Result<Transaction> begin(Database& database);
  Transaction(Transaction&& other) noexcept;
  Transaction& operator=(Transaction&&) = delete;
  ~Transaction();
  Status commit();

 private:
  explicit Transaction(Database& database) : database_(&database) {}
  Database* database_ = nullptr;
};

}  // namespace expertscope
