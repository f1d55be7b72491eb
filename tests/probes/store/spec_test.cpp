// SPDX-License-Identifier: GPL-3.0-or-later
// SPEC.md says what is in the file: its queries work, and it names every column.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include "probes/analysis/analysis.h"
#include "probes/store/database.h"
#include "probes/store/run_columns.h"
#include "probes/store/schema.h"
#include "probes/store/stat_table.h"
#include "probes/store/stored_columns.h"
#include "tests/probes/synthetic.h"

namespace expertscope::testing {
namespace {

std::string spec() {
  std::ifstream in(std::filesystem::path(EXPERTSCOPE_SOURCE_DIR) / "probes/store/SPEC.md");
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

std::vector<std::string> queries() {
  const std::string text = spec();
  const std::string fence = "```sql\n";
  std::vector<std::string> found;
  for (auto at = text.find(fence); at != std::string::npos; at = text.find(fence, at)) {
    at += fence.size();
    const auto end = text.find("```", at);
    found.push_back(text.substr(at, end - at));
  }
  return found;
}

// Two runs of a model with shared experts: the second with a policy change and an expert cache.
void record(const std::filesystem::path& file) {
  Shape shape;
  shape.shared_layer = {1, 0, 1};
  for (const int run : {0, 1}) {
    RecorderOptions options;
    options.token_bytes = [](std::int32_t id) { return "t" + std::to_string(id); };
    auto recorder = value_of(Recorder::start(file, run_info(shape), options));
    recorder->set_domain(0, "prose");
    auto block = make_block(shape, CaptureRequest::standard(), {run, 300, 0, 0});
    if (run == 1) {
      block->table = table_of(R"({"version":1,"edits":[{"op":"top_k","layer":"*","k":1}]})");
      block->cache_hits = {500, 550};
      block->cache_misses = {100, 50};
      block->cache_bytes = {600000, 300000};
    }
    ASSERT_OK(recorder->deliver(std::move(block)));
    ASSERT_OK(recorder->finish("finished"));
  }
}

TEST(Spec, EveryQueryRunsAndAnswers) {
  const TemporaryFolder folder;
  record(folder / "t.db");
  const auto database = value_of(open_trace_for_reading(folder / "t.db"));
  const auto all = queries();
  EXPECT_GE(all.size(), 10u);
  for (const std::string& sql : all) {
    SCOPED_TRACE(sql);
    auto statement = database->prepare(sql);
    ASSERT_OK(statement);
    const auto row = statement->step();
    ASSERT_OK(row);
    EXPECT_TRUE(*row) << "no row";
  }
}

TEST(Spec, TheQueriesSayWhatTheAnalysesSay) {
  const TemporaryFolder folder;
  record(folder / "t.db");
  const auto database = value_of(open_trace_for_reading(folder / "t.db"));
  const auto all = queries();
  const auto query = [&](const std::string& part) {
    for (const std::string& sql : all) {
      if (sql.find(part) != std::string::npos) return value_of(database->prepare(sql));
    }
    ADD_FAILURE() << "no query with " << part;
    return Statement();
  };
  const auto trace = open_trace(folder / "t.db");
  const LoadResult load = analyze_load(value_of(trace->expert_table(2)));
  Statement fairness = query("AS jain");
  for (const LayerLoad& layer : load.layers) {
    ASSERT_TRUE(value_of(fairness.step()));
    EXPECT_EQ(fairness.integer(0), layer.layer);
    EXPECT_EQ(fairness.integer(1), layer.dead_experts);
    EXPECT_DOUBLE_EQ(fairness.real(2), layer.max_over_mean);
    EXPECT_DOUBLE_EQ(fairness.real(3), layer.jain);
  }
  const EntropyResult entropy = analyze_entropy(value_of(trace->layer_stats(2)), value_of(trace->run(2)));
  Statement mean = query("mean_nats");
  for (const LayerEntropy& layer : entropy.layers) {
    ASSERT_TRUE(value_of(mean.step()));
    EXPECT_DOUBLE_EQ(mean.real(1), layer.mean);
    EXPECT_DOUBLE_EQ(mean.real(2), layer.normalised);
  }
}

TEST(Spec, NamesEveryTableAndColumn) {
  const TemporaryFolder folder;
  record(folder / "t.db");
  const auto database = value_of(open_trace_for_reading(folder / "t.db"));
  const std::string text = spec();
  auto columns = value_of(
      database->prepare("SELECT m.name, c.name FROM sqlite_schema AS m JOIN pragma_table_info(m.name) AS c "
                        "WHERE m.type IN ('table', 'view') AND m.name NOT LIKE 'sqlite_%'"));
  int count = 0;
  while (value_of(columns.step())) {
    ++count;
    EXPECT_NE(text.find(columns.text(0)), std::string::npos) << columns.text(0);
    EXPECT_NE(text.find(columns.text(1)), std::string::npos) << columns.text(0) << "." << columns.text(1);
  }
  EXPECT_GT(count, 80);
}

// The rows of the first table behind a heading, without its head.
std::vector<std::string> rows_behind(const std::string& heading) {
  std::istringstream text(spec().substr(spec().find(heading)));
  std::vector<std::string> rows;
  std::string line;
  while (std::getline(text, line) && (rows.empty() || line.starts_with("|"))) {
    if (line.starts_with("|")) rows.push_back(line);
  }
  if (rows.size() > 2) rows.erase(rows.begin(), rows.begin() + 2);
  return rows;
}

template <class Stats>
std::vector<std::string> rows_of(const StatTable<Stats>& table, std::vector<std::string> rows) {
  for (const auto& column : table.columns)
    rows.push_back(fmt::format("| {} | {} | {} |", column.name, column.sql_type(), column.meaning));
  return rows;
}

TEST(Spec, ItsTablesOfColumnsAreThoseOfTheProgram) {
  std::vector<std::string> run;
  for (const RunColumn& column : run_columns())
    run.push_back(fmt::format("| {} | {} | {} |", column.name, sql_type(column), column.meaning));
  EXPECT_EQ(rows_behind("### run:"), run);
  EXPECT_EQ(rows_behind("### expert_stats:"),
            rows_of(expert_stats_table(), {"| run, layer, expert | INTEGER | key |"}));
  EXPECT_EQ(rows_behind("### shared_expert_stats:"),
            rows_of(shared_expert_stats_table(), {"| run, layer | INTEGER | key |"}));
  EXPECT_EQ(rows_behind("### layer_stats:"),
            rows_of(layer_stats_table(),
                    {"| run, layer | INTEGER | key |", "| moe | INTEGER | 1: the layer has a router |"}));
}

TEST(Spec, ItsTableOfProbesIsThatOfTheProgramAndOfTheFile) {
  std::vector<std::string> rows;
  for (const ProbeColumn& column : kStored)
    rows.push_back(fmt::format("| {} | {} | {} | {} | {} |", column.name, name_of(column.granularity),
                               name_of(encoding_of(column, false)), column.unit, column.meaning));
  EXPECT_EQ(rows_behind("Those of this\nversion:"), rows);
  const TemporaryFolder folder;
  record(folder / "t.db");
  const auto database = value_of(open_trace_for_reading(folder / "t.db"));
  auto query = value_of(
      database->prepare("SELECT name, granularity, encoding, unit, meaning FROM column ORDER BY id"));
  std::size_t described = 0;
  while (value_of(query.step())) {
    ++described;
    const std::string row = fmt::format("| {} | {} | {} | {} | {} |", query.text(0), query.text(1),
                                        query.text(2), query.text(3), query.text(4));
    EXPECT_NE(std::find(rows.begin(), rows.end(), row), rows.end()) << row;
  }
  const auto recorded = std::count_if(kStored.begin(), kStored.end(), [](const ProbeColumn& column) {
    return column.probes[0] == nullptr || column.measured(CaptureRequest::standard());
  });
  EXPECT_EQ(described, static_cast<std::size_t>(recorded)) << "once for both runs";
}

TEST(Spec, TheFileSaysWhatItIs) {
  const TemporaryFolder folder;
  record(folder / "t.db");
  const auto database = value_of(open_trace_for_reading(folder / "t.db"));
  const auto pragma = [&](const char* name) {
    return value_of(database->integer(std::string("PRAGMA ") + name)).value_or(-1);
  };
  EXPECT_EQ(pragma("application_id"), 1481851728);
  EXPECT_EQ(pragma("user_version"), kTraceVersion);
  EXPECT_EQ(pragma("page_size"), 32768);
  auto mode = value_of(database->prepare("PRAGMA journal_mode"));
  ASSERT_TRUE(value_of(mode.step()));
  EXPECT_EQ(mode.text(0), "wal");
  auto loose =
      value_of(database->prepare("SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = "
                                 "'table' AND strict = 0 AND name NOT "
                                 "LIKE 'sqlite_%'"));
  EXPECT_FALSE(value_of(loose.step())) << "every table is STRICT";
}

}  // namespace
}  // namespace expertscope::testing
