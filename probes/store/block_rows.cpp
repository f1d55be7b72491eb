// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/store/block_rows.h"

#include <cstring>
#include <string>
#include <utility>

#include "probes/store/schema.h"

namespace expertscope {
namespace {

tl::unexpected<Error> damaged(const Database& database, const char* table, std::int64_t run, int layer,
                              std::int64_t first_token, const std::string& what) {
  const std::string where = layer < 0 ? std::string() : fmt::format(", layer {}", layer);
  return fail(ErrorCode::format, "{}: damaged trace: {} of run {}{}, token {}: {}", database.file().string(),
              table, run, where, first_token, what);
}

// Copies a blob into a typed vector (SQLite promises no alignment). NULL leaves it empty when allowed.
template <class T>
bool read_column(const Statement& row, int column, std::size_t count, bool optional, std::vector<T>& out) {
  out.clear();
  if (optional && row.is_null(column)) return true;
  const auto bytes = row.blob(column);
  if (bytes.size() != count * sizeof(T)) return false;
  out.resize(count);
  if (!bytes.empty()) std::memcpy(out.data(), bytes.data(), bytes.size());
  return true;
}

bool good_extent(std::int64_t first_token, std::int64_t tokens) {
  return first_token >= 0 && first_token < kMaxTokens && tokens >= 1 && tokens <= kBlockTokens;
}

// Rows are at most kBlockTokens long, so those that overlap a range begin less than that before it.
void bind_range(Statement& query, int parameter, const ClampedRange& range) {
  query.bind(parameter, range.begin - kBlockTokens);
  query.bind(parameter + 1, range.end);
}

// In a damaged file a table can give its rows again and again.
class Order {
 public:
  bool next(std::int64_t first_token) { return first_token > std::exchange(last_, first_token); }

 private:
  std::int64_t last_ = -1;
};
constexpr const char* kAgain = "it comes after a later row, or twice";

struct SlotBuffers {
  std::vector<std::uint16_t> expert, output_channel;
  std::vector<float> weight, probability, output_norm, output_max;
};

// Columns from `column` on: tokens, slots and the six blobs. Empty string: all is well.
std::string read_slots(const Statement& row, int column, const RunInfo& run, SlotBuffers& buffers,
                       SlotColumns& columns) {
  const std::int64_t tokens = row.integer(column);
  const std::int64_t slots = row.integer(column + 1);
  if (!good_extent(columns.first_token, tokens)) return fmt::format("it claims {} tokens", tokens);
  if (slots < 0 || slots > run.experts) return fmt::format("it claims {} slots", slots);
  const std::size_t count = static_cast<std::size_t>(tokens * slots);
  const bool sized = read_column(row, column + 2, count, false, buffers.expert) &&
                     read_column(row, column + 3, count, true, buffers.weight) &&
                     read_column(row, column + 4, count, true, buffers.probability) &&
                     read_column(row, column + 5, count, true, buffers.output_norm) &&
                     read_column(row, column + 6, count, true, buffers.output_max) &&
                     read_column(row, column + 7, count, true, buffers.output_channel);
  if (!sized) return fmt::format("a blob does not hold {} tokens x {} slots", tokens, slots);
  const bool pairs = buffers.weight.size() == buffers.probability.size() &&
                     buffers.output_norm.size() == buffers.output_max.size() &&
                     buffers.output_norm.size() == buffers.output_channel.size();
  if (!pairs) return "columns that are measured together are not all there";
  columns.tokens = static_cast<int>(tokens);
  columns.slots = static_cast<int>(slots);
  columns.expert = buffers.expert;
  columns.weight = buffers.weight;
  columns.probability = buffers.probability;
  columns.output_norm = buffers.output_norm;
  columns.output_max = buffers.output_max;
  columns.output_channel = buffers.output_channel;
  return {};
}

}  // namespace

Status for_each_token_block(const Database& database, std::int64_t run, const ClampedRange& range,
                            const std::function<bool(const TokenBlockRow&)>& visit) {
  auto query = database.prepare(
      "SELECT first_token, tokens, token_id, sequence, position, generated, log_prob FROM token_block "
      "WHERE run = ?1 AND first_token > ?2 AND first_token < ?3 ORDER BY first_token");
  if (!query) return forward_error(query);
  query->bind(1, run);
  bind_range(*query, 2, range);
  TokenBlockRow block;
  std::int64_t expected = -1;
  for (;;) {
    auto row = query->step();
    if (!row) return forward_error(row);
    if (!*row) return {};
    block.first_token = query->integer(0);
    const std::int64_t tokens = query->integer(1);
    const auto broken = [&](const std::string& what) {
      return damaged(database, "token_block", run, -1, block.first_token, what);
    };
    if (!good_extent(block.first_token, tokens)) return broken(fmt::format("it claims {} tokens", tokens));
    if (expected >= 0 && block.first_token != expected) {
      return broken(fmt::format("the row before it ends at token {}", expected));
    }
    expected = block.first_token + tokens;
    const auto count = static_cast<std::size_t>(tokens);
    const bool sized = read_column(*query, 2, count, false, block.token_id) &&
                       read_column(*query, 3, count, false, block.sequence) &&
                       read_column(*query, 4, count, false, block.position) &&
                       read_column(*query, 5, count, false, block.generated) &&
                       read_column(*query, 6, count, true, block.log_prob);
    if (!sized) return broken(fmt::format("a blob does not hold {} tokens", tokens));
    if (expected > range.begin && !visit(block)) return {};
  }
}

const char* slot_table_name(SlotTable table) {
  return table == SlotTable::routed ? "slot_block" : "shared_expert_block";
}

Status for_each_slot_block(const Database& database, const RunInfo& run, SlotTable table, int layer,
                           const ClampedRange& range, const std::function<bool(const SlotColumns&)>& visit) {
  const char* name = slot_table_name(table);
  // As many zeros as a sound row has tokens: a damaged one gets no memory by what it claims.
  const char* columns = table == SlotTable::routed ? "slots, expert, weight, probability"
                                                   : "1, zeroblob(2 * max(0, min(tokens, 256))), NULL, NULL";
  static_assert(kBlockTokens == 256);
  auto query = database.prepare(
      fmt::format("SELECT first_token, tokens, {}, output_norm, output_max, output_channel FROM {} "
                  "WHERE run = ?1 AND layer = ?2 AND first_token > ?3 AND first_token < ?4 "
                  "ORDER BY first_token",
                  columns, name));
  if (!query) return forward_error(query);
  query->bind(1, run.id);
  query->bind(2, layer);
  bind_range(*query, 3, range);
  SlotBuffers buffers;
  Order order;
  for (;;) {
    auto row = query->step();
    if (!row) return forward_error(row);
    if (!*row) return {};
    SlotColumns found;
    found.first_token = query->integer(0);
    if (!order.next(found.first_token))
      return damaged(database, name, run.id, layer, found.first_token, kAgain);
    const std::string problem = read_slots(*query, 1, run, buffers, found);
    if (!problem.empty()) return damaged(database, name, run.id, layer, found.first_token, problem);
    if (found.first_token + found.tokens > range.begin && !visit(found)) return {};
  }
}

Status for_each_layer_column(
    const Database& database, std::int64_t run, const LayerColumnQuery& what, const ClampedRange& range,
    const std::function<bool(std::int64_t first_token, int tokens, std::span<const float> values)>& visit) {
  auto query = database.prepare(
      fmt::format("SELECT first_token, tokens, {} FROM layer_block WHERE run = ?1 AND layer = ?2 AND "
                  "first_token > ?3 AND first_token < ?4 ORDER BY first_token",
                  what.column));
  if (!query) return forward_error(query);
  query->bind(1, run);
  query->bind(2, what.layer);
  bind_range(*query, 3, range);
  std::vector<float> values;
  Order order;
  for (;;) {
    auto row = query->step();
    if (!row) return forward_error(row);
    if (!*row) return {};
    const std::int64_t first_token = query->integer(0);
    const std::int64_t tokens = query->integer(1);
    if (!order.next(first_token))
      return damaged(database, "layer_block", run, what.layer, first_token, kAgain);
    if (query->is_null(2)) continue;
    const bool good = good_extent(first_token, tokens) &&
                      read_column(*query, 2, static_cast<std::size_t>(tokens * what.width), false, values);
    if (!good) {
      return damaged(database, "layer_block", run, what.layer, first_token,
                     fmt::format("{} does not hold {} tokens", what.column, tokens));
    }
    if (first_token + tokens > range.begin && !visit(first_token, static_cast<int>(tokens), values))
      return {};
  }
}

}  // namespace expertscope
