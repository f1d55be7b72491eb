// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/capture/profile.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <iterator>
#include <utility>
#include <vector>

#include "engine/text/tokenizer.h"
#include "probes/capture/recorder.h"

namespace expertscope {
namespace {

struct Piece {
  std::vector<std::int32_t> tokens;
  std::string domain;
};

// Passes blocks on to the recorder and sums the log-probabilities on their way.
class Tally final : public CaptureSink {
 public:
  explicit Tally(Recorder& recorder) : recorder_(recorder) {}
  std::unique_ptr<CaptureBlock> acquire() override { return recorder_.acquire(); }
  Status deliver(std::unique_ptr<CaptureBlock> block) override {
    for (const float log_prob : block->log_prob) {
      if (std::isnan(log_prob)) continue;
      sum_ -= log_prob;
      ++count_;
    }
    return recorder_.deliver(std::move(block));
  }
  std::int64_t count() const { return count_; }
  double mean() const { return count_ > 0 ? sum_ / static_cast<double>(count_) : 0; }

 private:
  Recorder& recorder_;
  double sum_ = 0;
  std::int64_t count_ = 0;
};

// Switches the probes on, and off again on every way out.
class ProbesOn {
 public:
  ProbesOn(Session& session, const CaptureRequest& probes, CaptureSink& sink) : session_(session) {
    session_.set_capture(probes, &sink);
  }
  ~ProbesOn() { session_.set_capture({}, nullptr); }
  ProbesOn(const ProbesOn&) = delete;
  ProbesOn& operator=(const ProbesOn&) = delete;

 private:
  Session& session_;
};

// Cuts the documents into sequences, at most `options.max_sequences` of them.
Result<std::vector<Piece>> cut(const Tokenizer& tokenizer, const Dataset& data, const ProfileOptions& options,
                               const std::stop_token& stop) {
  const auto leading = tokenizer.leading_ids();
  const auto length = static_cast<std::size_t>(options.sequence_length);
  if (leading.size() >= length) {
    return fail(ErrorCode::invalid_argument, "a sequence length of {} leaves no room for text", length);
  }
  const std::size_t text_length = length - leading.size();
  const auto limit = options.max_sequences > 0 ? static_cast<std::size_t>(options.max_sequences) : SIZE_MAX;
  std::vector<Piece> pieces;
  for (std::size_t number = 0; number < data.documents.size() && pieces.size() < limit; ++number) {
    if (stop.stop_requested()) return fail(ErrorCode::cancelled, "{}: profiling was cancelled", data.name);
    const Document& document = data.documents[number];
    auto tokens = tokenizer.encode(document.text, false);
    if (!tokens) {
      return fail(tokens.error().code, "{}: document {}: {}", data.name, number + 1, tokens.error().message);
    }
    for (std::size_t begin = 0; begin < tokens->size() && pieces.size() < limit; begin += text_length) {
      Piece piece{{leading.begin(), leading.end()}, document.domain};
      const auto from = tokens->begin() + static_cast<std::ptrdiff_t>(begin);
      const auto count = std::min(text_length, tokens->size() - begin);
      piece.tokens.insert(piece.tokens.end(), from, from + static_cast<std::ptrdiff_t>(count));
      pieces.push_back(std::move(piece));
    }
  }
  if (pieces.empty()) return fail(ErrorCode::invalid_argument, "{}: there is no text to profile", data.name);
  return pieces;
}

// Puts pieces into the session's slots and takes from them, slot after slot, what fits into a batch.
class Feeder {
 public:
  Feeder(Session& session, Recorder& recorder, const std::vector<Piece>& pieces, LogitsWanted logits)
      : session_(session),
        recorder_(recorder),
        pieces_(pieces),
        logits_(logits),
        slots_(static_cast<std::size_t>(std::max(session.options().max_sequences, 1))) {}

  /// The next batch; empty when all is done.
  Result<Batch> next() {
    Batch batch;
    batch.logits = logits_;
    auto room = static_cast<std::size_t>(std::max(session_.options().max_batch, 1));
    for (std::size_t slot = 0; slot < slots_.size() && room > 0; ++slot) {
      if (auto status = refill(slot); !status) return forward_error(status);
      Slot& state = slots_[slot];
      if (state.piece == nullptr) continue;  // those behind it may not be done
      const std::size_t count = std::min(room, state.piece->tokens.size() - state.done);
      const auto from = state.piece->tokens.begin() + static_cast<std::ptrdiff_t>(state.done);
      batch.tokens.insert(batch.tokens.end(), from, from + static_cast<std::ptrdiff_t>(count));
      batch.chunks.push_back({static_cast<int>(slot), 0, static_cast<int>(count)});
      if (logits_ == LogitsWanted::log_probs) add_targets(state, count, batch.targets);
      state.done += count;
      room -= count;
    }
    return batch;
  }

 private:
  struct Slot {
    const Piece* piece = nullptr;
    std::size_t done = 0;
  };

  // Every token is scored by the one before it, the first of the next step by the last of this one.
  static void add_targets(const Slot& slot, std::size_t count, std::vector<std::int32_t>& targets) {
    const auto& tokens = slot.piece->tokens;
    for (std::size_t t = slot.done + 1; t <= slot.done + count; ++t)
      targets.push_back(t < tokens.size() ? tokens[t] : -1);
  }

  Status refill(std::size_t slot) {
    Slot& state = slots_[slot];
    if (state.piece != nullptr && state.done < state.piece->tokens.size()) return {};
    state = {};
    if (next_ == pieces_.size()) return {};
    state.piece = &pieces_[next_++];
    recorder_.set_domain(static_cast<int>(slot), state.piece->domain);
    return session_.truncate(static_cast<int>(slot), 0);
  }

  Session& session_;
  Recorder& recorder_;
  const std::vector<Piece>& pieces_;
  LogitsWanted logits_;
  std::vector<Slot> slots_;
  std::size_t next_ = 0;
};

Status run(Session& session, Feeder& feeder, std::int64_t total, std::int64_t& done,
           const ProfileProgress& progress, const std::stop_token& stop) {
  for (;;) {
    if (stop.stop_requested()) return fail(ErrorCode::cancelled, "profiling was cancelled");
    auto batch = feeder.next();
    if (!batch) return forward_error(batch);
    if (batch->tokens.empty()) return {};
    const auto count = static_cast<std::int64_t>(batch->tokens.size());
    auto output = session.run(std::move(*batch));
    if (!output) return forward_error(output);
    done += count;
    if (progress) progress(done, total);
  }
}

Status check(const Session& session, const ProfileOptions& options) {
  if (const auto tokenizer = session.model().require_tokenizer(); !tokenizer) return forward_error(tokenizer);
  if (options.sequence_length < 1 || options.sequence_length > session.options().max_context) {
    return fail(ErrorCode::invalid_argument, "the sequence length {} is not between 1 and the session's {}",
                options.sequence_length, session.options().max_context);
  }
  return {};
}

RunInfo describe(const Session& session, const Dataset& data, const ProfileOptions& options) {
  RunInfo info = describe_run(session, options.probes);
  info.kind = "profile";
  info.dataset = data.skipped == 0 ? data.name : data.summary();
  info.dataset_sha256 = data.sha256;
  return info;
}

}  // namespace

Result<ProfileResult> profile(Session& session, const Dataset& data, const ProfileOptions& options,
                              const std::filesystem::path& trace, const ProfileProgress& progress,
                              const std::stop_token& stop) {
  if (auto status = check(session, options); !status) return forward_error(status);
  const auto started = std::chrono::steady_clock::now();
  auto pieces = cut(*session.model().tokenizer(), data, options, stop);
  if (!pieces) return forward_error(pieces);
  std::int64_t total = 0;
  for (const Piece& piece : *pieces)
    total += static_cast<std::int64_t>(piece.tokens.size());

  RecorderOptions recording;
  recording.token_bytes = [model = session.shared_model()](std::int32_t id) {
    return model->tokenizer()->token_bytes(id);
  };
  recording.remark = [model = session.shared_model()] { return model->rewritten_weights(); };
  recording.full = options.full;
  recording.notice = options.notice;
  recording.stop = stop;
  auto recorder = Recorder::start(trace, describe(session, data, options), std::move(recording));
  if (!recorder) return forward_error(recorder);
  Tally tally(**recorder);
  ProfileResult result;
  Status status;
  {
    const ProbesOn probes(session, options.probes, tally);
    Feeder feeder(session, **recorder, *pieces,
                  options.probes.log_prob ? LogitsWanted::log_probs : LogitsWanted::none);
    status = run(session, feeder, total, result.tokens, progress, stop);
  }
  if (!status) {
    const bool cancelled = status.error().code == ErrorCode::cancelled;
    const Status closed = (*recorder)->finish(cancelled ? "stopped" : "failed", status.error().message);
    if (cancelled && !closed)
      return fail(closed.error().code, "{}; {}", closed.error().message, (*recorder)->what_is_kept());
    // Of a failure the first error is the one to report, whatever closing the run says.
    return fail(status.error().code, "{} after {} of {} tokens; {}", status.error().message, result.tokens,
                total, (*recorder)->what_is_kept());
  }
  if (auto closed = (*recorder)->finish("finished"); !closed)
    return fail(closed.error().code, "{}; {}", closed.error().message, (*recorder)->what_is_kept());
  result.remark = (*recorder)->remark();
  result.run = (*recorder)->run_id();
  result.sequences = static_cast<std::int64_t>(pieces->size());
  result.scored_tokens = tally.count();
  result.nll_mean = tally.mean();
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  return result;
}

}  // namespace expertscope
