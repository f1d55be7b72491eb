// SPDX-License-Identifier: GPL-3.0-or-later
// Files that are no traces, come from the future, or are damaged: refused by name, never a crash.
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <random>

#include "probes/report/report.h"
#include "probes/store/database.h"
#include "tests/probes/synthetic.h"

namespace expertscope::testing {
namespace {

std::string content(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

void put(const std::filesystem::path& file, const std::string& bytes) {
  std::ofstream(file, std::ios::binary) << bytes;
}

void record(const std::filesystem::path& file) {
  const Shape shape;
  CaptureRequest probes = CaptureRequest::standard();
  probes.router_logits = true;
  RecorderOptions options;
  options.token_bytes = [](std::int32_t id) { return "t" + std::to_string(id); };
  auto recorder = value_of(Recorder::start(file, run_info(shape, probes), options));
  auto block = make_block(shape, probes, {0, 300, 0, 0});
  block->table = table_of(R"({"version":1,"edits":[{"op":"top_k","layer":"*","k":1}]})");
  ASSERT_OK(recorder->deliver(std::move(block)));
  ASSERT_OK(recorder->finish("finished"));
}

// What opening says; empty when it opens.
std::string refusal(const std::filesystem::path& file) {
  const auto trace = TraceReader::open(file);
  return trace ? std::string() : trace.error().message;
}

void expect_refused(const std::filesystem::path& file, const std::string& because) {
  const std::string message = refusal(file);
  EXPECT_EQ(message.find(file.string()), 0u) << "names the file: " << message;
  EXPECT_NE(message.find(because), std::string::npos) << message;
}

TEST(BadTrace, FilesThatAreNone) {
  const TemporaryFolder folder;
  expect_refused(folder / "missing.db", "no such file");
  expect_refused(folder.path(), "is a folder");
  put(folder / "text.db", "This is a shopping list, not a database. " + std::string(5000, 'x'));
  expect_refused(folder / "text.db", "is not an Expertscope trace (not a SQLite database)");
  put(folder / "empty.db", "");
  expect_refused(folder / "empty.db", "not an Expertscope trace");
  {
    auto other = value_of(Database::open(folder / "other.db", Database::Mode::create));
    ASSERT_OK(other->execute("CREATE TABLE run(id INTEGER); PRAGMA application_id = 1234"));
  }
  expect_refused(folder / "other.db", "but not an Expertscope trace (application_id 1234)");
}

TEST(BadTrace, ANewerVersionIsRefusedByName) {
  const TemporaryFolder folder;
  record(folder / "t.db");
  {
    auto database = value_of(Database::open(folder / "t.db", Database::Mode::read_write));
    ASSERT_OK(database->execute("PRAGMA user_version = 2"));
  }
  expect_refused(folder / "t.db", "trace version 2, this program reads up to 1");
  const auto opened = TraceReader::open(folder / "t.db");
  EXPECT_EQ(opened.error().code, ErrorCode::unsupported);
  const auto recorder = Recorder::start(folder / "t.db", run_info(Shape()));
  ASSERT_FALSE(recorder) << "nothing is recorded into it either";
  EXPECT_EQ(recorder.error().code, ErrorCode::unsupported);
}

TEST(BadTrace, NothingIsRecordedIntoAForeignFile) {
  const TemporaryFolder folder;
  put(folder / "thesis.txt", "ten years of work" + std::string(4000, '.'));
  const std::string before = content(folder / "thesis.txt");
  const auto recorder = Recorder::start(folder / "thesis.txt", run_info(Shape()));
  ASSERT_FALSE(recorder);
  EXPECT_NE(recorder.error().message.find("thesis.txt"), std::string::npos);
  EXPECT_EQ(content(folder / "thesis.txt"), before);
  const auto nowhere = Recorder::start(folder / "no/t.db", run_info(Shape()));
  ASSERT_FALSE(nowhere);
  EXPECT_NE(nowhere.error().message.find("does not exist"), std::string::npos);
}

TEST(BadTrace, AnEmptyFileIsTakenForANewTrace) {
  const TemporaryFolder folder;
  put(folder / "t.db", "");
  record(folder / "t.db");
  EXPECT_EQ(refusal(folder / "t.db"), "");
}

// Asks a reader for everything; the first error, or an empty string.
std::string read_all(const TraceReader& trace) {
  std::string problem;
  const auto keep = [&](const auto& result) {
    if (!result && problem.empty()) problem = result.error().message;
  };
  const auto runs = trace.runs();
  keep(runs);
  if (!runs) return problem;
  for (const RunInfo& run : *runs) {
    keep(trace.policy_changes(run.id));
    keep(trace.sequences(run.id));
    keep(trace.expert_table(run.id));
    keep(trace.expert_table(run.id, TokenRange{10, 290}));
    keep(trace.layer_stats(run.id));
    keep(trace.tokens(run.id, {}));
    keep(trace.token_slots(run.id, 260));
    keep(trace.entropy(run.id, 0, {}));
    keep(trace.hidden_max(run.id, 1, {}));
    keep(trace.router_logits(run.id, 2, 299));
    keep(trace.visit_expert(run.id, 2, 1, {}, [](std::int64_t, const SlotRow&) { return true; }));
    keep(trace.visit_selections(run.id, 2, {},
                                [](std::int64_t, std::span<const std::uint16_t>) { return true; }));
  }
  keep(make_report(trace, &trace, {}));
  return problem;
}

// Records a trace, changes it by SQL, and says what reading it says.
std::string damaged_by(const std::string& sql) {
  const TemporaryFolder folder;
  record(folder / "t.db");
  {
    auto database = value_of(Database::open(folder / "t.db", Database::Mode::read_write));
    EXPECT_OK(database->execute(sql.c_str()));
  }
  auto trace = TraceReader::open(folder / "t.db");
  return trace ? read_all(**trace) : trace.error().message;
}

TEST(BadTrace, ReadsCompletelyWhenNothingIsDamaged) {
  EXPECT_EQ(damaged_by("SELECT 1"), "");
}

TEST(BadTrace, BlobsThatDoNotFitTheirRow) {
  for (const char* sql : {
           "UPDATE slot_block SET expert = zeroblob(3) WHERE layer = 2",
           "UPDATE slot_block SET weight = zeroblob(4) WHERE layer = 2",
           "UPDATE slot_block SET output_channel = NULL WHERE layer = 2",
           "UPDATE slot_block SET slots = 5 WHERE layer = 2",
           "UPDATE slot_block SET slots = 4611686018427387904 WHERE layer = 2",
           "UPDATE slot_block SET tokens = -1 WHERE layer = 2",
           "UPDATE slot_block SET tokens = 1000000000000 WHERE layer = 2",
           "UPDATE slot_block SET first_token = first_token + 1 WHERE layer = 2 AND first_token > 0",
           "UPDATE token_block SET tokens = 9223372036854775807",
           "UPDATE token_block SET token_id = zeroblob(0)",
           "UPDATE token_block SET first_token = first_token + 7 WHERE first_token > 0",
           "UPDATE layer_block SET entropy = zeroblob(5) WHERE layer = 0",
           "UPDATE layer_block SET hidden_max = zeroblob(2000) WHERE layer = 1",
           "UPDATE layer_block SET router_logits = zeroblob(8) WHERE layer = 2",
       }) {
    EXPECT_NE(damaged_by(sql).find("t.db: damaged trace: "), std::string::npos) << sql;
  }
}

TEST(BadTrace, NumbersOutOfRange) {
  for (const char* sql : {
           "UPDATE run SET layers = 1000000000",
           "UPDATE run SET layers = -1",
           "UPDATE run SET experts = 9223372036854775807",
           "UPDATE run SET experts = 3",
           "UPDATE run SET tokens = -5",
           "UPDATE run SET moe_layers = '[0,7]'",
           "UPDATE run SET moe_layers = '[-1]'",
           "UPDATE run SET moe_layers = '{\"a\":'",
           "UPDATE expert_stats SET layer = 9 WHERE layer = 2",
           "UPDATE expert_stats SET expert = expert + 60000 WHERE layer = 2",
           "UPDATE layer_stats SET layer = -3 WHERE layer = 2",
           "UPDATE slot_block SET expert = CAST(substr(expert, 3) || x'FE00' AS BLOB) WHERE layer = 2",
       }) {
    EXPECT_NE(damaged_by(sql).find("t.db: damaged trace: "), std::string::npos) << sql;
  }
}

TEST(BadTrace, TablesThatAreMissingOrViews) {
  EXPECT_NE(damaged_by("DROP TABLE slot_block").find("table slot_block is missing"), std::string::npos);
  EXPECT_NE(
      damaged_by("DROP TABLE run; CREATE VIEW run AS WITH RECURSIVE r(id) AS (SELECT 1 UNION ALL SELECT "
                 "id + 1 FROM r) SELECT * FROM r")
          .find("table run is missing"),
      std::string::npos);
  EXPECT_NE(damaged_by("ALTER TABLE slot_block DROP COLUMN weight").find("weight"), std::string::npos);
}

TEST(BadTrace, ATruncatedFileIsRefusedOrReadAsFarAsItGoes) {
  const TemporaryFolder folder;
  record(folder / "whole.db");
  const std::string whole = content(folder / "whole.db");
  ASSERT_GT(whole.size(), 40000u);
  int refused = 0;
  int whole_enough = 0;
  for (std::size_t size = 50; size < whole.size(); size += 3777) {
    put(folder / "cut.db", whole.substr(0, size));
    auto trace = TraceReader::open(folder / "cut.db");
    const std::string problem = trace ? read_all(**trace) : trace.error().message;
    EXPECT_TRUE(problem.empty() || problem.find("cut.db") != std::string::npos) << problem;
    (problem.empty() ? whole_enough : refused) += 1;
  }
  // What is cut off may be free pages, or an index that nothing asked for.
  EXPECT_GT(refused, 10 * whole_enough);
}

TEST(BadTrace, RandomDamageNeverCrashes) {
  const TemporaryFolder folder;
  record(folder / "whole.db");
  const std::string whole = content(folder / "whole.db");
  std::mt19937 random(20240817);
  int refused = 0;
  for (int mutant = 0; mutant < 250; ++mutant) {
    std::string bytes = whole;
    const int changes = 1 + static_cast<int>(random() % 40);
    for (int i = 0; i < changes; ++i) {
      // Half of the changes go into page headers and cell pointers, where they hurt most.
      const std::size_t page = random() % (bytes.size() / 4096) * 4096;
      const std::size_t at = random() % 2 == 0 ? page + random() % 64 : random() % bytes.size();
      bytes[at] = static_cast<char>(random() % 256);
    }
    put(folder / "mutant.db", bytes);
    auto trace = TraceReader::open(folder / "mutant.db");
    const std::string problem = trace ? read_all(**trace) : trace.error().message;
    if (!problem.empty()) ++refused;
  }
  EXPECT_GT(refused, 50) << "the damage is real";
}

}  // namespace
}  // namespace expertscope::testing
