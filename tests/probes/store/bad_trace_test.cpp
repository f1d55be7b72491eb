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
  Shape shape;
  shape.shared_layer = {1, 0, 1};
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
  put(folder / "model.gguf", "GGUF\3" + std::string(5000, 'x'));
  expect_refused(folder / "model.gguf",
                 "is not an Expertscope trace: this is a GGUF file, which is a whole model");
  put(folder / "model.bin", "PK\3\4" + std::string(5000, 'x'));
  expect_refused(folder / "model.bin", "is not an Expertscope trace: this is a PyTorch pickle");
  put(folder / "model.safetensors", std::string(5000, 'x'));
  expect_refused(folder / "model.safetensors",
                 "this is a part of a model; open the folder it lies in, " + folder.path().string());
  put(folder / "empty.db", "");
  expect_refused(folder / "empty.db", "not an Expertscope trace");
  {
    auto other = value_of(Database::open(folder / "other.db", Database::Mode::create));
    ASSERT_OK(other->execute("CREATE TABLE run(id INTEGER); PRAGMA application_id = 1234"));
  }
  expect_refused(folder / "other.db", "but not an Expertscope trace (application_id 1234)");
}

TEST(BadTrace, AnotherVersionIsRefusedByName) {
  const auto expect_unsupported = [](int version, const std::string& message) {
    const TemporaryFolder folder;
    record(folder / "t.db");
    {
      auto database = value_of(Database::open(folder / "t.db", Database::Mode::read_write));
      ASSERT_OK(database->execute(fmt::format("PRAGMA user_version = {}", version).c_str()));
    }
    expect_refused(folder / "t.db", message);
    const auto opened = TraceReader::open(folder / "t.db");
    EXPECT_EQ(opened.error().code, ErrorCode::unsupported);
    const auto recorder = Recorder::start(folder / "t.db", run_info(Shape()));
    ASSERT_FALSE(recorder) << "nothing is recorded into it either";
    EXPECT_EQ(recorder.error().code, ErrorCode::unsupported);
  };
  expect_unsupported(4, "trace version 4, this program reads up to 3");
  expect_unsupported(2, "has trace version 2, from before the first release");
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

// A trace that nothing happened to, to compare the others with.
const TraceReader& undamaged() {
  static const TemporaryFolder folder;
  static const auto trace = [] {
    record(folder / "undamaged.db");
    return open_trace(folder / "undamaged.db");
  }();
  return *trace;
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
    keep(trace.first_token_attention(run.id, 1, {}));
    keep(trace.router_logits(run.id, 2, 299));
    keep(trace.visit_expert(run.id, 2, 1, {}, [](std::int64_t, const SlotRow&) { return true; }));
    keep(trace.visit_expert(run.id, 2, kSharedExpert, {}, [](std::int64_t, const SlotRow&) { return true; }));
    keep(trace.visit_slots(run.id, 2, {}, SlotWeights::with, [](const SlotBlock&) { return true; }));
  }
  keep(make_report(trace, &undamaged()));
  keep(make_report(undamaged(), &trace));
  return problem;
}

// The bytes of what record() makes.
const std::string& recorded_bytes() {
  static const std::string bytes = [] {
    const TemporaryFolder folder;
    record(folder / "t.db");
    return content(folder / "t.db");
  }();
  return bytes;
}

// Changes a trace by SQL, and says what reading it says.
std::string damaged_by(const std::string& sql) {
  const TemporaryFolder folder;
  put(folder / "t.db", recorded_bytes());
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

// Changes the rows of one column in one layer.
std::string change(const char* column, int layer, const std::string& set) {
  return fmt::format(
      "UPDATE column_block SET {} WHERE layer = {} AND column = (SELECT id FROM column WHERE name = '{}')",
      set, layer, column);
}

TEST(BadTrace, BlobsThatDoNotFitTheirRow) {
  for (const std::string& sql : {
           change("expert", 2, "data = zeroblob(3)"),
           change("expert", 2, "data = CAST(x'21' || substr(data, 2) AS BLOB)"),
           change("expert", 2, "data = zeroblob(5)"),
           change("expert", 2, "width = 5"),
           change("expert", 2, "width = 4611686018427387904"),
           change("expert", 2, "width = -1"),
           change("weight", 2, "data = zeroblob(4)"),
           change("weight", 2, "data = CAST(substr(data, 1, 1) || x'FFFFFFFF' || substr(data, 6) AS BLOB)"),
           change("weight", 2, "data = CAST(data || x'00' AS BLOB)"),
           change("weight", 2, "tokens = tokens - 1"),
           change("output_norm", 2, "layer = 1"),
           change("entropy", 0, "data = zeroblob(6)"),
           change("entropy", 0, "width = 2"),
           change("hidden_max", 1, "data = zeroblob(2000)"),
           change("hidden_channel", 1, "data = CAST(x'20' || zeroblob(4) || substr(data, 6) AS BLOB)"),
           change("first_token_attention", 1, "data = zeroblob(12)"),
           change("router_logits", 2, "data = zeroblob(8)"),
           change("router_logits", 2, "width = 5"),
           change("shared_max", 2, "data = zeroblob(3)"),
           change("shared_norm", 2, "data = zeroblob(0)"),
           change("token_id", -1, "data = zeroblob(0)"),
           change("generated", -1, "data = CAST(x'00FF010000' AS BLOB)"),
           std::string("DELETE FROM column_block WHERE column = (SELECT id FROM column WHERE name = "
                       "'output_channel')"),
           std::string(
               "DELETE FROM column_block WHERE column = (SELECT id FROM column WHERE name = 'expert')"),
           std::string("DELETE FROM column_block WHERE column = (SELECT id FROM column WHERE name = "
                       "'token_id')"),
           std::string("UPDATE column_block SET tokens = -1 WHERE layer = 2"),
           std::string("UPDATE column_block SET tokens = 1000000000000 WHERE layer = 2"),
           std::string("UPDATE column_block SET first_token = first_token + 1 WHERE layer = 2 AND "
                       "first_token > 0"),
           std::string("UPDATE column_block SET tokens = 9223372036854775807 WHERE layer = -1"),
           std::string("UPDATE column_block SET first_token = first_token + 7 WHERE layer = -1 AND "
                       "first_token > 0"),
       }) {
    EXPECT_NE(damaged_by(sql).find("t.db: damaged trace: "), std::string::npos) << sql;
  }
}

TEST(BadTrace, ColumnsThatAreNotWhatTheyAreCalled) {
  for (const char* sql : {
           "UPDATE column SET granularity = 'token' WHERE name = 'weight'",
           "UPDATE column SET encoding = 'packed' WHERE name = 'weight'",
           "UPDATE column SET encoding = 'rounded' WHERE name = 'expert'",
           "UPDATE column SET name = 'weight' WHERE name = 'output_norm'",
           "INSERT INTO column(name, granularity, encoding, unit, meaning) WITH RECURSIVE r(i) AS "
           "(SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < 5000) SELECT 'x', 'y', 'z', '', '' FROM r",
       }) {
    EXPECT_NE(damaged_by(sql).find("t.db: damaged trace: "), std::string::npos) << sql;
  }
  EXPECT_NE(damaged_by("UPDATE column SET encoding = 'zlib' WHERE name = 'weight'")
                .find("t.db: column weight is encoded as zlib, which this program does not read"),
            std::string::npos);
}

TEST(BadTrace, AColumnThatTheTableOfColumnsLeavesOut) {
  for (const char* name : {"generated", "sequence", "output_max", "weight", "expert", "hidden_channel"}) {
    const auto sql = fmt::format("UPDATE column SET name = 'unheard of' WHERE name = '{}'", name);
    EXPECT_NE(damaged_by(sql.c_str()).find("t.db: damaged trace: column_block of run "), std::string::npos)
        << name;
  }
}

TEST(BadTrace, AColumnOfALaterProgramIsPassedOver) {
  EXPECT_EQ(
      damaged_by("INSERT INTO column VALUES(99, 'more', 'head', 'lz', 'mm', 'of a later program');"
                 "INSERT INTO column_block SELECT run, layer, first_token, 99, tokens, 1 << 40, x'0102' "
                 "FROM column_block WHERE layer = 2 GROUP BY first_token"),
      "");
}

TEST(BadTrace, NumbersOutOfRange) {
  for (const char* sql : {
           "UPDATE run SET layers = 1000000000",
           "UPDATE run SET layers = -1",
           "UPDATE run SET experts = 9223372036854775807",
           "UPDATE run SET experts = 3",
           "UPDATE run SET tokens = -5",
           "UPDATE run SET tokens = 281474976710657",
           "UPDATE run SET dropped_tokens = 9223372036854775807",
           "UPDATE run SET top_k = 7",
           "UPDATE run SET hidden_size = 4294967360",
           "UPDATE run SET moe_layers = '[0,7]'",
           "UPDATE run SET moe_layers = '[-1]'",
           "UPDATE run SET moe_layers = '{\"a\":'",
           "UPDATE expert_stats SET layer = 9 WHERE layer = 2",
           "UPDATE expert_stats SET expert = expert + 60000 WHERE layer = 2",
           "UPDATE expert_stats SET layer = 1 WHERE layer = 2",
           "UPDATE layer_stats SET layer = -3 WHERE layer = 2",
           "UPDATE shared_expert_stats SET layer = 9223372036854775807 WHERE layer = 2",
           "UPDATE shared_expert_stats SET layer = -1 WHERE layer = 2",
           "UPDATE shared_expert_stats SET layer = 1 WHERE layer = 2",
           "UPDATE shared_expert_stats SET count = 301 WHERE layer = 2",
           "UPDATE shared_expert_stats SET norm_sum = 9e999 WHERE layer = 2",
           "UPDATE shared_expert_stats SET output_channel = 64 WHERE layer = 2",
           "UPDATE shared_expert_stats SET first_row_token = 300 WHERE layer = 2",
           "UPDATE policy_change SET token = -1",
           "UPDATE policy_change SET token = 9223372036854775807",
           "UPDATE sequence SET first_token = 9223372036854775807",
           "UPDATE sequence SET number = 4294967296",
           "UPDATE column_block SET data = CAST(substr(data, 1, 1) || x'F0000000' || substr(data, 6) AS "
           "BLOB) "
           "WHERE layer = 2 AND column = (SELECT id FROM column WHERE name = 'expert')",
       }) {
    EXPECT_NE(damaged_by(sql).find("t.db: damaged trace: "), std::string::npos) << sql;
  }
}

TEST(BadTrace, APolicyNestedAsNoPolicyIsStaysTextInAReport) {
  EXPECT_EQ(damaged_by("UPDATE policy_change SET policy = printf('%.*c', 200000, '[')"), "");
  EXPECT_EQ(damaged_by("UPDATE policy_change SET policy = printf('%.*c', 200000, '[') || "
                       "printf('%.*c', 200000, ']')"),
            "");
}

// A trace of 300 tokens, 6 experts and hidden size 64.
TEST(BadTrace, AggregatesThatTheRunCannotHave) {
  for (const char* set : {
           "count = -1",
           "count = 1801",
           "count = 9223372036854775807",
           "weight_sum = 9e999",
           "norm_sum = -9e999",
           "output_max = 9e999",
           "output_max = NULL",
           "output_token = 300",
           "output_token = -1",
           "output_token = 9223372036854775807",
           "output_token = NULL",
           "output_channel = 64",
           "output_channel = -1",
           "output_channel = 4294967296",
           "first_row_token = 9223372036854775807",
           "first_row_channel = 64",
           "first_row_max = -9e999",
       }) {
    const std::string message =
        damaged_by("UPDATE expert_stats SET " + std::string(set) + " WHERE layer = 2 AND expert = 1");
    EXPECT_NE(
        message.find("t.db: damaged trace: expert_stats of run 1, layer 2, expert 1: a number is out of"),
        std::string::npos)
        << set << ": " << message;
  }
  for (const char* set : {
           "entropy_tokens = 301",
           "entropy_tokens = -1",
           "entropy_sum = 9e999",
           "entropy_min = -9e999",
           "hidden_max = 9e999",
           "attention_tokens = 301",
           "attention_sum = 9e999",
           "cache_hits = -1, cache_misses = 0, cache_bytes = 0",
           "cache_hits = 1, cache_misses = 0, cache_bytes = -9223372036854775807",
           "cache_hits = 1801, cache_misses = 0, cache_bytes = 0",
           "cache_hits = 0, cache_misses = 1801, cache_bytes = 0",
           "cache_hits = 9223372036854775807, cache_misses = 0, cache_bytes = 0",
           "cache_hits = 0, cache_misses = 0, cache_bytes = 9223372036854775807",
           "hidden_token = 300",
           "hidden_token = 9223372036854775807",
           "hidden_channel = 64",
       }) {
    const std::string message = damaged_by("UPDATE layer_stats SET " + std::string(set) + " WHERE layer = 2");
    EXPECT_NE(message.find("t.db: damaged trace: layer_stats of run 1, layer 2: a number is out of range"),
              std::string::npos)
        << set << ": " << message;
  }
}

TEST(BadTrace, ASizeThatNoRowsStandForIsNotAllocated) {
  const std::string sizes = "UPDATE run SET layers = 64, experts = ";
  EXPECT_NE(damaged_by(sizes + "65534").find("run 1: experts is 65534, not 0 .. 16384"), std::string::npos);
  EXPECT_NE(damaged_by(sizes + "8193").find("claims 64 layers, 8193 experts"), std::string::npos);
  EXPECT_NE(damaged_by(sizes + "8192").find("expert_stats of run 1 has 12 rows, not one for each of 8192"),
            std::string::npos);
  EXPECT_NE(damaged_by("UPDATE run SET layers = 1025").find("run 1: layers is 1025, not 1 .. 1024"),
            std::string::npos);
  EXPECT_NE(damaged_by("DELETE FROM expert_stats WHERE layer = 2 AND expert = 3").find("has 11 rows"),
            std::string::npos);
  EXPECT_NE(
      damaged_by("DELETE FROM layer_stats WHERE layer = 1").find("layer_stats of run 1 has 2 rows, not 3"),
      std::string::npos);
}

TEST(BadTrace, ATokenThatTheRunDoesNotHaveIsNotLookedFor) {
  const TemporaryFolder folder;
  record(folder / "t.db");
  {
    // Blocks at the end of all numbers, where the sum of two wraps around.
    auto database = value_of(Database::open(folder / "t.db", Database::Mode::read_write));
    EXPECT_OK(database->execute(
        "UPDATE column_block SET first_token = 4611686018427387900 WHERE first_token > 0 AND layer >= 0"));
  }
  const auto trace = open_trace(folder / "t.db");
  for (const std::int64_t token : {std::int64_t{-1}, std::int64_t{300}, std::int64_t{1} << 48,
                                   std::int64_t{1} << 62, INT64_MAX, INT64_MIN}) {
    EXPECT_TRUE(value_of(trace->token_slots(1, token)).empty()) << token;
    EXPECT_TRUE(value_of(trace->router_logits(1, 2, token)).empty()) << token;
  }
}

TEST(BadTrace, TablesThatAreMissingOrViews) {
  EXPECT_NE(damaged_by("DROP TABLE column_block").find("table column_block is missing"), std::string::npos);
  EXPECT_NE(
      damaged_by("DROP TABLE run; CREATE VIEW run AS WITH RECURSIVE r(id) AS (SELECT 1 UNION ALL SELECT "
                 "id + 1 FROM r) SELECT * FROM r")
          .find("table run is missing"),
      std::string::npos);
  EXPECT_NE(
      damaged_by("ALTER TABLE column_block DROP COLUMN width").find("table column_block is not made like"),
      std::string::npos);
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
  put(folder / "cut.db", whole.substr(0, whole.size() / 2));
  const auto half = TraceReader::open(folder / "cut.db");
  ASSERT_FALSE(half);
  EXPECT_NE(half.error().message.find("cut.db: is damaged or incomplete"), std::string::npos)
      << half.error().message;
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
