// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/store/trace_reader.h"

#include <sqlite3.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <utility>

#include "probes/store/aggregate_rows.h"
#include "probes/store/block_rows.h"
#include "probes/store/run_row.h"
#include "probes/store/schema.h"

namespace expertscope {
namespace {

std::size_t index(std::int64_t value) {
  return static_cast<std::size_t>(value);
}

// Where a token of a run may stand, or the end of the run.
bool is_position(std::int64_t token) {
  return token >= 0 && token <= kMaxTokens;
}

ClampedRange clamp(const TokenRange& range) {
  const std::int64_t begin = std::clamp<std::int64_t>(range.begin, 0, kMaxTokens);
  return {begin, std::clamp<std::int64_t>(range.end, begin, kMaxTokens)};
}

SlotRow slot_row(SlotTable table, const SlotColumns& columns, int layer, std::size_t token,
                 std::size_t slot) {
  const std::size_t at = token * index(columns.slots) + slot;
  SlotRow row;
  row.layer = layer;
  row.slot = static_cast<int>(slot);
  row.expert = columns.expert[at];
  if (table == SlotTable::shared) {
    row.slot = -1;
    row.expert = kSharedExpert;
    row.probability = row.weight = std::numeric_limits<float>::quiet_NaN();
  }
  if (!columns.weight.empty()) {
    row.weight = columns.weight[at];
    row.probability = columns.probability[at];
  }
  if (!columns.output_norm.empty()) {
    row.output_norm = columns.output_norm[at];
    row.output_max = columns.output_max[at];
    if (columns.output_channel[at] != kNoChannel) row.output_channel = columns.output_channel[at];
  }
  return row;
}

using Sequences =
    std::map<std::int64_t, std::vector<std::int32_t>>;  // by first token of a row of token_block

struct SlotSource {
  SlotTable table = SlotTable::routed;
  int layer = 0;
};

// Adds what the experts of a layer did in a range of tokens.
Status add_range(const Database& database, const RunInfo& run, const SlotSource& source,
                 const ClampedRange& tokens, const Sequences& sequences, std::span<ExpertStats> experts) {
  FirstRows first_rows(static_cast<int>(experts.size()));
  bool good = true;
  const auto add = [&](const SlotColumns& columns) {
    const auto found = sequences.find(columns.first_token);
    good = found != sequences.end() && found->second.size() == index(columns.tokens);
    if (!good) return false;
    const int begin = static_cast<int>(std::max<std::int64_t>(tokens.begin - columns.first_token, 0));
    const int end =
        static_cast<int>(std::min<std::int64_t>(tokens.end - columns.first_token, columns.tokens));
    const auto part = std::span(found->second).subspan(index(begin), index(end - begin));
    good = add_slots(columns.part(begin, end), part, first_rows, experts);
    return good;
  };
  auto status = for_each_slot_block(database, run, source.table, source.layer, tokens, add);
  if (!status || good) return status;
  return fail(ErrorCode::format,
              "{}: damaged trace: {} of run {}, layer {}: an expert id is too large, or its tokens are not "
              "those of token_block",
              database.file().string(), slot_table_name(source.table), run.id, source.layer);
}

constexpr const char* kWord = "SELECT bytes FROM vocabulary WHERE run = ?1 AND token_id = ?2";

// The tables that have the slots of a layer.
std::span<const SlotTable> slot_tables(const RunInfo& run, int layer) {
  static constexpr SlotTable kBoth[] = {SlotTable::routed, SlotTable::shared};
  if (run.moe_layer[index(layer)] == 0) return {};
  const bool shared = !run.shared_layer.empty() && run.shared_layer[index(layer)] != 0;
  return std::span(kBoth).first(shared ? 2 : 1);
}

}  // namespace

struct TraceReader::Impl {
  std::unique_ptr<Database> database;
  mutable std::map<std::pair<std::int64_t, std::int32_t>, std::string> words;
  mutable std::int64_t word_bytes = 0;  // in them: many rows of a damaged file can share the bytes of one

  Result<std::string> word(Statement& query, std::int64_t run, std::int32_t id) const {
    const auto known = words.find({run, id});
    if (known != words.end()) return known->second;
    query.bind(1, run);
    query.bind(2, static_cast<std::int64_t>(id));
    auto row = query.step();
    if (!row) return forward_error(row);
    if (!*row) return std::string();
    const auto bytes = query.blob(0);
    const auto size = static_cast<std::int64_t>(bytes.size());
    if (bytes.size() > kMaxText || !database->can_hold(word_bytes + size)) {
      query.reset();
      return fail(ErrorCode::format, "{}: damaged trace: vocabulary of run {}: token {} has {} bytes",
                  database->file().string(), run, id, size);
    }
    word_bytes += size;
    std::string word(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    query.reset();
    words.emplace(std::pair(run, id), word);
    return word;
  }

  Result<std::vector<float>> layer_values(std::int64_t run, int layer, const TokenRange& range,
                                          const char* column) const;
};

TraceReader::TraceReader() : impl_(std::make_unique<Impl>()) {}
TraceReader::~TraceReader() = default;

Result<std::unique_ptr<TraceReader>> TraceReader::open(const std::filesystem::path& file) {
  auto database = open_trace_for_reading(file);
  if (!database) return forward_error(database);
  auto interrupted = has_interrupted_runs(**database);
  if (!interrupted) return forward_error(interrupted);
  if (*interrupted) {
    // Write the mark down for readers that know only SQL. On a read-only medium it stays a matter of reading.
    if (auto writable = open_trace_for_writing(file)) (void)mark_interrupted_runs(**writable);
  }
  std::unique_ptr<TraceReader> reader(new TraceReader());
  reader->impl_->database = std::move(*database);
  return reader;
}

TraceReader::Snapshot::Snapshot(const TraceReader& reader) {
  sqlite3* handle = reader.impl_->database->handle();
  if (sqlite3_get_autocommit(handle) == 0) return;  // an outer snapshot is in force
  if (sqlite3_exec(handle, "BEGIN", nullptr, nullptr, nullptr) == SQLITE_OK) handle_ = handle;
}
TraceReader::Snapshot::~Snapshot() {
  if (handle_ != nullptr) sqlite3_exec(handle_, "COMMIT", nullptr, nullptr, nullptr);
}

const std::filesystem::path& TraceReader::file() const {
  return impl_->database->file();
}
void TraceReader::interrupt() {
  impl_->database->interrupt();
}

Result<std::vector<RunInfo>> TraceReader::runs() const {
  return read_run_rows(*impl_->database, std::nullopt);
}

Result<RunInfo> TraceReader::run(std::int64_t run) const {
  auto rows = read_run_rows(*impl_->database, run);
  if (!rows) return forward_error(rows);
  if (rows->empty()) {
    return fail(ErrorCode::invalid_argument, "{}: there is no run {}", file().string(), run);
  }
  return std::move(rows->front());
}

Result<std::vector<PolicyChange>> TraceReader::policy_changes(std::int64_t run) const {
  auto query =
      impl_->database->prepare("SELECT token, policy FROM policy_change WHERE run = ?1 ORDER BY token");
  if (!query) return forward_error(query);
  query->bind(1, run);
  std::vector<PolicyChange> changes;
  const auto status = query->for_each_row([&](const Statement& row) -> Status {
    const std::int64_t before = changes.empty() ? -1 : changes.back().token;
    changes.push_back({row.integer(0), row.text(1)});
    const bool good = is_position(changes.back().token) && changes.back().token > before &&
                      changes.back().policy_json.size() <= kMaxLongText;
    if (good) return {};
    return fail(ErrorCode::format, "{}: damaged trace: policy_change of run {} names token {}",
                file().string(), run, changes.back().token);
  });
  if (!status) return forward_error(status);
  return changes;
}

Result<std::vector<SequenceInfo>> TraceReader::sequences(std::int64_t run) const {
  auto query = impl_->database->prepare(
      "SELECT number, first_token, domain FROM sequence WHERE run = ?1 ORDER BY number");
  if (!query) return forward_error(query);
  query->bind(1, run);
  std::vector<SequenceInfo> sequences;
  const auto status = query->for_each_row([&](const Statement& row) -> Status {
    const std::int64_t number = row.integer(0);
    const std::int64_t first_token = row.integer(1);
    std::string domain = row.text(2);
    const bool good = number > (sequences.empty() ? -1 : sequences.back().number) && number <= INT32_MAX &&
                      is_position(first_token) && domain.size() <= kMaxText;
    if (!good) {
      return fail(ErrorCode::format, "{}: damaged trace: sequence {} of run {} begins at token {}",
                  file().string(), number, run, first_token);
    }
    sequences.push_back({static_cast<int>(number), first_token, std::move(domain)});
    return {};
  });
  if (!status) return forward_error(status);
  return sequences;
}

Result<ExpertTable> TraceReader::expert_table(std::int64_t run) const {
  const Snapshot snapshot(*this);
  auto info = this->run(run);
  if (!info) return forward_error(info);
  return read_expert_table(*impl_->database, *info);
}

Result<ExpertTable> TraceReader::expert_table(std::int64_t run, const TokenRange& range) const {
  const Snapshot snapshot(*this);
  auto info = this->run(run);
  if (!info) return forward_error(info);
  auto empty = empty_expert_table(*impl_->database, *info);
  if (!empty) return forward_error(empty);
  ExpertTable& table = *empty;
  const ClampedRange tokens = clamp(range);
  Sequences sequences;
  auto status = for_each_token_block(*impl_->database, run, tokens, [&](const TokenBlockRow& block) {
    sequences[block.first_token] = block.sequence;
    table.tokens += std::min(block.end(), tokens.end) - std::max(block.first_token, tokens.begin);
    return true;
  });
  const auto add = [&](const SlotSource& source, std::span<ExpertStats> experts) {
    return add_range(*impl_->database, *info, source, tokens, sequences, experts);
  };
  for (int layer = 0; status && layer < info->layers; ++layer) {
    if (info->moe_layer[index(layer)] == 0) continue;
    status = add({SlotTable::routed, layer},
                 std::span(table.cells).subspan(index(layer) * index(info->experts), index(info->experts)));
    if (status && table.has_shared(layer))
      status = add({SlotTable::shared, layer}, std::span(&table.shared[index(layer)], 1));
  }
  if (!status) return forward_error(status);
  return empty;
}

Result<std::vector<LayerStats>> TraceReader::layer_stats(std::int64_t run) const {
  const Snapshot snapshot(*this);
  auto info = this->run(run);
  if (!info) return forward_error(info);
  return read_layer_stats(*impl_->database, *info);
}

Result<std::string> TraceReader::token_bytes(std::int64_t run, std::int32_t id) const {
  auto words = impl_->database->prepare(kWord);
  if (!words) return forward_error(words);
  return impl_->word(*words, run, id);
}

Result<std::vector<TokenRow>> TraceReader::tokens(std::int64_t run, const TokenRange& range,
                                                  TokenWords with_words) const {
  const Snapshot snapshot(*this);
  auto words = impl_->database->prepare(kWord);
  if (!words) return forward_error(words);
  const ClampedRange wanted = clamp(range);
  std::vector<TokenRow> rows;
  Status inner;
  const auto add = [&](const TokenBlockRow& block) {
    const std::int64_t end = std::min(block.end(), wanted.end);
    for (std::int64_t token = std::max(block.first_token, wanted.begin); token < end; ++token) {
      const std::size_t at = index(token - block.first_token);
      TokenRow row;
      row.index = token;
      row.sequence = block.sequence[at];
      row.position = block.position[at];
      row.id = block.token_id[at];
      row.generated = block.generated[at] != 0;
      if (!block.log_prob.empty() && !std::isnan(block.log_prob[at])) row.log_prob = block.log_prob[at];
      if (with_words == TokenWords::with) {
        auto word = impl_->word(*words, run, row.id);
        if (!word) {
          inner = forward_error(word);
          return false;
        }
        row.bytes = std::move(*word);
      }
      rows.push_back(std::move(row));
    }
    return true;
  };
  auto status = for_each_token_block(*impl_->database, run, wanted, add);
  if (!status) return forward_error(status);
  if (!inner) return forward_error(inner);
  return rows;
}

Result<std::vector<SlotRow>> TraceReader::token_slots(std::int64_t run, std::int64_t token) const {
  const Snapshot snapshot(*this);
  auto info = this->run(run);
  if (!info) return forward_error(info);
  std::vector<SlotRow> rows;
  if (token < 0 || token >= info->tokens) return rows;
  const ClampedRange range{token, token + 1};
  for (int layer = 0; layer < info->layers; ++layer) {
    for (const SlotTable table : slot_tables(*info, layer)) {
      const auto add = [&](const SlotColumns& columns) {
        const std::size_t at = index(token - columns.first_token);
        for (std::size_t slot = 0; slot < index(columns.slots); ++slot) {
          if (columns.expert[at * index(columns.slots) + slot] == kNoExpert) continue;
          rows.push_back(slot_row(table, columns, layer, at, slot));
        }
        return true;
      };
      auto status = for_each_slot_block(*impl_->database, *info, table, layer, range, add);
      if (!status) return forward_error(status);
    }
  }
  return rows;
}

Status TraceReader::visit_expert(
    std::int64_t run, int layer, int expert, const TokenRange& range,
    const std::function<bool(std::int64_t token, const SlotRow& slot)>& visit) const {
  const Snapshot snapshot(*this);
  auto info = this->run(run);
  if (!info) return forward_error(info);
  const ClampedRange wanted = clamp(range);
  const SlotTable table = expert == kSharedExpert ? SlotTable::shared : SlotTable::routed;
  const bool has_shared = layer >= 0 && layer < info->layers && slot_tables(*info, layer).size() > 1;
  if (table == SlotTable::shared && !has_shared) return {};
  const int number = std::max(expert, 0);  // what the one slot of the shared expert has
  return for_each_slot_block(*impl_->database, *info, table, layer, wanted, [&](const SlotColumns& columns) {
    const std::int64_t end = std::min(columns.first_token + columns.tokens, wanted.end);
    for (std::int64_t token = std::max(columns.first_token, wanted.begin); token < end; ++token) {
      const std::size_t at = index(token - columns.first_token);
      for (std::size_t slot = 0; slot < index(columns.slots); ++slot) {
        if (columns.expert[at * index(columns.slots) + slot] != number || number == kNoExpert) continue;
        if (!visit(token, slot_row(table, columns, layer, at, slot))) return false;
      }
    }
    return true;
  });
}

Status TraceReader::visit_slots(std::int64_t run, int layer, const TokenRange& range, SlotWeights weights,
                                const std::function<bool(const SlotBlock& slots)>& visit) const {
  const Snapshot snapshot(*this);
  auto info = this->run(run);
  if (!info) return forward_error(info);
  const ClampedRange wanted = clamp(range);
  return for_each_slot_block(
      *impl_->database, *info, SlotTable::routed, layer, wanted, [&](const SlotColumns& columns) {
        const std::int64_t begin = std::max<std::int64_t>(wanted.begin - columns.first_token, 0);
        const std::int64_t end = std::min<std::int64_t>(wanted.end - columns.first_token, columns.tokens);
        const SlotColumns part = columns.part(static_cast<int>(begin), static_cast<int>(end));
        SlotBlock block{part.first_token, part.tokens, part.slots, part.expert, {}};
        if (weights == SlotWeights::with) block.weight = part.weight;
        return visit(block);
      });
}

// One value a token: as many as there are recorded tokens in the range.
Result<std::vector<float>> TraceReader::Impl::layer_values(std::int64_t run, int layer,
                                                           const TokenRange& range,
                                                           const char* column) const {
  const ClampedRange wanted = clamp(range);
  std::int64_t count = 0;
  auto status = for_each_token_block(*database, run, wanted, [&](const TokenBlockRow& block) {
    count += std::min(block.end(), wanted.end) - std::max(block.first_token, wanted.begin);
    return true;
  });
  if (!status) return forward_error(status);
  std::vector<float> values(index(count), std::numeric_limits<float>::quiet_NaN());
  const auto take = [&](std::int64_t first_token, int tokens, std::span<const float> row) {
    for (int i = 0; i < tokens; ++i) {
      const std::int64_t at = first_token + i - wanted.begin;
      if (at >= 0 && at < count) values[index(at)] = row[index(i)];
    }
    return true;
  };
  status = for_each_layer_column(*database, run, {column, layer, 1}, wanted, take);
  if (!status) return forward_error(status);
  return values;
}

Result<std::vector<float>> TraceReader::entropy(std::int64_t run, int layer, const TokenRange& range) const {
  const Snapshot snapshot(*this);
  return impl_->layer_values(run, layer, range, "entropy");
}

Result<std::vector<float>> TraceReader::hidden_max(std::int64_t run, int layer,
                                                   const TokenRange& range) const {
  const Snapshot snapshot(*this);
  return impl_->layer_values(run, layer, range, "hidden_max");
}

Result<std::vector<float>> TraceReader::first_token_attention(std::int64_t run, int layer,
                                                              const TokenRange& range) const {
  const Snapshot snapshot(*this);
  return impl_->layer_values(run, layer, range, "first_token_attention");
}

Result<std::vector<float>> TraceReader::router_logits(std::int64_t run, int layer, std::int64_t token) const {
  const Snapshot snapshot(*this);
  auto info = this->run(run);
  if (!info) return forward_error(info);
  std::vector<float> logits;
  if (token < 0 || token >= info->tokens) return logits;
  const ClampedRange range{token, token + 1};
  const std::size_t width = index(info->experts);
  const auto take = [&](std::int64_t first_token, int, std::span<const float> row) {
    const auto part = row.subspan(index(token - first_token) * width, width);
    logits.assign(part.begin(), part.end());
    return false;
  };
  auto status =
      for_each_layer_column(*impl_->database, run, {"router_logits", layer, info->experts}, range, take);
  if (!status) return forward_error(status);
  return logits;
}

}  // namespace expertscope
