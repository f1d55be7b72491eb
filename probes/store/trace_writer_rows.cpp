// SPDX-License-Identifier: GPL-3.0-or-later
// The half of TraceWriter that turns the open block and the statistics into rows.
#include <algorithm>
#include <exception>
#include <string>
#include <utility>

#include "probes/store/run_row.h"
#include "probes/store/schema.h"
#include "probes/store/stat_table.h"
#include "probes/store/trace_writer.h"

namespace expertscope {
namespace {

std::size_t index(std::int64_t value) {
  return static_cast<std::size_t>(value);
}

}  // namespace

// The id of a column as this run encodes it; described where the trace does not know it yet.
Result<std::int64_t> TraceWriter::column_id(std::size_t number) {
  std::int64_t& id = column_ids_[number];
  if (id != 0) return id;
  const ProbeColumn& column = kStored[number];
  const char* granularity = name_of(column.granularity);
  const char* encoding = name_of(encoding_of(column, full_));
  auto described = database_->write(
      "INSERT INTO column(name, granularity, encoding, unit, meaning) SELECT ?1, ?2, ?3, ?4, ?5 WHERE NOT "
      "EXISTS (SELECT 1 FROM column WHERE name = ?1 AND granularity = ?2 AND encoding = ?3)",
      column.name, granularity, encoding, column.unit, column.meaning);
  if (!described) return forward_error(described);
  auto query = database_->prepare(
      "SELECT id FROM column WHERE name = ?1 AND granularity = ?2 AND encoding = ?3 ORDER BY id LIMIT 1");
  if (!query) return forward_error(query);
  query->bind(1, column.name);
  query->bind(2, granularity);
  query->bind(3, encoding);
  auto row = query->step();
  if (!row) return forward_error(row);
  if (!*row) return fail(ErrorCode::format, "{}: column {} is gone", database_->file().string(), column.name);
  return id = query->integer(0);
}

Status TraceWriter::write_column(std::size_t number, int layer, const LayerColumns& columns,
                                 std::size_t values, std::span<const std::byte> data) {
  auto id = column_id(number);
  if (!id) return forward_error(id);
  return database_->write(
      "INSERT INTO column_block(run, layer, first_token, column, tokens, width, data) "
      "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)",
      run_, layer, columns.first_token, *id, columns.tokens,
      static_cast<std::int64_t>(values / index(columns.tokens)), data);
}

// A row for every column of a layer that was measured.
Status TraceWriter::write_layer(int layer, int begin, int end) {
  const int moe = layer == kTokenLayer ? -1 : moe_index_[index(layer)];
  const bool shared = std::find(shared_.begin(), shared_.end(), moe) != shared_.end();
  const LayerColumns columns = block_.layer(layer, moe, begin, end);
  Status status;
  std::size_t number = 0;
  const auto write = [&](const ProbeColumn& column, const auto& values) {
    const std::size_t own = number++;
    const bool absent = column.granularity == Granularity::shared && !shared;
    if (!status || values.data() == nullptr || absent) return;
    status =
        write_column(own, layer, columns, values.size(), encoder_.encode(encoding_of(column, full_), values));
  };
  for_each_stored_column(write, columns);
  return status;
}

// Rows for the tokens of the open block that have none yet.
Status TraceWriter::write_rows() {
  const int begin = written_;
  const int end = block_.tokens();
  if (!block_open_ || begin == end) return {};
  if (auto status = begin_transaction(); !status) return status;
  for (int layer = kTokenLayer; layer < static_cast<int>(moe_index_.size()); ++layer) {
    if (auto status = write_layer(layer, begin, end); !status) return status;
  }
  written_ = end;
  ++pieces_;
  return {};
}

Status TraceWriter::delete_rows() {
  for (int layer = kTokenLayer; layer < static_cast<int>(moe_index_.size()); ++layer) {
    auto status =
        database_->write("DELETE FROM column_block WHERE run = ?1 AND layer = ?2 AND first_token >= ?3", run_,
                         layer, block_.first_token());
    if (!status) return status;
  }
  return {};
}

// A block that was committed piece by piece (decode) becomes one row per layer: every token is written twice
// at most, however often was committed in between.
Status TraceWriter::close_block() {
  if (!block_open_) return {};
  if (auto status = begin_transaction(); !status) return status;
  const bool in_pieces = pieces_ > 1 || (pieces_ == 1 && written_ < block_.tokens());
  if (in_pieces) {
    if (auto status = delete_rows(); !status) return status;
    written_ = 0;
  }
  if (auto status = write_rows(); !status) return status;
  block_open_ = false;
  return {};
}

Status TraceWriter::write_expert_row(std::size_t cell, const CaptureRequest& what) {
  const std::int64_t key[] = {run_, moe_layers_[cell / index(experts_)],
                              static_cast<std::int64_t>(cell % index(experts_))};
  return expert_stats_table().write(*database_, key, experts_stats_[cell], what);
}

Status TraceWriter::write_layer_row(std::size_t layer, const CaptureRequest& what) {
  const std::int64_t key[] = {run_, static_cast<std::int64_t>(layer), moe_index_[layer] >= 0 ? 1 : 0};
  return layer_stats_table().write(*database_, key, layer_stats_[layer], what);
}

Status TraceWriter::write_expert_stats() {
  for (std::size_t cell = 0; cell < experts_stats_.size(); ++cell) {
    if (experts_stats_[cell].count == written_count_[cell]) continue;
    written_count_[cell] = experts_stats_[cell].count;
    if (auto status = write_expert_row(cell, measured_); !status) return status;
  }
  return {};
}

Status TraceWriter::write_shared_stats(const CaptureRequest& what) {
  for (const int moe : shared_) {
    const std::int64_t key[] = {run_, moe_layers_[index(moe)]};
    auto status = shared_expert_stats_table().write(*database_, key, shared_stats_[index(moe)], what);
    if (!status) return status;
  }
  return {};
}

Status TraceWriter::write_layer_stats() {
  for (std::size_t layer = 0; layer < layer_stats_.size(); ++layer) {
    if (auto status = write_layer_row(layer, measured_); !status) return status;
  }
  return {};
}

Status TraceWriter::write_run_tokens() {
  RunInfo run;
  run.id = run_;
  run.tokens = tokens_;
  run.dropped_tokens = dropped_;
  run.probes = probes_;
  return update_run_row(*database_, run);
}

Status TraceWriter::commit() {
  if (!dirty_) return {};
  if (auto status = begin_transaction(); !status) return status;
  if (auto status = write_rows(); !status) return status;
  if (auto status = write_expert_stats(); !status) return status;
  if (auto status = write_shared_stats(measured_); !status) return status;
  if (auto status = write_layer_stats(); !status) return status;
  if (auto status = write_run_tokens(); !status) return status;
  if (auto status = transaction_->commit(); !status) return status;
  transaction_.reset();
  dirty_ = false;
  kept_ = tokens_;
  return {};
}

Status TraceWriter::finish(const std::string& status, const std::string& message, const std::string& text) {
  if (auto closed = close_block(); !closed) return closed;
  if (auto begun = begin_transaction(); !begun) return begun;
  if (auto marked = finish_run_row(*database_, run_, {status, message, text}); !marked) return marked;
  dirty_ = true;
  if (auto committed = commit(); !committed) return committed;
  return check_in_place();
}

Status TraceWriter::check_in_place() {
  auto status = database_->check_in_place();
  if (!status) kept_ = kLost;
  return status;
}

Error TraceWriter::explain(Error failure) {
  // Pages that are gone read as damage.
  if (failure.code != ErrorCode::format && failure.code != ErrorCode::io) return failure;
  auto in_place = check_in_place();
  return in_place ? std::move(failure) : std::move(in_place.error());
}

void TraceWriter::abandon(const std::string& message) noexcept {
  // Best effort: there may be neither room nor memory for even this. The run then stays "recording" in the
  // file, and reads as interrupted as soon as this thread, which its row names, has ended.
  try {
    transaction_.reset();
    reserve_.release();
    (void)database_->execute("PRAGMA busy_timeout = 1000");  // whoever waits for the end waits no longer
    const RunEnd end{"failed", message, std::nullopt};
    if (finish_run_row(*database_, run_, end)) return;
    // The log cannot grow, but what is in it may have room in the file: then it begins anew.
    if (database_->execute("PRAGMA wal_checkpoint(RESTART)")) (void)finish_run_row(*database_, run_, end);
  } catch (const std::exception&) {
    return;
  }
}

}  // namespace expertscope
