// SPDX-License-Identifier: GPL-3.0-or-later
// Traces of earlier versions: read as they are, and brought up to date when something is recorded into them.
#include <gtest/gtest.h>

#include <filesystem>
#include <set>
#include <string>

#include "probes/analysis/analysis.h"
#include "probes/store/database.h"
#include "probes/store/schema.h"
#include "tests/probes/synthetic.h"

namespace expertscope::testing {
namespace {

/// Recorded by the program as it was at version 1: models/top1, ids 1,2,3,4, 8 greedy tokens.
class OlderTrace : public ::testing::Test {
 protected:
  OlderTrace() {
    std::filesystem::copy(std::filesystem::path(EXPERTSCOPE_SOURCE_DIR) / "tests/data/traces/version1.db",
                          file_);
    std::filesystem::permissions(file_, std::filesystem::perms::owner_write,
                                 std::filesystem::perm_options::add);
  }

  std::int64_t version() const {
    const auto database = value_of(Database::open(file_, Database::Mode::read_only));
    return value_of(database->integer("PRAGMA user_version")).value_or(-1);
  }
  void record_another() const {
    const Shape shape;
    auto recorder = value_of(Recorder::start(file_, run_info(shape)));
    EXPECT_OK(recorder->deliver(make_block(shape, CaptureRequest::standard(), {0, 20, 0, 0})));
    EXPECT_OK(recorder->finish("finished"));
  }
  /// "run.device TEXT NOT NULL ''" for every column of every table.
  static std::set<std::string> columns(const std::filesystem::path& file) {
    const auto database = value_of(Database::open(file, Database::Mode::read_only));
    auto query = value_of(database->prepare(
        "SELECT m.name || '.' || c.name || ' ' || c.type || iif(c.\"notnull\", ' NOT NULL ', ' ') || "
        "coalesce(c.dflt_value, '') FROM sqlite_schema AS m JOIN pragma_table_info(m.name) AS c "
        "WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'"));
    std::set<std::string> found;
    while (value_of(query.step()))
      found.insert(query.text(0));
    return found;
  }

  TemporaryFolder folder_;
  std::filesystem::path file_ = folder_ / "t.db";
};

TEST_F(OlderTrace, IsReadWithoutWhatItLacksAndStaysAsItIs) {
  {
    const auto trace = open_trace(file_);
    const RunInfo run = value_of(trace->run(1));
    EXPECT_EQ(run.status, "finished");
    EXPECT_EQ(run.tokens, 11);
    EXPECT_EQ(run.backend_reason, "");
    EXPECT_EQ(run.device, "");
    EXPECT_EQ(run.device_memory, 0);
    EXPECT_EQ(value_of(trace->tokens(1, {})).size(), 11u);
    EXPECT_EQ(analyze_load(value_of(trace->expert_table(1))).layers.size(), 2u);
    EXPECT_EQ(value_of(trace->layer_stats(1)).size(), 2u);
  }
  EXPECT_EQ(version(), 1);
}

TEST_F(OlderTrace, IsReadFromAFileThatCannotBeWritten) {
  std::filesystem::permissions(file_, std::filesystem::perms::owner_read);
  EXPECT_EQ(value_of(open_trace(file_)->run(1)).tokens, 11);
}

TEST_F(OlderTrace, GetsTheColumnsOfThisVersionWithTheNextRecording) {
  const ExpertTable before = value_of(open_trace(file_)->expert_table(1));
  record_another();
  EXPECT_EQ(version(), kTraceVersion);
  const auto trace = open_trace(file_);
  expect_same_table(value_of(trace->expert_table(1)), before);
  EXPECT_EQ(value_of(trace->run(1)).backend_reason, "");
  EXPECT_EQ(value_of(trace->run(2)).backend_reason, "asked for");
  EXPECT_EQ(value_of(trace->tokens(2, {})).size(), 20u);
}

TEST_F(OlderTrace, IsThenLikeATraceThatWasMadeSo) {
  record_another();
  const auto recorder = value_of(Recorder::start(folder_ / "new.db", run_info(Shape())));
  EXPECT_OK(recorder->finish("finished"));
  EXPECT_EQ(columns(file_), columns(folder_ / "new.db"));
}

TEST_F(OlderTrace, IsReadOnWhileAnotherRunIsRecordedIntoIt) {
  const auto trace = open_trace(file_);
  EXPECT_EQ(value_of(trace->runs()).size(), 1u);
  record_another();
  const auto runs = value_of(trace->runs());
  ASSERT_EQ(runs.size(), 2u);
  EXPECT_EQ(runs[1].backend_reason, "asked for");
}

TEST_F(OlderTrace, ARunThatWasKilledIsMarkedWithoutANewVersion) {
  {
    const auto database = value_of(Database::open(file_, Database::Mode::read_write));
    EXPECT_OK(database->execute("UPDATE run SET status = 'recording', writer = 'another-boot/1/1/1/1'"));
  }
  EXPECT_EQ(value_of(open_trace(file_)->run(1)).status, "interrupted");
  EXPECT_EQ(version(), 1);
}

TEST_F(OlderTrace, OneThatHasAColumnBeforeItsTimeIsReadAllTheSame) {
  {
    const auto database = value_of(Database::open(file_, Database::Mode::read_write));
    EXPECT_OK(database->execute(
        "ALTER TABLE run ADD COLUMN device TEXT NOT NULL DEFAULT ''; UPDATE run SET device = 'GPU'"));
  }
  EXPECT_EQ(value_of(open_trace(file_)->run(1)).device, "GPU");
  record_another();
  EXPECT_EQ(value_of(open_trace(file_)->runs()).size(), 2u);
}

TEST(RunDevice, IsRecorded) {
  const TemporaryFolder folder;
  RunInfo info = run_info(Shape());
  info.device = "NVIDIA H200";
  info.device_uuid = "GPU-5e3f";
  info.driver = "580.159.04, CUDA 13.0";
  info.device_memory = 150'000'000'000;
  auto recorder = value_of(Recorder::start(folder / "t.db", info));
  EXPECT_OK(recorder->finish("finished"));
  const RunInfo run = value_of(open_trace(folder / "t.db")->run(1));
  EXPECT_EQ(run.device, "NVIDIA H200");
  EXPECT_EQ(run.device_uuid, "GPU-5e3f");
  EXPECT_EQ(run.driver, "580.159.04, CUDA 13.0");
  EXPECT_EQ(run.device_memory, 150'000'000'000);
}

TEST(RunDevice, WithoutADeviceThereIsNoMemory) {
  const TemporaryFolder folder;
  auto recorder = value_of(Recorder::start(folder / "t.db", run_info(Shape())));
  EXPECT_OK(recorder->finish("finished"));
  const auto database = value_of(open_trace_for_reading(folder / "t.db"));
  auto query = value_of(database->prepare("SELECT device, device_memory FROM run"));
  ASSERT_TRUE(value_of(query.step()));
  EXPECT_EQ(query.text(0), "");
  EXPECT_TRUE(query.is_null(1));
}

}  // namespace
}  // namespace expertscope::testing
