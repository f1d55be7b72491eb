// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/run/generate.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include "engine/backend/candidates.h"
#include "engine/backend/log_prob.h"
#include "engine/text/tokenizer.h"

namespace expertscope {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// One run of generate(): the tokens so far and how the next ones are chosen.
class Generation {
 public:
  Generation(Session& session, std::span<const std::int32_t> prompt, const GenerateOptions& options)
      : session_(session),
        options_(options),
        sampler_(options.sampling),
        history_(prompt.begin(), prompt.end()) {
    if (const Tokenizer* tokenizer = session.model().tokenizer()) decoder_.emplace(*tokenizer);
  }

  /// Runs the prompt.
  Status prefill(std::span<const std::int32_t> prompt, const std::stop_token& stop) {
    const int count = sampler_.candidates_needed();
    if (count == 0) return take(session_.prefill(options_.sequence, prompt, stop));
    return take(session_.prefill_candidates(options_.sequence, prompt, count, stop));
  }

  /// Runs the token chosen last.
  Status step() {
    Batch batch;
    batch.tokens.push_back(history_.back());
    batch.chunks.push_back({options_.sequence, 0, 1});
    batch.candidates = sampler_.candidates_needed();
    if (batch.candidates == 0) return take(session_.step(std::move(batch)));
    batch.logits = LogitsWanted::candidates;
    const auto output = session_.run(std::move(batch));
    if (!output) return forward_error(output);
    candidates_ = &(*output)->candidates.front();
    return {};
  }

  /// Chooses one token from what the last step gave; true when it is the last one.
  bool choose(const std::function<void(const GeneratedToken&)>& on_token) {
    GeneratedToken token;
    token.id = candidates_ != nullptr ? sampler_.sample(*candidates_) : sampler_.sample(logits_, history_);
    token.index = static_cast<int>(result.ids.size());
    token.log_prob = static_cast<float>(candidates_ != nullptr ? log_probability(*candidates_, token.id)
                                                               : log_probability(logits_, token.id));
    history_.push_back(token.id);
    result.ids.push_back(token.id);
    const bool last = is_last(token.id);
    if (decoder_) {
      token.text = decoder_->push(token.id);
      if (last) token.text += decoder_->finish();
    }
    result.text += token.text;
    if (on_token) on_token(token);
    return last;
  }

  void stopped() {
    result.reason = FinishReason::stopped;
    if (decoder_) result.text += decoder_->finish();
  }

  GenerateResult result;

 private:
  Status take(const Result<std::span<const float>>& logits) {
    if (!logits) return forward_error(logits);
    logits_ = *logits;
    return {};
  }
  Status take(const Result<const TokenCandidates*>& candidates) {
    if (!candidates) return forward_error(candidates);
    candidates_ = *candidates;
    return {};
  }

  bool is_last(std::int32_t id) {
    const auto& ends = session_.model().config().eos_token_ids;
    if (options_.stop_at_eos && std::find(ends.begin(), ends.end(), id) != ends.end()) {
      result.reason = FinishReason::eos;
      return true;
    }
    result.reason = FinishReason::length;
    if (static_cast<int>(result.ids.size()) >= options_.max_tokens) return true;
    if (session_.length(options_.sequence) < session_.options().max_context) return false;
    result.reason = FinishReason::context;
    return true;
  }

  Session& session_;
  const GenerateOptions& options_;
  Sampler sampler_;
  std::vector<std::int32_t> history_;
  std::optional<StreamDecoder> decoder_;
  // Of the last step: its candidates where they decide, else its logits.
  const TokenCandidates* candidates_ = nullptr;
  std::span<const float> logits_;
};

}  // namespace

Status check_prompt(const Session& session, std::span<const std::int32_t> prompt) {
  if (prompt.empty()) return fail(ErrorCode::invalid_argument, "the prompt has no tokens");
  const int room = session.options().max_context;
  if (prompt.size() <= static_cast<std::size_t>(room)) return {};
  return fail(ErrorCode::invalid_argument,
              "the {} tokens of the prompt do not fit into the context of {}: shorten it by {}",
              prompt.size(), room, prompt.size() - static_cast<std::size_t>(room));
}

Result<GenerateResult> generate(Session& session, std::span<const std::int32_t> prompt,
                                const GenerateOptions& options,
                                const std::function<void(const GeneratedToken&)>& on_token,
                                const std::stop_token& stop) {
  if (auto ok = check_prompt(session, prompt); !ok) return forward_error(ok);
  if (auto ok = session.truncate(options.sequence, 0); !ok) return forward_error(ok);
  Generation run(session, prompt, options);
  const auto start = Clock::now();
  const Status ready = run.prefill(prompt, stop);
  run.result.prefill_seconds = seconds_since(start);
  if (!ready && ready.error().code == ErrorCode::cancelled) {
    run.stopped();
    return std::move(run.result);
  }
  if (!ready) return forward_error(ready);
  if (options.max_tokens <= 0) return std::move(run.result);
  const auto decoding = Clock::now();
  while (!run.choose(on_token)) {
    if (stop.stop_requested()) {
      run.stopped();
      break;
    }
    if (auto ok = run.step(); !ok) return forward_error(ok);
  }
  run.result.decode_seconds = seconds_since(decoding);
  return std::move(run.result);
}

}  // namespace expertscope
