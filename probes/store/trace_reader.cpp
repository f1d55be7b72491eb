// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/store/trace_reader.h"

#include <sqlite3.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <string_view>
#include <utility>

#include "probes/store/aggregate_rows.h"
#include "probes/store/block_reader.h"
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

bool has_shared(const RunInfo& run, int layer) {
  return !run.shared_layer.empty() && run.shared_layer[index(layer)] != 0;
}

template <class T>
T value_or(std::span<const T> values, std::size_t at, T otherwise) {
  return values.empty() ? otherwise : values[at];
}

SlotRow slot_row(const LayerColumns& columns, int layer, std::size_t token, std::size_t slot) {
  const std::size_t at = token * index(columns.slots) + slot;
  SlotRow row;
  row.layer = layer;
  row.slot = static_cast<int>(slot);
  row.expert = columns.expert[at];
  row.probability = value_or(columns.probability, at, 0.0f);
  row.weight = value_or(columns.weight, at, 0.0f);
  row.output_norm = value_or(columns.output_norm, at, 0.0f);
  row.output_max = value_or(columns.output_max, at, 0.0f);
  row.output_channel = value_or(columns.output_channel, at, -1);
  return row;
}

SlotRow shared_row(const LayerColumns& columns, int layer, std::size_t token) {
  SlotRow row = slot_row(columns.of_shared(), layer, token, 0);
  row.slot = -1;
  row.expert = kSharedExpert;
  row.probability = row.weight = std::numeric_limits<float>::quiet_NaN();
  return row;
}

constexpr ColumnFilter kTokens = [](const ProbeColumn& column) {
  return column.granularity == Granularity::token;
};
constexpr ColumnFilter kSlots = [](const ProbeColumn& column) {
  return column.granularity == Granularity::slot || column.granularity == Granularity::shared;
};
constexpr ColumnFilter kExperts = [](const ProbeColumn& column) {
  return std::string_view(column.name) == "expert";
};
constexpr ColumnFilter kWeighedExperts = [](const ProbeColumn& column) {
  return kExperts(column) || std::string_view(column.name) == "weight";
};
constexpr ColumnFilter kPerLayer = [](const ProbeColumn& column) {
  return column.granularity == Granularity::layer || column.granularity == Granularity::moe_layer;
};
constexpr ColumnFilter kLogits = [](const ProbeColumn& column) {
  return column.granularity == Granularity::expert;
};

using Sequences = std::map<std::int64_t, std::vector<std::int32_t>>;  // by first token of a block

// Instead of its sequence, of a token that does not count.
constexpr std::int32_t kNotCounted = std::numeric_limits<std::int32_t>::min();

// What the experts of a layer did in a range of tokens.
struct LayerSums {
  explicit LayerSums(std::span<ExpertStats> cells, ExpertStats* shared_cell)
      : experts(cells), shared(shared_cell), first_rows(static_cast<int>(cells.size())) {}

  std::span<ExpertStats> experts;
  ExpertStats* shared;  // null: the layer has none
  FirstRows first_rows;
  FirstRows first_shared{1};

  // Tokens of the range that count; false where they are not those of the run, or an expert is none of the
  // layer.
  bool add(const LayerColumns& columns, const ClampedRange& tokens, const Sequences& sequences) {
    const auto found = sequences.find(columns.first_token);
    if (found == sequences.end() || found->second.size() != index(columns.tokens)) return false;
    const auto first = static_cast<int>(std::max<std::int64_t>(tokens.begin - columns.first_token, 0));
    const auto end =
        static_cast<int>(std::min<std::int64_t>(tokens.end - columns.first_token, columns.tokens));
    const std::span<const std::int32_t> of_token(found->second);
    const auto counts = [&](int token) { return of_token[index(token)] != kNotCounted; };
    for (int begin = first; begin < end;) {
      int behind = begin + 1;
      while (behind < end && counts(behind) == counts(begin))
        ++behind;
      if (counts(begin) &&
          !add_part(columns.part(begin, behind), of_token.subspan(index(begin), index(behind - begin))))
        return false;
      begin = behind;
    }
    return true;
  }

 private:
  bool add_part(const LayerColumns& part, std::span<const std::int32_t> sequence) {
    if (shared != nullptr) add_slots(part.of_shared(), sequence, first_shared, std::span(shared, 1));
    return add_slots(part, sequence, first_rows, experts);
  }
};

constexpr const char* kWord = "SELECT bytes FROM vocabulary WHERE run = ?1 AND token_id = ?2";

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
                                          LayerNumbers column) const;
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

Result<ExpertTable> TraceReader::expert_table(std::int64_t run, const TokenRange& range,
                                              const std::unordered_set<int>* only) const {
  const Snapshot snapshot(*this);
  auto info = this->run(run);
  if (!info) return forward_error(info);
  auto empty = empty_expert_table(*impl_->database, *info);
  if (!empty) return forward_error(empty);
  ExpertTable& table = *empty;
  const ClampedRange tokens = clamp(range);
  Sequences sequences;
  auto blocks = BlockReader::open(*impl_->database, run, info->experts, kTokens);
  if (!blocks) return forward_error(blocks);
  auto status = blocks->for_each_tokens(tokens, [&](const LayerColumns& block) {
    std::vector<std::int32_t>& of_token = sequences[block.first_token];
    of_token.assign(block.sequence.begin(), block.sequence.end());
    for (std::size_t i = 0; i < of_token.size(); ++i) {
      const std::int64_t token = block.first_token + static_cast<std::int64_t>(i);
      if (only != nullptr && only->count(of_token[i]) == 0) of_token[i] = kNotCounted;
      if (token >= tokens.begin && token < tokens.end && of_token[i] != kNotCounted) ++table.tokens;
    }
    return true;
  });
  if (!status) return forward_error(status);
  auto slots = BlockReader::open(*impl_->database, run, info->experts, kSlots);
  if (!slots) return forward_error(slots);
  for (int layer = 0; layer < info->layers; ++layer) {
    if (info->moe_layer[index(layer)] == 0) continue;
    LayerSums sums(std::span(table.cells).subspan(index(layer) * index(info->experts), index(info->experts)),
                   table.has_shared(layer) ? &table.at(layer, kSharedExpert) : nullptr);
    bool good = true;
    status = slots->for_each(layer, tokens, [&](const LayerColumns& columns) {
      good = sums.add(columns, tokens, sequences);
      return good;
    });
    if (!status) return forward_error(status);
    if (!good) {
      return fail(ErrorCode::format,
                  "{}: damaged trace: column_block of run {}, layer {}: an expert id is too large, or its "
                  "tokens are not those of the run",
                  file().string(), run, layer);
    }
  }
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
  auto blocks = BlockReader::open(*impl_->database, run, 0, kTokens);
  if (!blocks) return forward_error(blocks);
  auto words = impl_->database->prepare(kWord);
  if (!words) return forward_error(words);
  const ClampedRange wanted = clamp(range);
  std::vector<TokenRow> rows;
  Status inner;
  const auto add = [&](const LayerColumns& block) {
    const std::int64_t end = std::min(block.first_token + block.tokens, wanted.end);
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
  auto status = blocks->for_each_tokens(wanted, add);
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
  auto blocks = BlockReader::open(*impl_->database, run, info->experts, kSlots);
  if (!blocks) return forward_error(blocks);
  for (int layer = 0; layer < info->layers; ++layer) {
    if (info->moe_layer[index(layer)] == 0) continue;
    auto status = blocks->for_each(layer, {token, token + 1}, [&](const LayerColumns& columns) {
      const std::size_t at = index(token - columns.first_token);
      const std::size_t slots = columns.expert.empty() ? 0 : index(columns.slots);
      for (std::size_t slot = 0; slot < slots; ++slot) {
        if (columns.expert[at * slots + slot] != kNoExpert)
          rows.push_back(slot_row(columns, layer, at, slot));
      }
      if (has_shared(*info, layer) && !columns.shared_max.empty())
        rows.push_back(shared_row(columns, layer, at));
      return true;
    });
    if (!status) return forward_error(status);
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
  const bool shared = expert == kSharedExpert;
  if (layer < 0 || layer >= info->layers || (shared && !has_shared(*info, layer))) return {};
  auto blocks = BlockReader::open(*impl_->database, run, info->experts, kSlots);
  if (!blocks) return forward_error(blocks);
  return blocks->for_each(layer, wanted, [&](const LayerColumns& columns) {
    const std::int64_t end = std::min(columns.first_token + columns.tokens, wanted.end);
    const std::size_t slots = columns.expert.empty() || shared ? 0 : index(columns.slots);
    for (std::int64_t token = std::max(columns.first_token, wanted.begin); token < end; ++token) {
      const std::size_t at = index(token - columns.first_token);
      if (shared && !columns.shared_max.empty() && !visit(token, shared_row(columns, layer, at)))
        return false;
      for (std::size_t slot = 0; slot < slots; ++slot) {
        if (columns.expert[at * slots + slot] != expert || expert == kNoExpert) continue;
        if (!visit(token, slot_row(columns, layer, at, slot))) return false;
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
  if (layer < 0) return {};
  const bool weighed = weights == SlotWeights::with;
  auto blocks = BlockReader::open(*impl_->database, run, info->experts, weighed ? kWeighedExperts : kExperts);
  if (!blocks) return forward_error(blocks);
  return blocks->for_each(layer, wanted, [&](const LayerColumns& columns) {
    const std::int64_t begin = std::max<std::int64_t>(wanted.begin - columns.first_token, 0);
    const std::int64_t end = std::min<std::int64_t>(wanted.end - columns.first_token, columns.tokens);
    const LayerColumns part = columns.part(static_cast<int>(begin), static_cast<int>(end));
    return visit({part.first_token, part.tokens, part.slots, part.expert, part.weight});
  });
}

// One value a token: as many as there are recorded tokens in the range.
Result<std::vector<float>> TraceReader::Impl::layer_values(std::int64_t run, int layer,
                                                           const TokenRange& range,
                                                           LayerNumbers column) const {
  const ClampedRange wanted = clamp(range);
  auto tokens = BlockReader::open(*database, run, 0, kTokens);
  if (!tokens) return forward_error(tokens);
  std::int64_t count = 0;
  auto status = tokens->for_each_tokens(wanted, [&](const LayerColumns& block) {
    count +=
        std::min(block.first_token + block.tokens, wanted.end) - std::max(block.first_token, wanted.begin);
    return true;
  });
  if (!status) return forward_error(status);
  std::vector<float> values(index(count), std::numeric_limits<float>::quiet_NaN());
  if (layer < 0) return values;
  auto blocks = BlockReader::open(*database, run, 0, kPerLayer);
  if (!blocks) return forward_error(blocks);
  status = blocks->for_each(layer, wanted, [&](const LayerColumns& block) {
    const auto found = block.*column;
    for (std::size_t i = 0; i < found.size(); ++i) {
      const std::int64_t at = block.first_token + static_cast<std::int64_t>(i) - wanted.begin;
      if (at >= 0 && at < count) values[index(at)] = found[i];
    }
    return true;
  });
  if (!status) return forward_error(status);
  return values;
}

Result<std::vector<float>> TraceReader::entropy(std::int64_t run, int layer, const TokenRange& range) const {
  const Snapshot snapshot(*this);
  return impl_->layer_values(run, layer, range, &LayerColumns::entropy);
}

Result<std::vector<float>> TraceReader::hidden_max(std::int64_t run, int layer,
                                                   const TokenRange& range) const {
  const Snapshot snapshot(*this);
  return impl_->layer_values(run, layer, range, &LayerColumns::hidden_max);
}

Result<std::vector<float>> TraceReader::first_token_attention(std::int64_t run, int layer,
                                                              const TokenRange& range) const {
  const Snapshot snapshot(*this);
  return impl_->layer_values(run, layer, range, &LayerColumns::first_token_attention);
}

Result<std::vector<float>> TraceReader::router_logits(std::int64_t run, int layer, std::int64_t token) const {
  const Snapshot snapshot(*this);
  auto info = this->run(run);
  if (!info) return forward_error(info);
  std::vector<float> logits;
  if (token < 0 || token >= info->tokens || layer < 0) return logits;
  auto blocks = BlockReader::open(*impl_->database, run, info->experts, kLogits);
  if (!blocks) return forward_error(blocks);
  const std::size_t width = index(info->experts);
  const auto status = blocks->for_each(layer, {token, token + 1}, [&](const LayerColumns& block) {
    const auto part = block.router_logits.subspan(index(token - block.first_token) * width, width);
    logits.assign(part.begin(), part.end());
    return false;
  });
  if (!status) return forward_error(status);
  return logits;
}

}  // namespace expertscope
