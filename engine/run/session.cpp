// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/run/session.h"

#include <algorithm>
#include <utility>

#include "engine/backend/log_prob.h"
#include "engine/run/backend_choice.h"
#include "engine/run/routing_policy.h"

namespace expertscope {

BackendOptions Session::resolve_options(const Model& model, const BackendOptions& options) {
  BackendOptions resolved = options;
  resolved.max_context = std::min(options.max_context, model.config().max_position_embeddings);
  const auto at_most = [&](int batch, int sequences) {
    return static_cast<int>(std::min<std::int64_t>(batch, std::int64_t{resolved.max_context} * sequences));
  };
  resolved.max_batch = at_most(options.max_batch, options.max_sequences);
  resolved.gpu_batch = at_most(options.gpu_batch, std::max(options.max_sequences, options.gpu_sequences));
  return resolved;
}

Result<std::unique_ptr<Session>> Session::create(std::shared_ptr<const Model> model,
                                                 const BackendOptions& options, const OpenProgress& progress,
                                                 const std::stop_token& stop) {
  auto backend = make_backend(model, resolve_options(*model, options), progress, stop);
  if (!backend) return forward_error(backend);
  return create(std::move(model), options, std::move(*backend));
}

Result<std::unique_ptr<Session>> Session::create(std::shared_ptr<const Model> model,
                                                 const BackendOptions& options,
                                                 std::unique_ptr<Backend> backend) {
  auto own_routing = RoutingPolicy{}.compile(model->config());
  if (!own_routing) return forward_error(own_routing);
  std::unique_ptr<Session> session(new Session);
  session->options_ = resolve_options(*model, options);
  if (backend->info().kind == BackendKind::cuda) session->options_ = on_gpu(session->options_);
  if (backend->info().always_f32) session->options_.math = MathMode::f32;
  session->model_ = std::move(model);
  session->backend_ = std::move(backend);
  session->lengths_.assign(static_cast<std::size_t>(session->options_.max_sequences), 0);
  session->next_token_.resize(session->options_.max_sequences);
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
  const int length = lengths_[sequence];
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
  int& length = lengths_[sequence];
  if (keep < 0 || keep > length) {
    return fail(ErrorCode::invalid_argument, "sequence {} has {} tokens, {} cannot be kept", sequence, length,
                keep);
  }
  if (keep > 0 && keep < length && !model_->config().can_rewind()) {
    return fail(
        ErrorCode::unsupported,
        "sequence {}: the states of this model's linear attention cannot go back from {} tokens to {}",
        sequence, length, keep);
  }
  if (keep < length) next_token_.forget(sequence);
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

Result<const StepOutput*> Session::run(Batch batch) {
  step_failed_ = false;
  if (auto ok = check(batch); !ok) return forward_error(ok);
  for (SequenceChunk& chunk : batch.chunks)
    chunk.start = lengths_[chunk.sequence];
  const auto table = routing();
  std::unique_ptr<CaptureBlock> block;
  if (sink_ != nullptr && request_.any()) block = sink_->acquire();
  const bool scored = block != nullptr && request_.log_prob;
  if (scored) score_first_tokens(batch);
  next_token_.before_step(batch, scored);
  if (auto ok = backend_->forward(batch, table, request_, output_, block.get()); !ok) {
    step_failed_ = true;
    return forward_error(ok);
  }
  for (const SequenceChunk& chunk : batch.chunks) {
    lengths_[chunk.sequence] += chunk.count;
  }
  next_token_.after_step(batch, output_);
  if (block) {
    block->table = table;
    if (scored) fill_log_probs(batch, *block);
    if (auto ok = sink_->deliver(std::move(block)); !ok) return forward_error(ok);
  }
  return &output_;
}

bool Session::failed_on_gpu(const Error& error) const {
  return step_failed_ && backend_->info().kind == BackendKind::cuda && is_refusal(error.code);
}

Result<std::span<const float>> Session::step(Batch batch) {
  const auto output = run(std::move(batch));
  if (!output) return forward_error(output);
  return std::span<const float>((*output)->logits);
}

/// The step before told about them, and its output is about to be overwritten.
void Session::score_first_tokens(const Batch& batch) {
  first_log_probs_.clear();
  std::size_t row = 0;
  for (const SequenceChunk& chunk : batch.chunks) {
    first_log_probs_.push_back(next_token_.log_prob(chunk.sequence, batch.tokens[row]));
    row += static_cast<std::size_t>(chunk.count);
  }
}

void Session::fill_log_probs(const Batch& batch, CaptureBlock& block) const {
  const auto vocab = static_cast<std::size_t>(model_->config().vocab_size);
  std::size_t row = 0;
  for (std::size_t c = 0; c < batch.chunks.size(); ++c) {
    const auto end = row + static_cast<std::size_t>(batch.chunks[c].count);
    block.log_prob[row] = first_log_probs_[c];
    for (std::size_t t = row + 1; t < end; ++t) {
      if (batch.logits == LogitsWanted::all) {
        const std::span<const float> logits(output_.logits.data() + (t - 1) * vocab, vocab);
        block.log_prob[t] = static_cast<float>(log_probability(logits, batch.tokens[t]));
      } else if (batch.logits == LogitsWanted::log_probs && batch.targets[t - 1] == batch.tokens[t]) {
        block.log_prob[t] = output_.log_probs[t - 1];
      }
    }
    row = end;
  }
}

Result<const StepOutput*> Session::append(int sequence, std::span<const std::int32_t> tokens,
                                          LogitsWanted last, int candidates, const std::stop_token& stop) {
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
    batch.logits = start + part.size() == tokens.size() ? last : LogitsWanted::none;
    batch.candidates = candidates;
    if (auto output = run(std::move(batch)); !output) return output;
  }
  return &output_;
}

Result<std::span<const float>> Session::prefill(int sequence, std::span<const std::int32_t> tokens,
                                                const std::stop_token& stop) {
  const auto output = append(sequence, tokens, LogitsWanted::last_of_each_chunk, 0, stop);
  if (!output) return forward_error(output);
  return std::span<const float>((*output)->logits);
}

Result<const TokenCandidates*> Session::prefill_candidates(int sequence, std::span<const std::int32_t> tokens,
                                                           int count, const std::stop_token& stop) {
  const auto output = append(sequence, tokens, LogitsWanted::candidates, count, stop);
  if (!output) return forward_error(output);
  return &(*output)->candidates.front();
}

}  // namespace expertscope
