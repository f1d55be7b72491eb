// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/store/trace_writer.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "probes/store/run_row.h"
#include "probes/store/schema.h"
#include "probes/store/trace_tables.h"
#include "probes/store/writer_identity.h"

namespace expertscope {
namespace {

constexpr std::int32_t kLargestTokenId = 1 << 24;
constexpr const char* kNoPolicy = R"({"version":1,"edits":[]})";

std::size_t index(std::int64_t value) {
  return static_cast<std::size_t>(value);
}

// The policy as the trace keeps it: the model's own routing is always the same text.
std::string policy_text(const RoutingTable* table) {
  if (table == nullptr || table->policy_json.empty()) return kNoPolicy;
  const auto json = nlohmann::json::parse(table->policy_json, nullptr, false);
  const bool empty = json.is_object() && json.contains("edits") && json["edits"].empty();
  return empty ? kNoPolicy : table->policy_json;
}

Status check_info(const std::filesystem::path& file, const RunInfo& info) {
  const bool sizes = info.layers > 0 && info.layers <= kMaxLayers && info.experts >= 0 &&
                     info.experts <= kMaxExperts &&
                     static_cast<std::int64_t>(info.layers) * info.experts <= kMaxCells && info.top_k >= 0 &&
                     info.top_k <= info.experts && info.moe_layer.size() == index(info.layers) &&
                     (info.shared_layer.empty() || info.shared_layer.size() == index(info.layers));
  if (!sizes) {
    return fail(ErrorCode::invalid_argument, "{}: cannot record a run of {} layers x {} experts, top-{}",
                file.string(), info.layers, info.experts, info.top_k);
  }
  if (info.hidden_size < 0 || info.hidden_size >= kNoChannel) {
    return fail(ErrorCode::unsupported, "{}: traces hold channels up to {}, the model's hidden_size is {}",
                file.string(), kNoChannel - 1, info.hidden_size);
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<TraceWriter>> TraceWriter::start(const std::filesystem::path& file,
                                                        const RunInfo& info,
                                                        std::function<std::string(std::int32_t)> token_bytes,
                                                        bool full) {
  if (auto status = check_info(file, info); !status) return forward_error(status);
  auto database = open_trace_for_writing(file);
  if (!database) return forward_error(database);
  std::unique_ptr<TraceWriter> writer(new TraceWriter());
  writer->database_ = std::move(*database);
  writer->token_bytes_ = std::move(token_bytes);
  writer->full_ = full;
  writer->experts_ = info.experts;
  writer->probes_ = info.probes;
  for (int layer = 0; layer < info.layers; ++layer) {
    const bool moe = info.moe_layer[index(layer)] != 0;
    writer->moe_index_.push_back(moe ? static_cast<int>(writer->moe_layers_.size()) : -1);
    if (!moe) continue;
    if (!info.shared_layer.empty() && info.shared_layer[index(layer)] != 0)
      writer->shared_.push_back(static_cast<int>(writer->moe_layers_.size()));
    writer->moe_layers_.push_back(layer);
  }
  const std::size_t cells = writer->moe_layers_.size() * index(info.experts);
  writer->experts_stats_.resize(cells);
  writer->written_count_.resize(cells);
  writer->layer_stats_.resize(index(info.layers));
  writer->first_rows_.assign(writer->moe_layers_.size(), FirstRows(info.experts));
  writer->shared_stats_.resize(writer->moe_layers_.size());
  writer->shared_rows_.assign(writer->moe_layers_.size(), FirstRows(1));
  if (auto status = writer->insert_run(info); !status) return forward_error(status);
  writer->database_->note_length();
  if (auto status = writer->check_in_place(); !status) return forward_error(status);  // notes the size
  writer->reserve_.take(file);
  return writer;
}

Status TraceWriter::insert_run(const RunInfo& info) {
  auto transaction = Transaction::begin(*database_);
  if (!transaction) return forward_error(transaction);
  if (auto status = mark_interrupted_runs(*database_); !status) return status;
  auto id = insert_run_row(*database_, info);
  if (!id) return forward_error(id);
  run_ = *id;
  if (auto status = insert_stats(info); !status) return status;
  return transaction->commit();
}

// Every cell has a row from the start, so that experts nothing was routed to show up in a SELECT.
Status TraceWriter::insert_stats(const RunInfo& info) {
  for (std::size_t layer = 0; layer < moe_index_.size(); ++layer) {
    if (auto status = write_layer_row(layer, info.probes); !status) return status;
  }
  for (std::size_t cell = 0; cell < experts_stats_.size(); ++cell) {
    if (auto status = write_expert_row(cell, info.probes); !status) return status;
  }
  if (shared_.empty()) return {};
  if (auto made = make_optional_table(*database_, "shared_expert_stats"); !made) return made;
  return write_shared_stats(info.probes);
}

Status TraceWriter::begin_transaction() {
  if (transaction_) return {};
  auto transaction = Transaction::begin(*database_);
  if (!transaction) return forward_error(transaction);
  database_->note_length();
  if (auto status = check_in_place(); !status) return status;
  transaction_.emplace(std::move(*transaction));
  return {};
}

Status TraceWriter::check(const CaptureBlock& block, const BlockTags& tags) const {
  const BlockShape run{.tokens = std::max(block.tokens, 0),
                       .layers = static_cast<int>(moe_index_.size()),
                       .moe_layers = static_cast<int>(moe_layers_.size()),
                       .slots = std::clamp(block.slots, 0, std::max(experts_, 1)),
                       .experts = experts_,
                       .shared = !shared_.empty()};
  const std::size_t tokens = run.values(Granularity::token);
  bool sizes = run == static_cast<const BlockShape&>(block) && block.token_id.size() == tokens &&
               block.position.size() == tokens && tags.sequence.size() == tokens;
  for_each_column(
      [&](const ProbeColumn& column, const auto& values) {
        sizes = sizes && values.size() == run.values(column, block.request);
      },
      block);
  const bool cache = !block.cache_hits.empty();
  for (const auto* counters : {&block.cache_hits, &block.cache_misses, &block.cache_bytes})
    sizes = sizes && counters->size() == (cache ? moe_layers_.size() : 0);
  if (sizes) return {};
  return fail(ErrorCode::mismatch,
              "{}: a capture block of {} tokens, {} layers ({} MoE) and {} experts does not fit the run's {} "
              "layers ({} MoE) and {} experts",
              database_->file().string(), block.tokens, block.layers, block.moe_layers, block.experts,
              moe_index_.size(), moe_layers_.size(), experts_);
}

Status TraceWriter::append(const CaptureBlock& block, const BlockTags& tags) {
  if (auto status = check(block, tags); !status) return status;
  if (auto status = note(tags); !status) return status;
  if (auto status = note_block(block); !status) return status;
  int done = 0;
  while (done < block.tokens) {
    if (block_open_ && !block_.accepts(block)) {
      if (auto status = close_block(); !status) return status;
    }
    if (!block_open_) {
      block_.start(tokens_, block);
      block_open_ = true;
      written_ = 0;
      pieces_ = 0;
    }
    const int count = std::min(block.tokens - done, block_.room());
    const int from = block_.tokens();
    block_.append(block, done, count, tags.sequence, tags.generated);
    if (auto status = aggregate(from, from + count); !status) return status;
    tokens_ += count;
    done += count;
    dirty_ = true;
  }
  return {};
}

Status TraceWriter::note(const BlockTags& tags) {
  if (auto status = begin_transaction(); !status) return status;
  dirty_ = true;
  for (const SequenceStart& start : tags.starts) {
    for (FirstRows& rows : first_rows_)
      rows.forget(start.ended);
    for (FirstRows& rows : shared_rows_)
      rows.forget(start.ended);
    auto status = database_->write("INSERT INTO sequence VALUES(?1, ?2, ?3, ?4)", run_, start.number,
                                   tokens_ + start.block_row, bounded_text(start.domain));
    if (!status) return status;
  }
  for (const DroppedTokens& gap : tags.dropped) {
    dropped_ += gap.tokens;
    auto status = database_->write("INSERT INTO dropped VALUES(?1, ?2, ?3, ?4, ?5)", run_, tokens_,
                                   gap.sequence, gap.position, gap.tokens);
    if (!status) return status;
  }
  return {};
}

// What comes with the block besides numbers: probes that were not on before, a new policy, new tokens.
Status TraceWriter::note_block(const CaptureBlock& block) {
  measured_ = either(measured_, block.request);
  probes_ = either(probes_, block.request);
  note_cache(block);
  if (auto status = note_policy(block); !status) return status;
  return note_vocabulary(block.token_id);
}

Status TraceWriter::note_policy(const CaptureBlock& block) {
  if (block.tokens == 0 || (any_block_ && block.table == table_)) return {};
  const std::string policy = policy_text(block.table.get());
  const std::string before = any_block_ ? policy_ : kNoPolicy;
  any_block_ = true;
  table_ = block.table;
  policy_ = policy;
  if (policy == before) return {};
  return database_->write("INSERT OR REPLACE INTO policy_change VALUES(?1, ?2, ?3)", run_, tokens_, policy);
}

void TraceWriter::note_cache(const CaptureBlock& block) {
  for (std::size_t moe = 0; moe < block.cache_hits.size(); ++moe) {
    std::optional<CacheStats>& cache = layer_stats_[index(moe_layers_[moe])].cache;
    if (!cache) cache.emplace();
    cache->hits += block.cache_hits[moe];
    cache->misses += block.cache_misses[moe];
    cache->bytes += block.cache_bytes[moe];
  }
}

Status TraceWriter::note_vocabulary(std::span<const std::int32_t> ids) {
  if (!token_bytes_) return {};
  for (const std::int32_t id : ids) {
    if (id < 0 || id > kLargestTokenId) continue;
    if (index(id) >= known_token_.size())
      known_token_.resize(std::max(index(id) + 1, 2 * known_token_.size()));
    if (known_token_[index(id)] != 0) continue;
    known_token_[index(id)] = 1;
    const std::string word = token_bytes_(id);
    auto status =
        database_->write("INSERT OR IGNORE INTO vocabulary VALUES(?1, ?2, ?3)", run_, id,
                         std::as_bytes(std::span<const char>(word)).first(std::min(word.size(), kMaxText)));
    if (!status) return status;
  }
  return {};
}

Status TraceWriter::aggregate(int begin, int end) {
  const auto sequence = block_.sequence(begin, end);
  for (std::size_t layer = 0; layer < layer_stats_.size(); ++layer) {
    const int moe = moe_index_[layer];
    const LayerColumns columns = block_.layer(static_cast<int>(layer), moe, begin, end);
    add_layer(columns, layer_stats_[layer]);
    if (moe < 0) continue;
    const auto cells = std::span(experts_stats_).subspan(index(moe) * index(experts_), index(experts_));
    if (!add_slots(columns, sequence, first_rows_[index(moe)], cells)) {
      return fail(ErrorCode::mismatch, "{}: the capture of layer {} names an expert the model does not have",
                  database_->file().string(), layer);
    }
  }
  for (const int moe : shared_) {
    const LayerColumns columns = block_.layer(moe_layers_[index(moe)], moe, begin, end).of_shared();
    add_slots(columns, sequence, shared_rows_[index(moe)], std::span(&shared_stats_[index(moe)], 1));
  }
  return {};
}

}  // namespace expertscope
