// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/store/run_row.h"

#include <fmt/chrono.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <ctime>
#include <limits>
#include <nlohmann/json.hpp>
#include <string_view>
#include <type_traits>
#include <utility>

#include "probes/store/delete_run.h"
#include "probes/store/run_columns.h"
#include "probes/store/schema.h"
#include "probes/store/trace_tables.h"
#include "probes/store/writer_identity.h"

namespace expertscope {
namespace {

std::string now_utc() {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)));
}

CaptureRequest parse_probes(std::string_view text) {
  CaptureRequest probes;
  while (!text.empty()) {
    const auto comma = text.find(',');
    const std::string_view name = text.substr(0, comma);
    for (const Probe& probe : kProbes)
      if (name == probe.name) probes.*probe.flag = true;
    text = comma == std::string_view::npos ? std::string_view() : text.substr(comma + 1);
  }
  return probes;
}

std::string column_names() {
  std::vector<const char*> names;
  for (const RunColumn& column : run_columns())
    names.push_back(column.name);
  return fmt::format("{}", fmt::join(names, ", "));
}

std::string moe_layers_text(const std::vector<std::uint8_t>& moe_layer) {
  std::vector<std::size_t> layers;
  for (std::size_t layer = 0; layer < moe_layer.size(); ++layer) {
    if (moe_layer[layer] != 0) layers.push_back(layer);
  }
  return fmt::format("[{}]", fmt::join(layers, ","));
}

bool parse_moe_layers(const std::string& text, int layers, std::vector<std::uint8_t>& moe_layer) {
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_array()) return false;
  moe_layer.assign(static_cast<std::size_t>(layers), 0);
  for (const auto& entry : json) {
    if (!entry.is_number_unsigned() || entry.get<std::uint64_t>() >= moe_layer.size()) return false;
    moe_layer[entry.get<std::size_t>()] = 1;
  }
  return true;
}

template <class Info, class Value>
auto& at(Info& run, Value RunInfo::*member) {
  return run.*member;
}
template <class Info, class Value>
auto& at(Info& run, Value ModelIdentity::*member) {
  return run.model.*member;
}

std::string as_text(const std::string& value) {
  return value;
}
std::string as_text(const std::vector<std::uint8_t>& moe_layer) {
  return moe_layers_text(moe_layer);
}
std::string as_text(const CaptureRequest& probes) {
  return probes_text(probes);
}

void bind(Statement& row, int parameter, const RunColumn& column, const RunInfo& run) {
  const auto bind_value = [&](auto member) {
    const auto& value = at(run, member);
    if constexpr (std::is_integral_v<std::decay_t<decltype(value)>>) {
      const bool null = column.null != RunColumn::Null::never && value == 0;
      null ? row.bind_null(parameter) : row.bind(parameter, value);
    } else {
      const std::string text = as_text(value);
      const bool null = column.null != RunColumn::Null::never && text.empty();
      null ? row.bind_null(parameter)
           : row.bind(parameter, bounded_text(text, static_cast<std::size_t>(column.most)));
    }
  };
  std::visit(bind_value, column.member);
}

// Takes a text of a row for what it says; false where it says nothing of the kind.
bool take(std::string text, std::string& value, const RunInfo&) {
  value = std::move(text);
  return true;
}
bool take(const std::string& text, std::vector<std::uint8_t>& moe_layer, const RunInfo& run) {
  return parse_moe_layers(text, run.layers, moe_layer);
}
bool take(const std::string& text, CaptureRequest& probes, const RunInfo&) {
  probes = parse_probes(text);
  return true;
}

// One column of a row, within its bounds; else what is wrong with it.
std::string read(const Statement& row, int index, const RunColumn& column, RunInfo& run) {
  const auto read_value = [&](auto member) -> std::string {
    auto& value = at(run, member);
    using Value = std::decay_t<decltype(value)>;
    if constexpr (std::is_integral_v<Value>) {
      const std::int64_t number = row.integer(index);
      if (number < column.least || number > column.most)
        return fmt::format("{}, not {} .. {}", number, column.least, column.most);
      value = static_cast<Value>(number);
    } else {
      std::string text = row.text(index);
      if (text.size() > static_cast<std::size_t>(column.most))
        return fmt::format("a text of {} bytes where none has more than {}", text.size(), column.most);
      if (!take(std::move(text), value, run)) return fmt::format("no list of layers below {}", run.layers);
    }
    return {};
  };
  return std::visit(read_value, column.member);
}

Result<RunInfo> read_row(const std::string& file, const Statement& row) {
  RunInfo run;
  int index = 0;
  for (const RunColumn& column : run_columns()) {
    const std::string problem = read(row, index++, column, run);
    if (!problem.empty())
      return fail(ErrorCode::format, "{}: damaged trace: run {}: {} is {}", file, run.id, column.name,
                  problem);
  }
  // Each of them is within bounds; together they say how much memory a run asks for.
  if (std::int64_t{run.layers} * run.experts > kMaxCells || run.top_k > run.experts) {
    return fail(ErrorCode::format,
                "{}: damaged trace: run {} claims {} layers, {} experts, {} of them per token", file, run.id,
                run.layers, run.experts, run.top_k);
  }
  if (run.status == "recording" && writer_state(run.writer) == WriterState::gone) run.status = "interrupted";
  return run;
}

// The layers with a shared expert are those that have a row of it. `runs` are in the order of their ids.
Status read_shared_layers(const Database& database, std::optional<std::int64_t> id,
                          std::vector<RunInfo>& runs) {
  auto there = has_table(database, "shared_expert_stats");
  if (!there) return forward_error(there);
  if (!*there) return {};
  auto query = database.prepare("SELECT run, layer FROM shared_expert_stats WHERE ?1 IS NULL OR run = ?1");
  if (!query) return forward_error(query);
  if (id) query->bind(1, *id);
  return query->for_each_row([&](const Statement& row) -> Status {
    const std::int64_t layer = row.integer(1);
    const auto run =
        std::lower_bound(runs.begin(), runs.end(), row.integer(0),
                         [](const RunInfo& info, std::int64_t wanted) { return info.id < wanted; });
    if (run == runs.end() || run->id != row.integer(0)) return {};  // it began meanwhile
    if (layer < 0 || layer >= run->layers || run->moe_layer[layer] == 0) {
      return fail(ErrorCode::format, "{}: damaged trace: shared_expert_stats of run {} names layer {}",
                  database.file().string(), run->id, layer);
    }
    run->shared_layer.resize(run->moe_layer.size());
    run->shared_layer[layer] = 1;
    return {};
  });
}

// In a damaged file a table can give its rows again and again.
class RunOrder {
 public:
  Status next(const Database& database, std::int64_t id) {
    if (id > last_) {
      last_ = id;
      return {};
    }
    return fail(ErrorCode::format, "{}: damaged trace: run {} comes after run {}", database.file().string(),
                id, last_);
  }

 private:
  std::int64_t last_ = std::numeric_limits<std::int64_t>::min();
};

Result<std::vector<std::int64_t>> interrupted_runs(const Database& database) {
  auto query = database.prepare("SELECT id, status, writer FROM run ORDER BY id");
  if (!query) return forward_error(query);
  std::vector<std::int64_t> ids;
  RunOrder order;
  const auto status = query->for_each_row([&](const Statement& row) -> Status {
    if (auto good = order.next(database, row.integer(0)); !good) return good;
    if (row.text(1) == "recording" && writer_state(row.text(2)) == WriterState::gone)
      ids.push_back(row.integer(0));
    return {};
  });
  if (!status) return forward_error(status);
  return ids;
}

}  // namespace

std::string probes_text(const CaptureRequest& probes) {
  std::vector<std::string> names;
  for (const Probe& probe : kProbes)
    if (probes.*probe.flag) names.emplace_back(probe.name);
  return fmt::format("{}", fmt::join(names, ","));
}

Result<std::int64_t> insert_run_row(Database& database, const RunInfo& info) {
  const auto id = id_behind_deleted_runs(database);
  if (!id) return forward_error(id);
  RunInfo run = info;
  run.id = id->value_or(0);
  if (run.started_at.empty()) run.started_at = now_utc();
  run.status = "recording";
  run.writer = writer_identity();
  run.finished_at = run.message = run.text = {};
  run.tokens = run.dropped_tokens = 0;
  std::vector<std::string> places;
  for (std::size_t i = 1; i <= run_columns().size(); ++i)
    places.push_back(fmt::format("?{}", i));
  auto row = database.prepare(
      fmt::format("INSERT INTO run({}) VALUES({})", column_names(), fmt::join(places, ", ")));
  if (!row) return forward_error(row);
  int parameter = 0;
  for (const RunColumn& column : run_columns())
    bind(*row, ++parameter, column, run);
  if (auto status = row->run(); !status) return forward_error(status);
  return database.last_insert_id();
}

Status update_run_row(Database& database, const RunInfo& run) {
  return database.write("UPDATE run SET tokens = ?2, dropped_tokens = ?3, probes = ?4 WHERE id = ?1", run.id,
                        run.tokens, run.dropped_tokens, probes_text(run.probes));
}

Status finish_run_row(Database& database, std::int64_t run, const RunEnd& end) {
  const auto text = end.text ? std::optional(bounded_text(*end.text, kMaxLongText)) : std::nullopt;
  return database.write(
      "UPDATE run SET status = ?2, message = ?3, finished_at = ?4, text = coalesce(?5, text) WHERE id = ?1",
      run, end.status, bounded_text(end.message), now_utc(), text);
}

Status mark_interrupted_runs(Database& database) {
  auto ids = interrupted_runs(database);
  if (!ids) return forward_error(ids);
  if (ids->empty()) return {};
  for (const std::int64_t id : *ids) {
    auto status = database.write("UPDATE run SET status = 'interrupted' WHERE id = ?1", id);
    if (!status) return status;
  }
  return {};
}

Result<bool> has_interrupted_runs(const Database& database) {
  auto ids = interrupted_runs(database);
  if (!ids) return forward_error(ids);
  return !ids->empty();
}

Result<std::vector<RunInfo>> read_run_rows(const Database& database, std::optional<std::int64_t> id) {
  auto query = database.prepare(
      fmt::format("SELECT {} FROM run WHERE ?1 IS NULL OR id = ?1 ORDER BY id", column_names()));
  if (!query) return forward_error(query);
  if (id) query->bind(1, *id);
  std::vector<RunInfo> runs;
  RunOrder order;
  const auto status = query->for_each_row([&](const Statement& row) -> Status {
    if (auto good = order.next(database, row.integer(0)); !good) return good;
    auto run = read_row(database.file().string(), row);
    if (!run) return forward_error(run);
    runs.push_back(std::move(*run));
    return {};
  });
  if (!status) return forward_error(status);
  if (auto shared = read_shared_layers(database, id, runs); !shared) return forward_error(shared);
  return runs;
}

}  // namespace expertscope
