// SPDX-License-Identifier: GPL-3.0-or-later
// Traces made to keep a reader busy, or to fill its memory: refused by name after work that the size of the
// file bounds. Work is counted in steps of SQLite's machine, never in seconds.
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include <unistd.h>

#include <array>
#include <cstring>
#include <fstream>
#include <iterator>
#include <thread>

#include "probes/store/database.h"
#include "probes/store/run_row.h"
#include "probes/store/schema.h"
#include "probes/store/trace_copy.h"
#include "tests/probes/synthetic.h"

namespace expertscope::testing {
namespace {

void record(const std::filesystem::path& file) {
  RecorderOptions options;
  options.token_bytes = [](std::int32_t id) { return "t" + std::to_string(id); };
  Shape shape;
  shape.shared_layer = {1, 0, 1};
  auto recorder = value_of(Recorder::start(file, run_info(shape), options));
  recorder->set_domain(0, std::string(100000, 'd'));
  ASSERT_OK(recorder->deliver(make_block(shape, CaptureRequest::standard(), {0, 20, 0, 0})));
  ASSERT_OK(recorder->finish("finished", std::string(100000, 'm')));
}

void change(const std::filesystem::path& file, const std::string& sql) {
  const auto database = value_of(Database::open(file, Database::Mode::read_write));
  ASSERT_OK(database->execute(sql.c_str()));
}

/// What opening a trace says after its table was made anew, with `to` in place of `from`.
std::string refusal_of_table(const std::string& table, const std::string& from, const std::string& to) {
  const TemporaryFolder folder;
  record(folder / "t.db");
  std::string sql;
  {
    const auto database = value_of(Database::open(folder / "t.db", Database::Mode::read_only));
    auto query = value_of(database->prepare("SELECT sql FROM sqlite_schema WHERE name = ?1"));
    query.bind(1, table);
    EXPECT_TRUE(value_of(query.step()));
    sql = query.text(0);
  }
  const auto at = sql.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  change(folder / "t.db", "DROP TABLE " + table + "; " + sql.replace(at, from.size(), to));
  const auto reading = TraceReader::open(folder / "t.db");
  const auto writing = Recorder::start(folder / "t.db", run_info(Shape()));
  EXPECT_EQ(writing.has_value(), reading.has_value()) << "nothing is recorded into what is refused";
  return reading ? std::string() : reading.error().message;
}

std::string refusal_after(const std::string& sql) {
  const TemporaryFolder folder;
  record(folder / "t.db");
  change(folder / "t.db", sql);
  const auto trace = TraceReader::open(folder / "t.db");
  return trace ? std::string() : trace.error().message;
}

TEST(HostileTrace, TablesThatCouldComputeSomethingAreRefusedByName) {
  struct Case {
    const char *table, *from, *to;
  };
  for (const Case& c : {
           Case{"run", "prompt TEXT NOT NULL", "prompt TEXT AS (hex(zeroblob(100000000)))"},
           Case{"run", "prompt TEXT NOT NULL", "prompt TEXT AS (printf('%.*c', 100000000, 'x')) STORED"},
           Case{"run", "device_memory INTEGER", "device_memory INTEGER AS (length(zeroblob(100000000)))"},
           Case{"run", "message TEXT NOT NULL", "message TEXT NOT NULL DEFAULT (hex(zeroblob(9)))"},
           Case{"run", "layers INTEGER NOT NULL",
                "layers INTEGER NOT NULL CHECK(length(zeroblob(layers)) > 0)"},
           Case{"run", "status TEXT NOT NULL", "status TEXT NOT NULL COLLATE NOCASE"},
           Case{"run", "INTEGER PRIMARY KEY", "INTEGER"},
           Case{"sequence", "run INTEGER NOT NULL", "run INTEGER NOT NULL REFERENCES run ON DELETE CASCADE"},
           Case{"expert_stats", "STRICT, WITHOUT ROWID", "WITHOUT ROWID"},
           Case{"column_block", "width INTEGER NOT NULL,", "width INTEGER NOT NULL, more BLOB,"},
           Case{"column", "encoding TEXT NOT NULL", "encoding TEXT NOT NULL CHECK(length(encoding) > 0)"},
           Case{"shared_expert_stats", "norm_sum REAL", "norm_sum REAL AS (length(zeroblob(100000000)))"},
           Case{"vocabulary", "bytes BLOB NOT NULL", "bytes BLOB NOT NULL /**/"},
       }) {
    const std::string message = refusal_of_table(c.table, c.from, c.to);
    EXPECT_NE(message.find(std::string("t.db: damaged trace: table ") + c.table + " is not made like"),
              std::string::npos)
        << c.to << ": " << message;
  }
}

TEST(HostileTrace, ATableMadeWithOtherBlanksIsTheSameTable) {
  EXPECT_EQ(refusal_of_table("dropped", "(\n  run INTEGER NOT NULL,", " ( run  INTEGER\tNOT NULL ,"), "");
}

TEST(HostileTrace, IndexesOnExpressionsAndTriggersAreRefusedPlainIndexesAreNot) {
  for (const char* sql :
       {"CREATE INDEX i ON run(hex(zeroblob(id)))", "CREATE INDEX i ON run(id) WHERE tokens > 1"})
    EXPECT_NE(refusal_after(sql).find("index i of table run computes"), std::string::npos) << sql;
  EXPECT_NE(
      refusal_after("CREATE TRIGGER t AFTER UPDATE ON run BEGIN DELETE FROM run; END").find("a trigger (t)"),
      std::string::npos);
  EXPECT_EQ(refusal_after("CREATE INDEX i ON expert_stats(expert, count DESC); CREATE TABLE notes(text); "
                          "CREATE VIEW mine AS SELECT * FROM run"),
            "");
}

TEST(HostileTrace, AQueryWithoutEndIsStopped) {
  const TemporaryFolder folder;
  record(folder / "t.db");
  const auto database = value_of(open_trace_for_reading(folder / "t.db"));
  const auto count = database->integer(
      "SELECT count(*) FROM (WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r) SELECT i FROM "
      "r)");
  ASSERT_FALSE(count);
  EXPECT_EQ(count.error().code, ErrorCode::format);
  EXPECT_NE(count.error().message.find("t.db: damaged trace: a query takes longer"), std::string::npos)
      << count.error().message;
  EXPECT_OK(database->integer("SELECT count(*) FROM run"));  // the connection goes on working
}

TEST(HostileTrace, RowsThatHoldMoreThanTheFileAreRefused) {
  const TemporaryFolder folder;
  record(folder / "t.db");
  const auto database = value_of(open_trace_for_reading(folder / "t.db"));
  auto query = value_of(database->prepare(
      "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r) SELECT zeroblob(65536) FROM r"));
  std::int64_t rows = 0;
  const auto status = query.for_each_row([&](const Statement&) -> Status {
    ++rows;
    return {};
  });
  ASSERT_FALSE(status);
  EXPECT_NE(status.error().message.find("rows hold more bytes than the file has"), std::string::npos);
  EXPECT_LE(rows * 65536,
            2 * static_cast<std::int64_t>(std::filesystem::file_size(folder / "t.db")) + (1 << 20));
}

TEST(HostileTrace, ATraceThatWasDeletedIsReadOn) {
  const TemporaryFolder folder;
  auto recorder = value_of(Recorder::start(folder / "t.db", run_info(Shape())));
  ASSERT_OK(recorder->deliver(make_block(Shape(), CaptureRequest::standard(), {0, 6000, 0, 0})));
  ASSERT_OK(recorder->finish("finished"));
  const auto trace = open_trace(folder / "t.db");
  std::filesystem::remove(folder / "t.db");
  const ExpertTable table = value_of(trace->expert_table(1, TokenRange{}));
  EXPECT_EQ(table.tokens, 6000);
}

/// Makes the root of a table without row ids, one leaf, into a tree whose inner pages name the same page
/// again and again: `levels` of them say that there are fanout^levels rows.
void tie_in_knots(const std::filesystem::path& file, const char* table, int levels, int fanout) {
  std::int64_t root = 0;
  {
    const auto database = value_of(Database::open(file, Database::Mode::read_only));
    auto query = value_of(database->prepare("SELECT rootpage FROM sqlite_schema WHERE name = ?1"));
    query.bind(1, table);
    ASSERT_TRUE(value_of(query.step()));
    root = query.integer(0);
  }
  std::ifstream in(file, std::ios::binary);
  std::string bytes{std::istreambuf_iterator<char>(in), {}};
  const std::size_t page = 32768;
  const auto put = [](std::string& at, std::size_t offset, std::uint32_t value, int width) {
    for (int i = 0; i < width; ++i)
      at[offset + static_cast<std::size_t>(i)] = static_cast<char>(value >> (8 * (width - 1 - i)) & 0xff);
  };
  const std::string leaf = bytes.substr(static_cast<std::size_t>(root - 1) * page, page);
  ASSERT_EQ(leaf[0], 10) << "a leaf of an index tree";
  const auto byte = [&](std::size_t at) {
    return static_cast<std::size_t>(static_cast<unsigned char>(leaf[at]));
  };
  const std::size_t cell = byte(8) * 256 + byte(9);
  const std::size_t length = 1 + byte(cell);  // less than 128 bytes: its length is one byte
  bytes += leaf;
  auto child = static_cast<std::uint32_t>(bytes.size() / page);
  for (int level = 0; level < levels; ++level) {
    std::string inner(page, '\0');
    const std::size_t at = page - length - 4;
    put(inner, 0, 2, 1);
    put(inner, 3, static_cast<std::uint32_t>(fanout), 2);
    put(inner, 5, static_cast<std::uint32_t>(at), 2);
    put(inner, 8, child, 4);
    for (int i = 0; i < fanout; ++i)
      put(inner, 12 + 2 * static_cast<std::size_t>(i), static_cast<std::uint32_t>(at), 2);
    put(inner, at, child, 4);
    inner.replace(at + 4, length, leaf, cell, length);
    if (level + 1 == levels) {
      bytes.replace(static_cast<std::size_t>(root - 1) * page, page, inner);
    } else {
      bytes += inner;
      child = static_cast<std::uint32_t>(bytes.size() / page);
    }
  }
  put(bytes, 28, static_cast<std::uint32_t>(bytes.size() / page), 4);
  std::ofstream(file, std::ios::binary) << bytes;
}

TEST(HostileTrace, PagesThatHangTogetherInAKnotEndAQuery) {
  for (const char* table : {"expert_stats", "layer_stats", "sequence", "policy_change"}) {
    const TemporaryFolder folder;
    {
      auto recorder = value_of(Recorder::start(folder / "t.db", run_info(Shape())));
      auto block = make_block(Shape(), CaptureRequest::standard(), {0, 20, 0, 0});
      block->table = table_of(R"({"version":1,"edits":[{"op":"top_k","layer":"*","k":1}]})");
      ASSERT_OK(recorder->deliver(std::move(block)));
      ASSERT_OK(recorder->finish("finished"));
    }
    tie_in_knots(folder / "t.db", table, 4, 5000);
    const auto trace = open_trace(folder / "t.db");
    ASSERT_NE(trace, nullptr);
    const auto a = trace->expert_table(1);
    const auto b = trace->layer_stats(1);
    const auto c = trace->sequences(1);
    const auto d = trace->policy_changes(1);
    const int refused = (a ? 0 : 1) + (b ? 0 : 1) + (c ? 0 : 1) + (d ? 0 : 1);
    EXPECT_EQ(refused, 1) << table;
  }
}

TEST(HostileTrace, TextsHaveABoundThatTheRecorderKeepsAndTheReaderAsksFor) {
  const TemporaryFolder folder;
  record(folder / "t.db");
  {
    const auto trace = open_trace(folder / "t.db");
    EXPECT_EQ(value_of(trace->run(1)).message.size(), kMaxText);
    EXPECT_EQ(value_of(trace->sequences(1))[0].domain.size(), kMaxText);
  }
  change(folder / "t.db", "UPDATE run SET dataset = printf('%.*c', 70000, 'x')");
  const auto runs = open_trace(folder / "t.db")->runs();
  ASSERT_FALSE(runs);
  EXPECT_NE(
      runs.error().message.find("run 1: dataset is a text of 70000 bytes where none has more than 65536"),
      std::string::npos);
  change(folder / "t.db", "UPDATE run SET dataset = '', prompt = printf('%.*c', 70000, 'x')");
  EXPECT_OK(open_trace(folder / "t.db")->runs());  // a prompt may be long
  EXPECT_EQ(bounded_text("a\xc3\xa4", 2), "a") << "no character is cut in two";
}

TEST(HostileTrace, AWordLongerThanTheRecorderKeepsOneIsDamage) {
  const TemporaryFolder folder;
  record(folder / "t.db");
  change(folder / "t.db",
         "UPDATE vocabulary SET bytes = zeroblob(65537) WHERE token_id = "
         "(SELECT max(token_id) FROM vocabulary)");
  const auto trace = open_trace(folder / "t.db");
  const auto rows = trace->tokens(1, {});
  ASSERT_FALSE(rows);
  EXPECT_EQ(rows.error().code, ErrorCode::format);
  EXPECT_NE(rows.error().message.find("t.db: damaged trace: vocabulary of run 1: token "), std::string::npos)
      << rows.error().message;
  EXPECT_NE(rows.error().message.find(" has 65537 bytes"), std::string::npos) << rows.error().message;
  for (const TokenRow& row : value_of(trace->tokens(1, {}, TokenWords::without)))
    EXPECT_EQ(row.bytes, "") << "who does not ask for words does not read them";
}

TEST(HostileTrace, ATableWithItsColumnsInAnotherOrderIsDamage) {
  const TemporaryFolder folder;
  record(folder / "t.db");
  change(folder / "t.db",
         "DROP TABLE column_block; CREATE TABLE column_block(run INTEGER NOT NULL, layer INTEGER NOT NULL, "
         "first_token INTEGER NOT NULL, column INTEGER NOT NULL, width INTEGER NOT NULL, tokens INTEGER NOT "
         "NULL, data BLOB NOT NULL, UNIQUE(run, layer, first_token, column)) STRICT");
  const auto trace = TraceReader::open(folder / "t.db");
  ASSERT_FALSE(trace);
  EXPECT_NE(trace.error().message.find("table column_block is not made like that of a trace"),
            std::string::npos)
      << trace.error().message;
}

/// Steps that reading the runs takes when there are so many.
std::int64_t steps_for_runs(int runs) {
  const TemporaryFolder folder;
  record(folder / "t.db");
  change(folder / "t.db",
         fmt::format("CREATE TEMP TABLE copy AS SELECT * FROM run; "
                     "UPDATE copy SET message = '', id = NULL; "
                     "WITH RECURSIVE r(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM r WHERE i < {}) "
                     "INSERT INTO run SELECT copy.* FROM r, copy",
                     runs));
  const auto database = value_of(open_trace_for_reading(folder / "t.db"));
  std::int64_t steps = 0;
  sqlite3_progress_handler(
      database->handle(), 1,
      [](void* count) {
        ++*static_cast<std::int64_t*>(count);
        return 0;
      },
      &steps);
  EXPECT_EQ(value_of(read_run_rows(*database, std::nullopt)).size(), static_cast<std::size_t>(runs));
  EXPECT_FALSE(value_of(has_interrupted_runs(*database)));
  return steps;
}

TEST(HostileTrace, TwiceAsManyRunsTakeAtMostTwiceTheSteps) {
  const std::int64_t once = steps_for_runs(500);
  EXPECT_GT(once, 500);
  EXPECT_LE(steps_for_runs(1000), 2 * once);
}

unsigned mode_of(const std::filesystem::path& file) {
  struct stat info {};
  return stat(file.c_str(), &info) == 0 ? info.st_mode & 0777 : 0;
}

TEST(PrivateTrace, NobodyElseMayReadATraceItsLogOrACopyOfIt) {
  const TemporaryFolder folder;
  auto recorder = value_of(Recorder::start(folder / "t.db", run_info(Shape())));
  EXPECT_EQ(mode_of(folder / "t.db"), 0600u);
  EXPECT_EQ(mode_of(folder / "t.db-wal"), 0600u);
  EXPECT_EQ(mode_of(folder / "t.db-shm"), 0600u);
  ASSERT_OK(recorder->finish("finished"));
  ASSERT_OK(copy_trace(folder / "t.db", folder / "copy.db"));
  EXPECT_EQ(mode_of(folder / "copy.db"), 0600u);
  EXPECT_EQ(value_of(open_trace(folder / "copy.db")->runs()).size(), 1u);
  EXPECT_FALSE(std::filesystem::exists(folder / "copy.db.part"));
}

TEST(PrivateTrace, ACopyOverAFileThatOthersReadIsPrivate) {
  const TemporaryFolder folder;
  record(folder / "t.db");
  std::ofstream(folder / "copy.db") << "for all";
  ASSERT_EQ(chmod((folder / "copy.db").c_str(), 0644), 0);
  ASSERT_OK(copy_trace(folder / "t.db", folder / "copy.db"));
  EXPECT_EQ(mode_of(folder / "copy.db"), 0600u);
}

TEST(PrivateTrace, ACopyMakesNoFileThatAKillCouldLeaveForEver) {
  const TemporaryFolder folder;
  record(folder / "t.db");
  std::filesystem::create_directory(folder / "copies");
  const int watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  ASSERT_GE(inotify_add_watch(watch, (folder / "copies").c_str(), IN_CREATE), 0);
  ASSERT_OK(copy_trace(folder / "t.db", folder / "copies/t.db"));
  std::array<char, 16384> events{};
  const ssize_t size = read(watch, events.data(), events.size());
  close(watch);
  ASSERT_GT(size, 0);
  for (std::size_t at = 0; at < static_cast<std::size_t>(size);) {
    inotify_event event{};
    std::memcpy(&event, events.data() + at, sizeof event);
    const std::string name = events.data() + at + sizeof event;
    EXPECT_TRUE(name.ends_with(".part")) << name << ": only those are tidied up";
    at += sizeof event + event.len;
  }
}

TEST(LinkedTrace, ALiveRecordingIsReadByALinkAsByItsName) {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder / "disk");
  std::filesystem::create_symlink("disk/real.db", folder / "t.db");
  RecorderOptions options;
  options.commit_interval = std::chrono::milliseconds(0);
  constexpr int kTokens = 80000;  // what is read of them is more than twice the file without its log
  const auto recorder = value_of(Recorder::start(folder / "t.db", run_info(Shape()), options));
  ASSERT_OK(recorder->deliver(make_block(Shape(), CaptureRequest::standard(), {0, kTokens, 0, 0})));
  const auto trace = open_trace(folder / "t.db");
  while (value_of(trace->run(1)).tokens < kTokens)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_EQ(value_of(trace->expert_table(1, TokenRange{})).tokens, kTokens);
  ASSERT_OK(recorder->finish("finished"));
}

TEST(LinkedTrace, WhatStandsForTheLogBesideTheTargetIsLookedAt) {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder / "disk");
  record(folder / "disk/real.db");
  std::filesystem::create_symlink("disk/real.db", folder / "t.db");
  ASSERT_EQ(mkfifo((folder / "disk/real.db-wal").c_str(), 0600), 0);
  const auto trace = TraceReader::open(folder / "t.db");
  ASSERT_FALSE(trace);
  EXPECT_NE(trace.error().message.find("real.db-wal: is a pipe or a device"), std::string::npos)
      << trace.error().message;
}

TEST(PrivateTrace, ALinkToWhereTheTraceShallBeIsFollowed) {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder / "disk");
  std::filesystem::create_symlink("disk/real.db", folder / "t.db");
  ASSERT_OK(value_of(Recorder::start(folder / "t.db", run_info(Shape())))->finish("finished"));
  EXPECT_EQ(mode_of(folder / "disk/real.db"), 0600u);
}

}  // namespace
}  // namespace expertscope::testing
