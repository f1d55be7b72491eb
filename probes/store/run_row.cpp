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

#include "probes/store/aggregates.h"
#include "probes/store/delete_run.h"
#include "probes/store/schema.h"
#include "probes/store/trace_tables.h"
#include "probes/store/writer_identity.h"

namespace expertscope {
namespace {

struct ProbeName {
  const char* name;
  bool CaptureRequest::*flag;
};
constexpr ProbeName kProbes[] = {
    {"routing", &CaptureRequest::routing},
    {"expert_output", &CaptureRequest::expert_output},
    {"hidden", &CaptureRequest::hidden},
    {"entropy", &CaptureRequest::entropy},
    {"log_prob", &CaptureRequest::log_prob},
    {"attention", &CaptureRequest::attention},
    {"router_logits", &CaptureRequest::router_logits},
};

std::string now_utc() {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)));
}

CaptureRequest parse_probes(std::string_view text) {
  CaptureRequest probes;
  while (!text.empty()) {
    const auto comma = text.find(',');
    const std::string_view name = text.substr(0, comma);
    for (const ProbeName& probe : kProbes) {
      if (name == probe.name) probes.*probe.flag = true;
    }
    text = comma == std::string_view::npos ? std::string_view() : text.substr(comma + 1);
  }
  return probes;
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

bool within(std::int64_t value, std::int64_t min, std::int64_t max) {
  return value >= min && value <= max;
}

// What a run row says about the model, before it is taken for true.
struct Claims {
  std::int64_t layers = 0;
  std::int64_t experts = 0;
  std::int64_t top_k = 0;
  std::int64_t hidden_size = 0;
};

Status accept(const std::string& file, const Claims& claims, RunInfo& run) {
  const bool model = within(claims.layers, 1, kMaxLayers) && within(claims.experts, 0, kMaxExperts) &&
                     claims.layers * claims.experts <= kMaxCells && within(claims.top_k, 0, claims.experts) &&
                     within(claims.hidden_size, 0, kNoChannel - 1);
  if (!model) {
    return fail(ErrorCode::format,
                "{}: damaged trace: run {} claims {} layers, {} experts, {} of them per token, and a hidden "
                "size of {}",
                file, run.id, claims.layers, claims.experts, claims.top_k, claims.hidden_size);
  }
  if (!within(run.tokens, 0, kMaxTokens) || !within(run.dropped_tokens, 0, kMaxTokens)) {
    return fail(ErrorCode::format, "{}: damaged trace: run {} claims {} tokens, and {} that were dropped",
                file, run.id, run.tokens, run.dropped_tokens);
  }
  if (run.device_memory < 0) {
    return fail(ErrorCode::format, "{}: damaged trace: run {} claims a device with {} bytes of memory", file,
                run.id, run.device_memory);
  }
  run.layers = static_cast<int>(claims.layers);
  run.experts = static_cast<int>(claims.experts);
  run.top_k = static_cast<int>(claims.top_k);
  run.hidden_size = static_cast<int>(claims.hidden_size);
  return {};
}

// The columns of one row, read one after the other; remembers the first text that is too long.
class RunReader {
 public:
  explicit RunReader(const Statement& row) : row_(row) {}
  std::int64_t integer() { return row_.integer(column_++); }
  std::string text(std::size_t most = kMaxText) {
    std::string text = row_.text(column_++);
    if (text.size() > most && too_long_ == 0) too_long_ = text.size();
    return text;
  }
  /// Bytes of that text; 0: all is well.
  std::size_t too_long() const { return too_long_; }

 private:
  const Statement& row_;
  int column_ = 0;
  std::size_t too_long_ = 0;
};

// Column order of the SELECT in read_run_rows.
Result<RunInfo> read_row(const std::string& file, const Statement& row) {
  RunInfo run;
  RunReader read(row);
  const auto text = [&] { return read.text(); };
  const auto integer = [&] { return read.integer(); };
  run.id = integer();
  run.kind = text();
  run.started_at = text();
  run.status = text();
  run.message = text();
  const std::string writer = text();
  run.model.path = text();
  run.model.name = text();
  run.model.config_sha256 = text();
  run.model.tensor_count = integer();
  run.model.total_bytes = integer();
  run.architecture = text();
  Claims claims;
  claims.layers = integer();
  claims.experts = integer();
  claims.top_k = integer();
  claims.hidden_size = integer();
  const std::string moe_layers = text();
  run.program_version = text();
  run.backend = text();
  run.math = text();
  run.sampling = text();
  run.dataset = text();
  run.dataset_sha256 = text();
  run.prompt = read.text(kMaxLongText);
  run.text = read.text(kMaxLongText);
  run.probes = parse_probes(text());
  run.tokens = integer();
  run.dropped_tokens = integer();
  run.backend_reason = text();
  run.device = text();
  run.device_uuid = text();
  run.driver = text();
  run.device_memory = integer();
  if (read.too_long() > 0) {
    return fail(ErrorCode::format, "{}: damaged trace: run {} has a text of {} bytes where none is so long",
                file, run.id, read.too_long());
  }
  if (auto status = accept(file, claims, run); !status) return forward_error(status);
  if (!parse_moe_layers(moe_layers, run.layers, run.moe_layer)) {
    return fail(ErrorCode::format, "{}: damaged trace: run {}: moe_layers is not a list of layers below {}",
                file, run.id, run.layers);
  }
  if (run.status == "recording" && writer_state(writer) == WriterState::gone) run.status = "interrupted";
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
  for (const ProbeName& probe : kProbes) {
    if (probes.*probe.flag) names.emplace_back(probe.name);
  }
  return fmt::format("{}", fmt::join(names, ","));
}

Result<std::int64_t> insert_run_row(Database& database, const RunInfo& info) {
  const auto id = id_behind_deleted_runs(database);
  if (!id) return forward_error(id);
  auto row = database.prepare(
      "INSERT INTO run(kind, started_at, status, writer, model_path, model_name, config_sha256, "
      "tensor_count, "
      "total_bytes, architecture, layers, experts, top_k, hidden_size, moe_layers, program_version, backend, "
      "math, sampling, dataset, dataset_sha256, prompt, probes, backend_reason, device, device_uuid, driver, "
      "device_memory, id) VALUES(?1, ?2, 'recording', ?3, ?4, ?5, ?6, "
      "?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, "
      "nullif(?27, 0), ?28)");
  if (!row) return forward_error(row);
  int parameter = 0;
  const auto bind = [&](const auto& value) {
    if constexpr (std::is_convertible_v<decltype(value), std::string_view>) {
      row->bind(++parameter, bounded_text(value));
    } else {
      row->bind(++parameter, value);
    }
  };
  bind(info.kind);
  bind(info.started_at.empty() ? now_utc() : info.started_at);
  bind(writer_identity());
  bind(info.model.path);
  bind(info.model.name);
  bind(info.model.config_sha256);
  bind(info.model.tensor_count);
  bind(info.model.total_bytes);
  bind(info.architecture);
  bind(info.layers);
  bind(info.experts);
  bind(info.top_k);
  bind(info.hidden_size);
  bind(moe_layers_text(info.moe_layer));
  bind(info.program_version);
  bind(info.backend);
  bind(info.math);
  bind(info.sampling);
  bind(info.dataset);
  bind(info.dataset_sha256);
  row->bind(++parameter, bounded_text(info.prompt, kMaxLongText));
  bind(probes_text(info.probes));
  bind(info.backend_reason);
  bind(info.device);
  bind(info.device_uuid);
  bind(info.driver);
  bind(info.device_memory);
  if (*id) bind(**id);
  if (auto status = row->run(); !status) return forward_error(status);
  return database.last_insert_id();
}

Status finish_run_row(Database& database, std::int64_t run, const RunEnd& end) {
  auto row = database.prepare(
      "UPDATE run SET status = ?2, message = ?3, finished_at = ?4, text = coalesce(?5, text) WHERE id = ?1");
  if (!row) return forward_error(row);
  row->bind(1, run);
  row->bind(2, end.status);
  row->bind(3, bounded_text(end.message));
  row->bind(4, now_utc());
  if (end.text) row->bind(5, bounded_text(*end.text, kMaxLongText));
  return row->run();
}

Status mark_interrupted_runs(Database& database) {
  auto ids = interrupted_runs(database);
  if (!ids) return forward_error(ids);
  if (ids->empty()) return {};
  auto update = database.prepare("UPDATE run SET status = 'interrupted' WHERE id = ?1");
  if (!update) return forward_error(update);
  for (const std::int64_t id : *ids) {
    update->bind(1, id);
    if (auto status = update->run(); !status) return status;
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
      "SELECT id, kind, started_at, status, message, writer, model_path, model_name, config_sha256, "
      "tensor_count, total_bytes, architecture, layers, experts, top_k, hidden_size, moe_layers, "
      "program_version, backend, math, sampling, dataset, dataset_sha256, prompt, text, probes, tokens, "
      "dropped_tokens, backend_reason, device, device_uuid, driver, device_memory FROM run WHERE ?1 IS NULL "
      "OR id = ?1 ORDER BY id");
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
