// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/model/session.h"

#include <algorithm>
#include <utility>

#include "engine/model/log_prob.h"
#include "engine/model/routing_policy.h"

namespace expertscope {

Result<std::unique_ptr<Session>> Session::create(std::shared_ptr<const Model> model,
                                                 const BackendOptions& options) {
  auto own_routing = RoutingPolicy{}.compile(model->config());
  if (!own_routing) return forward_error(own_routing);
  std::unique_ptr<Session> session(new Session);
  session->options_ = options;
  session->options_.max_context = std::min(options.max_context, model->config().max_position_embeddings);
  const std::int64_t most = std::int64_t{session->options_.max_context} * options.max_sequences;
  session->options_.max_batch = static_cast<int>(std::min<std::int64_t>(options.max_batch, most));
  auto backend = make_cpu_backend(model, session->options_);
  if (!backend) return forward_error(backend);
  session->model_ = std::move(model);
  session->backend_ = std::move(*backend);
  session->lengths_.assign(static_cast<std::size_t>(options.max_sequences), 0);
  session->last_logits_.resize(static_cast<std::size_t>(options.max_sequences));
  session->own_routing_ = *own_routing;
  session->table_ = *own_routing;
  return session;
}

void Session::set_routing(std::shared_ptr<const RoutingTable> table) {
  const std::lock_guard lock(table_mutex_);
  table_ = table ? std::move(table) : own_routing_;
}

std::shared_ptr<const RoutingTable> Session::routing() const {
  const std::lock_guard lock(table_mutex_);
  return table_;
}

void Session::set_capture(const CaptureRequest& request, CaptureSink* sink) {
  request_ = request;
  sink_ = sink;
}

Status Session::check_sequence(int sequence) const {
  if (sequence >= 0 && sequence < options_.max_sequences) return {};
  return fail(ErrorCode::invalid_argument, "sequence {} does not exist, the session has {}", sequence,
              options_.max_sequences);
}

Status Session::check_room(int sequence, std::size_t tokens) const {
  const int length = lengths_[static_cast<std::size_t>(sequence)];
  const int room = options_.max_context - length;
  if (tokens <= static_cast<std::size_t>(room)) return {};
  if (length == 0) {
    return fail(ErrorCode::invalid_argument, "{} tokens do not fit into the context of {} tokens", tokens,
                options_.max_context);
  }
  return fail(ErrorCode::invalid_argument,
              "{} tokens after {} do not fit into the context of {} tokens: there is room for {}", tokens,
              length, options_.max_context, room);
}

Status Session::check_ids(std::span<const std::int32_t> tokens) const {
  for (const std::int32_t id : tokens) {
    if (id < 0 || id >= model_->config().vocab_size) {
      return fail(ErrorCode::invalid_argument, "token id {} is outside the vocabulary of {}", id,
                  model_->config().vocab_size);
    }
  }
  return {};
}

Status Session::truncate(int sequence, int keep) {
  if (auto ok = check_sequence(sequence); !ok) return ok;
  int& length = lengths_[static_cast<std::size_t>(sequence)];
  if (keep < 0 || keep > length) {
    return fail(ErrorCode::invalid_argument, "sequence {} has {} tokens, {} cannot be kept", sequence, length,
                keep);
  }
  if (keep < length) last_logits_[static_cast<std::size_t>(sequence)].clear();
  length = keep;
  return {};
}

Status Session::check(const Batch& batch) const {
  std::size_t tokens = 0;
  for (const SequenceChunk& chunk : batch.chunks) {
    if (auto ok = check_sequence(chunk.sequence); !ok) return ok;
    const auto same = std::count_if(batch.chunks.begin(), batch.chunks.end(),
                                    [&](const SequenceChunk& c) { return c.sequence == chunk.sequence; });
    if (same != 1)
      return fail(ErrorCode::invalid_argument, "sequence {} is twice in one batch", chunk.sequence);
    if (chunk.count < 1)
      return fail(ErrorCode::invalid_argument, "sequence {} has an empty chunk", chunk.sequence);
    const auto count = static_cast<std::size_t>(chunk.count);
    if (auto ok = check_room(chunk.sequence, count); !ok) return ok;
    tokens += count;
  }
  if (tokens == 0 || tokens != batch.tokens.size()) {
    return fail(ErrorCode::invalid_argument, "a batch of {} tokens whose chunks have {}", batch.tokens.size(),
                tokens);
  }
  if (tokens > static_cast<std::size_t>(options_.max_batch)) {
    return fail(ErrorCode::invalid_argument, "a batch of {} tokens, at most {} fit", tokens,
                options_.max_batch);
  }
  return check_ids(batch.tokens);
}

Result<std::span<const float>> Session::step(Batch batch) {
  if (auto ok = check(batch); !ok) return forward_error(ok);
  for (SequenceChunk& chunk : batch.chunks)
    chunk.start = lengths_[static_cast<std::size_t>(chunk.sequence)];
  const auto table = routing();
  std::unique_ptr<CaptureBlock> block;
  if (sink_ != nullptr && request_.any()) block = sink_->acquire();
  if (auto ok = backend_->forward(batch, *table, request_, logits_, block.get()); !ok)
    return forward_error(ok);
  for (const SequenceChunk& chunk : batch.chunks) {
    lengths_[static_cast<std::size_t>(chunk.sequence)] += chunk.count;
  }
  if (block) {
    block->table = table;
    if (request_.log_prob) fill_log_probs(batch, *block);
  }
  remember_last_logits(batch);
  if (block) {
    if (auto ok = sink_->deliver(std::move(block)); !ok) return forward_error(ok);
  }
  return std::span<const float>(logits_);
}

void Session::fill_log_probs(const Batch& batch, CaptureBlock& block) const {
  const auto vocab = static_cast<std::size_t>(model_->config().vocab_size);
  std::size_t row = 0;
  for (const SequenceChunk& chunk : batch.chunks) {
    const auto& before = last_logits_[static_cast<std::size_t>(chunk.sequence)];
    if (!before.empty()) block.log_prob[row] = static_cast<float>(log_probability(before, batch.tokens[row]));
    if (batch.logits == LogitsWanted::all) {
      for (std::size_t t = row + 1; t < row + static_cast<std::size_t>(chunk.count); ++t) {
        const std::span<const float> logits(logits_.data() + (t - 1) * vocab, vocab);
        block.log_prob[t] = static_cast<float>(log_probability(logits, batch.tokens[t]));
      }
    }
    row += static_cast<std::size_t>(chunk.count);
  }
}

/// The first token of the next chunk is scored with the logits after the last token of this one.
void Session::remember_last_logits(const Batch& batch) {
  const auto vocab = static_cast<std::ptrdiff_t>(model_->config().vocab_size);
  std::ptrdiff_t rows = 0;
  for (const SequenceChunk& chunk : batch.chunks) {
    auto& last = last_logits_[static_cast<std::size_t>(chunk.sequence)];
    if (batch.logits == LogitsWanted::none) {
      last.clear();
      continue;
    }
    rows += batch.logits == LogitsWanted::all ? chunk.count : 1;
    const auto end = logits_.begin() + rows * vocab;
    last.assign(end - vocab, end);
  }
}

Result<std::span<const float>> Session::prefill(int sequence, std::span<const std::int32_t> tokens,
                                                const std::stop_token& stop) {
  if (tokens.empty()) return fail(ErrorCode::invalid_argument, "there are no tokens to run");
  // All of it now: a prompt that cannot end well must not be computed for minutes first.
  if (auto ok = check_sequence(sequence); !ok) return forward_error(ok);
  if (auto ok = check_room(sequence, tokens.size()); !ok) return forward_error(ok);
  if (auto ok = check_ids(tokens); !ok) return forward_error(ok);
  const auto most = static_cast<std::size_t>(options_.max_batch);
  for (std::size_t start = 0; start < tokens.size(); start += most) {
    if (stop.stop_requested()) return fail(ErrorCode::cancelled, "stopped");
    const auto part = tokens.subspan(start, std::min(most, tokens.size() - start));
    Batch batch;
    batch.tokens.assign(part.begin(), part.end());
    batch.chunks.push_back({sequence, 0, static_cast<int>(part.size())});
    const bool last = start + part.size() == tokens.size();
    batch.logits = last ? LogitsWanted::last_of_each_chunk : LogitsWanted::none;
    auto logits = step(std::move(batch));
    if (!logits || last) return logits;
  }
  return std::span<const float>();
}

}  // namespace expertscope
