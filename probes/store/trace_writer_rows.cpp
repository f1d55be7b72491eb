// SPDX-License-Identifier: GPL-3.0-or-later
// The half of TraceWriter that turns the open block and the statistics into rows.
#include <cmath>
#include <exception>
#include <string>
#include <utility>

#include "probes/store/run_row.h"
#include "probes/store/schema.h"
#include "probes/store/trace_writer.h"

namespace expertscope {
namespace {

std::size_t index(std::int64_t value) {
  return static_cast<std::size_t>(value);
}

// Binds a blob, or NULL for what was not measured.
template <class T>
void bind_measured(Statement& statement, int parameter, std::span<const T> values) {
  if (values.empty()) return statement.bind_null(parameter);
  statement.bind_blob(parameter, std::as_bytes(values));
}

// SQLite has no NaN, and a reader takes infinity for damage: NULL stands for both.
void bind_finite(Statement& row, int parameter, double value) {
  if (!std::isfinite(value)) return row.bind_null(parameter);
  row.bind(parameter, value);
}

struct Maximum {
  double value;
  int channel;         ///< -1: not known
  std::int64_t token;  ///< -1: nothing was measured
};

// Four columns: tokens, sum, min, max.
void bind_attention(Statement& row, int parameter, const LayerStats& stats) {
  row.bind(parameter, stats.attention_tokens);
  bind_finite(row, parameter + 1, stats.attention_sum);
  if (stats.attention_tokens == 0) return;
  row.bind(parameter + 2, stats.attention_min);
  row.bind(parameter + 3, stats.attention_max);
}

// Three columns: value, channel, token.
void bind_maximum(Statement& row, int parameter, const Maximum& maximum) {
  for (int i = 0; i < 3; ++i)
    row.bind_null(parameter + i);
  if (maximum.token < 0) return;
  row.bind(parameter, maximum.value);
  if (maximum.channel >= 0) row.bind(parameter + 1, maximum.channel);
  row.bind(parameter + 2, maximum.token);
}

}  // namespace

Status TraceWriter::write_tokens(int begin, int end) {
  Statement& row = insert_token_block_;
  row.bind(1, run_);
  row.bind(2, block_.first_token() + begin);
  row.bind(3, end - begin);
  row.bind_blob(4, std::as_bytes(block_.token_id(begin, end)));
  row.bind_blob(5, std::as_bytes(block_.sequence(begin, end)));
  row.bind_blob(6, std::as_bytes(block_.position(begin, end)));
  row.bind_blob(7, std::as_bytes(block_.generated(begin, end)));
  bind_measured(row, 8, block_.log_prob(begin, end));
  return row.run();
}

Status TraceWriter::write_slots(int moe_layer, int begin, int end) {
  const SlotColumns columns = block_.slots(moe_layer, begin, end);
  if (columns.expert.empty()) return {};
  Statement& row = insert_slot_block_;
  row.bind(1, run_);
  row.bind(2, moe_layers_[index(moe_layer)]);
  row.bind(3, columns.first_token);
  row.bind(4, columns.tokens);
  row.bind(5, columns.slots);
  row.bind_blob(6, std::as_bytes(columns.expert));
  bind_measured(row, 7, columns.weight);
  bind_measured(row, 8, columns.probability);
  bind_measured(row, 9, columns.output_norm);
  bind_measured(row, 10, columns.output_max);
  bind_measured(row, 11, columns.output_channel);
  return row.run();
}

Status TraceWriter::write_shared(int moe_layer, int begin, int end) {
  const SlotColumns columns = block_.shared(moe_layer, begin, end);
  if (columns.expert.empty()) return {};
  Statement& row = insert_shared_block_;
  row.bind(1, run_);
  row.bind(2, moe_layers_[index(moe_layer)]);
  row.bind(3, columns.first_token);
  row.bind(4, columns.tokens);
  row.bind_blob(5, std::as_bytes(columns.output_norm));
  row.bind_blob(6, std::as_bytes(columns.output_max));
  row.bind_blob(7, std::as_bytes(columns.output_channel));
  return row.run();
}

Status TraceWriter::write_layer(int layer, int begin, int end) {
  const int moe = moe_index_[index(layer)];
  const LayerColumns columns = block_.layer(layer, moe, begin, end);
  const auto logits = moe >= 0 ? block_.router_logits(moe, begin, end) : std::span<const float>();
  const bool measured = !columns.entropy.empty() || !columns.hidden_max.empty() ||
                        !columns.first_token_attention.empty() || !logits.empty();
  if (!measured) return {};
  Statement& row = insert_layer_block_;
  row.bind(1, run_);
  row.bind(2, layer);
  row.bind(3, columns.first_token);
  row.bind(4, columns.tokens);
  bind_measured(row, 5, columns.entropy);
  bind_measured(row, 6, columns.hidden_max);
  bind_measured(row, 7, columns.hidden_channel);
  bind_measured(row, 8, logits);
  bind_measured(row, 9, columns.first_token_attention);
  return row.run();
}

// Rows for the tokens of the open block that have none yet.
Status TraceWriter::write_rows() {
  const int begin = written_;
  const int end = block_.tokens();
  if (!block_open_ || begin == end) return {};
  if (auto status = begin_transaction(); !status) return status;
  if (auto status = write_tokens(begin, end); !status) return status;
  for (std::size_t m = 0; m < moe_layers_.size(); ++m) {
    if (auto status = write_slots(static_cast<int>(m), begin, end); !status) return status;
  }
  for (const int moe : shared_) {
    if (auto status = write_shared(moe, begin, end); !status) return status;
  }
  for (std::size_t layer = 0; layer < moe_index_.size(); ++layer) {
    if (auto status = write_layer(static_cast<int>(layer), begin, end); !status) return status;
  }
  written_ = end;
  ++pieces_;
  return {};
}

Status TraceWriter::delete_rows() {
  delete_token_block_.bind(1, run_);
  delete_token_block_.bind(2, block_.first_token());
  if (auto status = delete_token_block_.run(); !status) return status;
  for (std::size_t layer = 0; layer < moe_index_.size(); ++layer) {
    for (Statement* statement : {&delete_slot_block_, &delete_layer_block_, &delete_shared_block_}) {
      if (!*statement) continue;
      statement->bind(1, run_);
      statement->bind(2, static_cast<int>(layer));
      statement->bind(3, block_.first_token());
      if (auto status = statement->run(); !status) return status;
    }
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

Status TraceWriter::write_expert_stats() {
  Statement& row = update_expert_;
  for (std::size_t cell = 0; cell < experts_stats_.size(); ++cell) {
    const ExpertStats& stats = experts_stats_[cell];
    if (stats.count == written_count_[cell]) continue;
    written_count_[cell] = stats.count;
    const CaptureRequest& what = measured_;
    const auto sum = [&](int parameter, double value, bool measured) {
      return measured ? bind_finite(row, parameter, value) : row.bind_null(parameter);
    };
    row.bind(1, run_);
    row.bind(2, moe_layers_[cell / index(experts_)]);
    row.bind(3, static_cast<std::int64_t>(cell % index(experts_)));
    row.bind(4, stats.count);
    sum(5, stats.probability_sum, what.routing);
    sum(6, stats.weight_sum, what.routing);
    sum(7, stats.norm_sum, what.expert_output);
    sum(8, stats.weighted_norm_sum, what.routing && what.expert_output);
    bind_maximum(row, 9, {stats.output_max, stats.output_channel, stats.output_token});
    bind_maximum(row, 12, {stats.first_row_max, stats.first_row_channel, stats.first_row_token});
    if (auto status = row.run(); !status) return status;
  }
  return {};
}

Status TraceWriter::write_shared_stats() {
  Statement& row = update_shared_;
  for (const int moe : shared_) {
    const ExpertStats& stats = shared_stats_[index(moe)];
    row.bind(1, run_);
    row.bind(2, moe_layers_[index(moe)]);
    row.bind(3, stats.count);
    measured_.expert_output ? bind_finite(row, 4, stats.norm_sum) : row.bind_null(4);
    bind_maximum(row, 5, {stats.output_max, stats.output_channel, stats.output_token});
    bind_maximum(row, 8, {stats.first_row_max, stats.first_row_channel, stats.first_row_token});
    if (auto status = row.run(); !status) return status;
  }
  return {};
}

Status TraceWriter::write_layer_stats() {
  Statement& row = update_layer_;
  const CaptureRequest& what = measured_;
  for (std::size_t layer = 0; layer < layer_stats_.size(); ++layer) {
    const LayerStats& stats = layer_stats_[layer];
    const bool entropy = what.entropy && moe_index_[layer] >= 0;
    for (int parameter = 4; parameter <= 6; ++parameter)
      row.bind_null(parameter);
    row.bind(1, run_);
    row.bind(2, static_cast<std::int64_t>(layer));
    row.bind(3, entropy && stats.entropy_tokens > 0 ? stats.entropy_tokens : stats.tokens);
    if (entropy) bind_finite(row, 4, stats.entropy_sum);
    if (entropy && stats.entropy_tokens > 0) {
      row.bind(5, stats.entropy_min);
      row.bind(6, stats.entropy_max);
    }
    bind_maximum(row, 7, {stats.hidden_max, stats.hidden_channel, stats.hidden_token});
    for (int parameter = 10; parameter <= 16; ++parameter)
      row.bind_null(parameter);
    if (what.attention) bind_attention(row, 10, stats);
    if (stats.cache) {
      row.bind(14, stats.cache->hits);
      row.bind(15, stats.cache->misses);
      row.bind(16, stats.cache->bytes);
    }
    if (auto status = row.run(); !status) return status;
  }
  return {};
}

Status TraceWriter::write_run_tokens() {
  update_run_.bind(1, run_);
  update_run_.bind(2, tokens_);
  update_run_.bind(3, dropped_);
  update_run_.bind(4, probes_text(probes_));
  return update_run_.run();
}

Status TraceWriter::commit() {
  if (!dirty_) return {};
  if (auto status = begin_transaction(); !status) return status;
  if (auto status = write_rows(); !status) return status;
  if (auto status = write_expert_stats(); !status) return status;
  if (auto status = write_shared_stats(); !status) return status;
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
