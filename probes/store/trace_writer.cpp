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

CaptureRequest either(const CaptureRequest& a, const CaptureRequest& b) {
  return {a.routing || b.routing,
          a.expert_output || b.expert_output,
          a.hidden || b.hidden,
          a.entropy || b.entropy,
          a.log_prob || b.log_prob,
          a.attention || b.attention,
          a.router_logits || b.router_logits};
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

Result<std::unique_ptr<TraceWriter>> TraceWriter::start(
    const std::filesystem::path& file, const RunInfo& info,
    std::function<std::string(std::int32_t)> token_bytes) {
  if (auto status = check_info(file, info); !status) return forward_error(status);
  auto database = open_trace_for_writing(file);
  if (!database) return forward_error(database);
  std::unique_ptr<TraceWriter> writer(new TraceWriter());
  writer->database_ = std::move(*database);
  writer->token_bytes_ = std::move(token_bytes);
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
  if (auto status = writer->prepare(); !status) return forward_error(status);
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
  if (auto status = insert_shared_stats(info); !status) return status;
  return transaction->commit();
}

// Every cell has a row from the start, so that experts nothing was routed to show up in a SELECT.
Status TraceWriter::insert_stats(const RunInfo& info) {
  auto expert = database_->prepare(
      "INSERT INTO expert_stats(run, layer, expert, probability_sum, weight_sum, norm_sum, "
      "weighted_norm_sum) "
      "VALUES(?1, ?2, ?3, ?4, ?4, ?5, ?6)");
  if (!expert) return forward_error(expert);
  auto layers = database_->prepare("INSERT INTO layer_stats(run, layer, moe) VALUES(?1, ?2, ?3)");
  if (!layers) return forward_error(layers);
  const auto zero_if = [&](int parameter, bool measured) {
    return measured ? expert->bind(parameter, 0.0) : expert->bind_null(parameter);
  };
  for (int layer = 0; layer < info.layers; ++layer) {
    const bool moe = moe_index_[index(layer)] >= 0;
    layers->bind(1, run_);
    layers->bind(2, layer);
    layers->bind(3, moe ? 1 : 0);
    if (auto status = layers->run(); !status) return status;
    for (int e = 0; moe && e < info.experts; ++e) {
      expert->bind(1, run_);
      expert->bind(2, layer);
      expert->bind(3, e);
      zero_if(4, info.probes.routing);
      zero_if(5, info.probes.expert_output);
      zero_if(6, info.probes.routing && info.probes.expert_output);
      if (auto status = expert->run(); !status) return status;
    }
  }
  return {};
}

Status TraceWriter::insert_shared_stats(const RunInfo& info) {
  if (shared_.empty()) return {};
  for (const char* table : {"shared_expert_stats", "shared_expert_block"}) {
    if (auto made = make_optional_table(*database_, table); !made) return made;
  }
  auto row = database_->prepare("INSERT INTO shared_expert_stats(run, layer, norm_sum) VALUES(?1, ?2, ?3)");
  if (!row) return forward_error(row);
  for (const int moe : shared_) {
    row->bind(1, run_);
    row->bind(2, moe_layers_[index(moe)]);
    info.probes.expert_output ? row->bind(3, 0.0) : row->bind_null(3);
    if (auto status = row->run(); !status) return status;
  }
  return {};
}

Status TraceWriter::prepare() {
  struct Entry {
    Statement* statement;
    const char* sql;
  };
  const Entry entries[] = {
      {&insert_token_block_,
       "INSERT INTO token_block(run, first_token, tokens, token_id, sequence, position, generated, log_prob) "
       "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"},
      {&insert_slot_block_,
       "INSERT INTO slot_block(run, layer, first_token, tokens, slots, expert, weight, probability, "
       "output_norm, "
       "output_max, output_channel) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)"},
      {&insert_layer_block_,
       "INSERT INTO layer_block(run, layer, first_token, tokens, entropy, hidden_max, hidden_channel, "
       "router_logits, first_token_attention) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"},
      {&delete_token_block_, "DELETE FROM token_block WHERE run = ?1 AND first_token >= ?2"},
      {&delete_slot_block_, "DELETE FROM slot_block WHERE run = ?1 AND layer = ?2 AND first_token >= ?3"},
      {&delete_layer_block_, "DELETE FROM layer_block WHERE run = ?1 AND layer = ?2 AND first_token >= ?3"},
      {&update_expert_,
       "UPDATE expert_stats SET count = ?4, probability_sum = ?5, weight_sum = ?6, norm_sum = ?7, "
       "weighted_norm_sum = ?8, output_max = ?9, output_channel = ?10, output_token = ?11, "
       "first_row_max = ?12, first_row_channel = ?13, first_row_token = ?14 WHERE run = ?1 AND layer = ?2 "
       "AND expert = ?3"},
      {&update_layer_,
       "UPDATE layer_stats SET tokens = ?3, entropy_sum = ?4, entropy_min = ?5, entropy_max = ?6, "
       "hidden_max = ?7, hidden_channel = ?8, hidden_token = ?9, attention_tokens = ?10, attention_sum = "
       "?11, "
       "attention_min = ?12, attention_max = ?13, cache_hits = ?14, cache_misses = ?15, cache_bytes = ?16 "
       "WHERE run = ?1 AND layer = ?2"},
      {&update_run_, "UPDATE run SET tokens = ?2, dropped_tokens = ?3, probes = ?4 WHERE id = ?1"},
      {&insert_sequence_, "INSERT INTO sequence VALUES(?1, ?2, ?3, ?4)"},
      {&insert_dropped_, "INSERT INTO dropped VALUES(?1, ?2, ?3, ?4, ?5)"},
      {&insert_policy_, "INSERT OR REPLACE INTO policy_change VALUES(?1, ?2, ?3)"},
      {&insert_word_, "INSERT OR IGNORE INTO vocabulary VALUES(?1, ?2, ?3)"},
  };
  const Entry shared[] = {
      {&insert_shared_block_,
       "INSERT INTO shared_expert_block(run, layer, first_token, tokens, output_norm, output_max, "
       "output_channel) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)"},
      {&delete_shared_block_,
       "DELETE FROM shared_expert_block WHERE run = ?1 AND layer = ?2 AND first_token >= ?3"},
      {&update_shared_,
       "UPDATE shared_expert_stats SET count = ?3, norm_sum = ?4, output_max = ?5, output_channel = ?6, "
       "output_token = ?7, first_row_max = ?8, first_row_channel = ?9, first_row_token = ?10 "
       "WHERE run = ?1 AND layer = ?2"},
  };
  std::vector<Entry> all(std::begin(entries), std::end(entries));
  if (!shared_.empty()) all.insert(all.end(), std::begin(shared), std::end(shared));
  for (const Entry& entry : all) {
    auto statement = database_->prepare(entry.sql);
    if (!statement) return forward_error(statement);
    *entry.statement = std::move(*statement);
  }
  return {};
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
  const bool shape = block.tokens >= 0 && block.layers == static_cast<int>(moe_index_.size()) &&
                     block.moe_layers == static_cast<int>(moe_layers_.size()) && block.experts == experts_ &&
                     block.slots >= 0 && block.slots <= std::max(experts_, 1);
  const std::size_t tokens = index(block.tokens);
  const std::size_t slots = index(block.moe_layers) * tokens * index(block.slots);
  const auto sized = [](const auto& values, bool measured, std::size_t size) {
    return values.size() == (measured ? size : 0);
  };
  const CaptureRequest& what = block.request;
  const std::size_t moe = index(block.moe_layers) * tokens;
  const std::size_t layers = index(block.layers) * tokens;
  const bool shared = what.expert_output && !shared_.empty();
  const bool sizes =
      block.token_id.size() == tokens && block.position.size() == tokens && tags.sequence.size() == tokens &&
      sized(block.log_prob, what.log_prob, tokens) &&
      sized(block.expert, what.routing || what.expert_output, slots) &&
      sized(block.weight, what.routing, slots) && sized(block.probability, what.routing, slots) &&
      sized(block.output_norm, what.expert_output, slots) &&
      sized(block.output_max, what.expert_output, slots) &&
      sized(block.output_channel, what.expert_output, slots) && sized(block.shared_norm, shared, moe) &&
      sized(block.shared_max, shared, moe) && sized(block.shared_channel, shared, moe) &&
      sized(block.entropy, what.entropy, moe) && sized(block.hidden_max, what.hidden, layers) &&
      sized(block.hidden_channel, what.hidden, layers) &&
      sized(block.first_token_attention, what.attention, layers) &&
      sized(block.router_logits, what.router_logits, moe * index(block.experts));
  const bool cache = !block.cache_hits.empty();
  const bool counters = sized(block.cache_hits, cache, index(block.moe_layers)) &&
                        sized(block.cache_misses, cache, index(block.moe_layers)) &&
                        sized(block.cache_bytes, cache, index(block.moe_layers));
  if (shape && sizes && counters) return {};
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
    insert_sequence_.bind(1, run_);
    insert_sequence_.bind(2, start.number);
    insert_sequence_.bind(3, tokens_ + start.block_row);
    insert_sequence_.bind(4, bounded_text(start.domain));
    if (auto status = insert_sequence_.run(); !status) return status;
  }
  for (const DroppedTokens& gap : tags.dropped) {
    dropped_ += gap.tokens;
    insert_dropped_.bind(1, run_);
    insert_dropped_.bind(2, tokens_);
    insert_dropped_.bind(3, gap.sequence);
    insert_dropped_.bind(4, gap.position);
    insert_dropped_.bind(5, gap.tokens);
    if (auto status = insert_dropped_.run(); !status) return status;
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
  insert_policy_.bind(1, run_);
  insert_policy_.bind(2, tokens_);
  insert_policy_.bind(3, policy);
  return insert_policy_.run();
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
    insert_word_.bind(1, run_);
    insert_word_.bind(2, id);
    insert_word_.bind_blob(3,
                           std::as_bytes(std::span<const char>(word)).first(std::min(word.size(), kMaxText)));
    if (auto status = insert_word_.run(); !status) return status;
  }
  return {};
}

Status TraceWriter::aggregate(int begin, int end) {
  const auto sequence = block_.sequence(begin, end);
  for (std::size_t m = 0; m < moe_layers_.size(); ++m) {
    const SlotColumns columns = block_.slots(static_cast<int>(m), begin, end);
    if (columns.expert.empty()) continue;
    const auto cells = std::span(experts_stats_).subspan(m * index(experts_), index(experts_));
    if (!add_slots(columns, sequence, first_rows_[m], cells)) {
      return fail(ErrorCode::mismatch, "{}: the capture of layer {} names an expert the model does not have",
                  database_->file().string(), moe_layers_[m]);
    }
  }
  for (const int moe : shared_) {
    const SlotColumns columns = block_.shared(moe, begin, end);
    if (columns.expert.empty()) continue;
    add_slots(columns, sequence, shared_rows_[index(moe)], std::span(&shared_stats_[index(moe)], 1));
  }
  for (std::size_t layer = 0; layer < layer_stats_.size(); ++layer) {
    add_layer(block_.layer(static_cast<int>(layer), moe_index_[layer], begin, end), layer_stats_[layer]);
  }
  return {};
}

}  // namespace expertscope
