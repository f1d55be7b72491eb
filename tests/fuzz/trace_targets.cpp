// SPDX-License-Identifier: GPL-3.0-or-later
// Traces: whatever is in the file, all of it is asked for.
#include <sqlite3.h>

#include <fstream>
#include <memory>

#include "probes/analysis/analysis.h"
#include "probes/analysis/run_data.h"
#include "probes/report/report.h"
#include "probes/store/schema.h"
#include "probes/store/trace_reader.h"
#include "tests/fuzz/targets.h"

namespace expertscope::testing {
namespace {

/// Of a trace that claims many runs, so many are read.
constexpr std::size_t kRuns = 3;

bool read_run(const TraceReader& trace, const RunInfo& run) {
  const int layer = run.layers > 1 ? 1 : 0;
  const auto go_on = [](std::int64_t, const auto&) { return true; };
  bool good = true;
  const auto ask = [&](const auto& result) { good = opened(result) && good; };
  ask(trace.policy_changes(run.id));
  ask(trace.sequences(run.id));
  ask(trace.expert_table(run.id));
  ask(trace.expert_table(run.id, TokenRange{1, 9}));
  ask(trace.layer_stats(run.id));
  ask(trace.tokens(run.id, {}));
  ask(trace.token_slots(run.id, 2));
  ask(trace.visit_expert(run.id, layer, 1, {}, go_on));
  ask(trace.visit_expert(run.id, layer, kSharedExpert, {}, go_on));
  ask(trace.visit_slots(run.id, layer, {}, SlotWeights::with, [](const SlotBlock&) { return true; }));
  ask(trace.token_bytes(run.id, 1));
  ask(trace.entropy(run.id, layer, {}));
  ask(trace.hidden_max(run.id, layer, {}));
  ask(trace.first_token_attention(run.id, layer, {}));
  ask(trace.router_logits(run.id, layer, 1));
  RunData data(trace, run);
  for (const Analysis& analysis : analyses())
    (void)opened(run_analysis(analysis, data, {}, {}));  // many need what the run does not have
  return good;
}

bool read_trace(const std::filesystem::path& file) {
  const auto trace = TraceReader::open(file);
  if (!opened(trace)) return false;
  const auto runs = (*trace)->runs();
  if (!opened(runs)) return false;
  bool good = true;
  for (std::size_t i = 0; i < std::min(runs->size(), kRuns); ++i)
    good = read_run(**trace, (*runs)[i]) && good;
  const auto report = make_report(**trace, nullptr);
  ensure(!opened(report) || report->size() > 100, "an empty report");
  return good;
}

using Connection = std::unique_ptr<sqlite3, decltype(&sqlite3_close)>;

Connection connect(const std::filesystem::path& file) {
  sqlite3* handle = nullptr;
  ensure(sqlite3_open_v2(file.c_str(), &handle, SQLITE_OPEN_READWRITE, nullptr) == SQLITE_OK, "sqlite3_open");
  return {handle, sqlite3_close};
}

/// The bytes of a trace without runs; pages are small, so that all of it is.
const std::string& empty_trace() {
  static const std::string bytes = [] {
    const auto file = fuzz_folder() / "empty.db";
    ensure(open_trace_for_writing(file).has_value(), "no trace can be made");
    const Connection database = connect(file);
    const char* sql = "PRAGMA journal_mode = DELETE; PRAGMA page_size = 512; VACUUM";
    ensure(sqlite3_exec(database.get(), sql, nullptr, nullptr, nullptr) == SQLITE_OK, "VACUUM");
    std::ifstream in(file, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
  }();
  return bytes;
}

/// Whoever makes such a file has all of SQLite, but here it neither opens other files nor runs for long.
void limit(sqlite3* database) {
  sqlite3_limit(database, SQLITE_LIMIT_ATTACHED, 0);
  sqlite3_limit(database, SQLITE_LIMIT_LENGTH, 1 << 20);
  sqlite3_hard_heap_limit64(64 << 20);
  sqlite3_exec(database,
               "PRAGMA max_page_count = 2000; PRAGMA synchronous = OFF; PRAGMA journal_mode = MEMORY",
               nullptr, nullptr, nullptr);
  sqlite3_progress_handler(
      database, 200'000, [](void*) { return 1; }, nullptr);
}

}  // namespace

bool fuzz_trace(std::string_view input) {
  return read_trace(put_file("trace.db", input));
}

bool fuzz_trace_sql(std::string_view input) {
  const auto file = put_file("sql.db", empty_trace());
  {
    const Connection database = connect(file);
    limit(database.get());
    sqlite3_exec(database.get(), std::string(input).c_str(), nullptr, nullptr, nullptr);
    sqlite3_hard_heap_limit64(0);
  }
  const bool good = read_trace(file);
  for (const char* suffix : {"-wal", "-shm", "-journal"})
    std::filesystem::remove(file.string() + suffix);
  return good;
}

}  // namespace expertscope::testing
