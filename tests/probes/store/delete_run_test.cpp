// SPDX-License-Identifier: GPL-3.0-or-later
// A run is deleted as a whole or not at all, and nothing ever takes its number.
#include <gtest/gtest.h>

#include <filesystem>
#include <thread>
#include <vector>

#include "probes/store/database.h"
#include "probes/store/delete_run.h"
#include "probes/store/schema.h"
#include "tests/probes/synthetic.h"

namespace expertscope::testing {
namespace {

// One run with rows in every table.
std::int64_t record(const std::filesystem::path& file, int tokens = 300) {
  RecorderOptions options;
  options.token_bytes = [](std::int32_t id) { return "t" + std::to_string(id); };
  Shape shape;
  shape.shared_layer = {1, 0, 1};
  auto recorder = value_of(Recorder::start(file, run_info(shape), options));
  recorder->set_domain(0, "prose");
  auto block = make_block(shape, CaptureRequest::standard(), {0, tokens, 0, 0});
  block->table = table_of(R"({"version":1,"edits":[{"op":"top_k","layer":"*","k":1}]})");
  EXPECT_OK(recorder->deliver(std::move(block)));
  EXPECT_OK(recorder->finish("finished"));
  return recorder->run_id();
}

void change(const std::filesystem::path& file, const std::string& sql) {
  const auto database = value_of(Database::open(file, Database::Mode::read_write));
  ASSERT_OK(database->execute(sql.c_str()));
}

std::vector<std::int64_t> ids(const std::filesystem::path& file) {
  std::vector<std::int64_t> all;
  for (const RunInfo& run : value_of(open_trace(file)->runs()))
    all.push_back(run.id);
  return all;
}

using Ids = std::vector<std::int64_t>;

TEST(DeleteRun, LeavesNoRowOfTheRunInAnyTableAndTheOthersUntouched) {
  const TemporaryFolder folder;
  const auto file = folder / "t.db";
  record(file);
  record(file);
  change(file, "INSERT INTO dropped VALUES(1, 300, 0, 300, 7), (2, 300, 0, 300, 7)");
  const ExpertTable kept = value_of(open_trace(file)->expert_table(2));
  ASSERT_OK(delete_run(file, 1));

  EXPECT_EQ(ids(file), Ids{2});
  expect_same_table(value_of(open_trace(file)->expert_table(2)), kept);
  expect_same_table(value_of(open_trace(file)->expert_table(2, TokenRange{})), kept);
  const auto database = value_of(Database::open(file, Database::Mode::read_only));
  auto tables =
      value_of(database->prepare("SELECT m.name FROM sqlite_schema AS m JOIN pragma_table_info(m.name) AS c "
                                 "WHERE m.type = 'table' AND c.name = 'run'"));
  int count = 0;
  while (value_of(tables.step())) {
    SCOPED_TRACE(tables.text(0));
    ++count;
    const std::string from = "SELECT count(*) FROM " + tables.text(0) + " WHERE run = ";
    EXPECT_EQ(value_of(database->integer(from + "1")), 0);
    EXPECT_GT(value_of(database->integer(from + "2")).value_or(0), 0);
  }
  EXPECT_EQ(count, 8) << "every table that has rows of a run";
}

TEST(DeleteRun, TheNumberOfADeletedRunIsNeverGivenAgain) {
  const TemporaryFolder folder;
  const auto file = folder / "t.db";
  record(file);
  record(file);
  ASSERT_OK(delete_run(file, 2));
  EXPECT_EQ(record(file), 3);
  ASSERT_OK(delete_run(file, 1));
  ASSERT_OK(delete_run(file, 3));
  EXPECT_EQ(ids(file), Ids{});
  EXPECT_EQ(record(file), 4) << "also when no run is left";
}

TEST(DeleteRun, ATraceOfTheSameVersionIsLeft) {
  const TemporaryFolder folder;
  const auto file = folder / "t.db";
  record(file);
  ASSERT_OK(delete_run(file, 1));
  const auto database = value_of(Database::open(file, Database::Mode::read_only));
  EXPECT_EQ(value_of(database->integer("PRAGMA user_version")), kTraceVersion);
}

TEST(DeleteRun, TheNextRecordingUsesTheRoomThatBecameFree) {
  const TemporaryFolder folder;
  const auto file = folder / "t.db";
  record(file, 4000);
  record(file, 10);
  const auto size = std::filesystem::file_size(file);
  ASSERT_OK(delete_run(file, 1));
  EXPECT_EQ(std::filesystem::file_size(file), size);
  record(file, 2000);
  EXPECT_EQ(std::filesystem::file_size(file), size);
}

TEST(DeleteRun, ARunThatIsNotThereIsRefused) {
  const TemporaryFolder folder;
  const auto file = folder / "t.db";
  record(file);
  const Status refused = delete_run(file, 7);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(refused.error().message, file.string() + ": there is no run 7 to delete");
  EXPECT_EQ(ids(file), Ids{1});
  ASSERT_OK(delete_run(file, 1));
  EXPECT_FALSE(delete_run(file, 1)) << "nor twice";
}

TEST(DeleteRun, ARunThatIsBeingRecordedIsRefusedUntilItEnds) {
  const TemporaryFolder folder;
  const auto file = folder / "t.db";
  auto recorder = value_of(Recorder::start(file, run_info(Shape())));
  const Status refused = delete_run(file, 1);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(refused.error().message,
            file.string() + ": run 1 is still being recorded; stop the recording, then delete it");
  ASSERT_OK(recorder->finish("finished"));
  EXPECT_OK(delete_run(file, 1));
}

TEST(DeleteRun, AnOlderRunGoesWhileANewOneIsRecorded) {
  const TemporaryFolder folder;
  const auto file = folder / "t.db";
  record(file);
  auto recorder = value_of(Recorder::start(file, run_info(Shape())));
  ASSERT_OK(recorder->deliver(make_block(Shape(), CaptureRequest::standard(), {0, 20, 0, 0})));
  EXPECT_OK(delete_run(file, 1));
  ASSERT_OK(recorder->deliver(make_block(Shape(), CaptureRequest::standard(), {20, 20, 0, 20})));
  ASSERT_OK(recorder->finish("finished"));
  EXPECT_EQ(ids(file), Ids{2});
  EXPECT_EQ(value_of(open_trace(file)->run(2)).tokens, 40);
}

TEST(DeleteRun, ARunWhoseWriterWasKilledCanBeDeleted) {
  const TemporaryFolder folder;
  const auto file = folder / "t.db";
  record(file);
  change(file, "UPDATE run SET status = 'recording', writer = 'another-boot/1/1/1/1'");
  EXPECT_OK(delete_run(file, 1));
}

TEST(DeleteRun, WaitsForALockThatAnotherProgramHolds) {
  const TemporaryFolder folder;
  const auto file = folder / "t.db";
  record(file);
  const auto other = value_of(Database::open(file, Database::Mode::read_write));
  ASSERT_OK(other->execute("BEGIN IMMEDIATE"));
  std::thread release([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    EXPECT_OK(other->execute("COMMIT"));
  });
  EXPECT_OK(delete_run(file, 1));
  release.join();
}

TEST(DeleteRun, AReaderThatLooksAtTheRunGoesOnToSeeItsSnapshot) {
  const TemporaryFolder folder;
  const auto file = folder / "t.db";
  record(file);
  const auto trace = open_trace(file);
  {
    const TraceReader::Snapshot one_state(*trace);
    ASSERT_OK(trace->run(1));
    ASSERT_OK(delete_run(file, 1));
    EXPECT_EQ(value_of(trace->tokens(1, {})).size(), 300u);
  }
  EXPECT_FALSE(trace->run(1));
}

TEST(DeleteRun, MakesNoTraceWhereThereIsNone) {
  const TemporaryFolder folder;
  EXPECT_FALSE(delete_run(folder / "t.db", 1));
  EXPECT_FALSE(std::filesystem::exists(folder / "t.db"));
}

TEST(DeleteRun, AnotherThingInPlaceOfTheTableOfDeletedRunsIsDamage) {
  for (const char* sql : {"CREATE VIEW Deleted_Run AS SELECT 1 AS id", "CREATE TABLE deleted_run(id, more)",
                          "CREATE TABLE deleted_run(id INTEGER PRIMARY KEY, n INTEGER AS (id + 1)) STRICT"}) {
    SCOPED_TRACE(sql);
    const TemporaryFolder folder;
    record(folder / "t.db");
    change(folder / "t.db", sql);
    EXPECT_EQ(TraceReader::open(folder / "t.db").error().code, ErrorCode::format);
    EXPECT_FALSE(Recorder::start(folder / "t.db", run_info(Shape())));
    EXPECT_FALSE(delete_run(folder / "t.db", 1));
  }
}

TEST(DeleteRun, NoRunIsRecordedBehindTheHighestIdThereIs) {
  const TemporaryFolder folder;
  const auto file = folder / "t.db";
  record(file);
  ASSERT_OK(delete_run(file, 1));
  change(file, "INSERT INTO deleted_run VALUES(9223372036854775807)");
  const auto recording = Recorder::start(file, run_info(Shape()));
  ASSERT_FALSE(recording);
  EXPECT_EQ(recording.error().code, ErrorCode::format);
}

}  // namespace
}  // namespace expertscope::testing
