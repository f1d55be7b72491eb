// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/bench/gpu_runs.h"

#include <algorithm>
#include <chrono>
#include <system_error>

#include "engine/run/usual_options.h"
#include "probes/capture/recorder.h"
#include "probes/store/trace_reader.h"
#include "tests/support/random_model.h"
#include "tests/support/recycler.h"

namespace expertscope::bench {
namespace {

using Clock = std::chrono::steady_clock;
using testing::Recycler;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Adds up what the expert cache did.
class CacheCounter final : public Recycler {
 public:
  Status deliver(std::unique_ptr<CaptureBlock> block) override {
    for (std::size_t i = 0; i < block->cache_hits.size(); ++i) {
      cache_.hits += block->cache_hits[i];
      cache_.misses += block->cache_misses[i];
      cache_.bytes += block->cache_bytes[i];
    }
    return Recycler::deliver(std::move(block));
  }
  const CacheStats& cache() const { return cache_; }
  void forget() { cache_ = {}; }

 private:
  CacheStats cache_;
};

/// The sink goes before the session: nothing may be left pointing at it.
class ProbesOn {
 public:
  ProbesOn(Session& session, CaptureSink* sink) : session_(session) {
    session_.set_capture(sink != nullptr ? job_probes() : CaptureRequest{}, sink);
  }
  ~ProbesOn() { session_.set_capture({}, nullptr); }
  ProbesOn(const ProbesOn&) = delete;
  ProbesOn& operator=(const ProbesOn&) = delete;

 private:
  Session& session_;
};

int distinct_experts(const CaptureBlock& block) {
  int count = 0;
  const std::size_t layer = static_cast<std::size_t>(block.tokens) * static_cast<std::size_t>(block.slots);
  for (std::size_t first = 0; first + layer <= block.expert.size(); first += layer) {
    std::vector<std::uint16_t> experts(block.expert.begin() + static_cast<std::ptrdiff_t>(first),
                                       block.expert.begin() + static_cast<std::ptrdiff_t>(first + layer));
    std::sort(experts.begin(), experts.end());
    experts.erase(std::unique(experts.begin(), experts.end()), experts.end());
    count += static_cast<int>(experts.size()) - (experts.back() == kNoExpert ? 1 : 0);
  }
  return count;
}

Status fill_sequences(Session& session, int sequences, int context) {
  const int vocab = session.model().config().vocab_size;
  for (int s = 0; s < sequences; ++s) {
    if (auto ok = session.truncate(s, 0); !ok) return ok;
    const auto tokens = random_tokens(context, vocab, static_cast<std::uint64_t>(s) + 1);
    if (auto ok = session.prefill(s, tokens); !ok) return forward_error(ok);
  }
  return {};
}

/// Median seconds of a step; the sequences end as long as they were.
Result<double> decode_turn(Session& session, const DecodeRun& run, CaptureSink* sink) {
  const ProbesOn probes(session, sink);
  const auto tokens =
      random_tokens(std::int64_t{run.steps} * run.batch, session.model().config().vocab_size, 77);
  std::vector<double> seconds;
  for (int i = 0; i < run.steps; ++i) {
    Batch batch;
    for (int s = 0; s < run.batch; ++s) {
      batch.tokens.push_back(tokens[static_cast<std::size_t>(i * run.batch + s)]);
      batch.chunks.push_back({s, 0, 1});
    }
    batch.logits = LogitsWanted::candidates;
    batch.candidates = 1;
    const auto start = Clock::now();
    if (auto ok = session.run(std::move(batch)); !ok) return forward_error(ok);
    seconds.push_back(seconds_since(start));
  }
  for (int s = 0; s < run.batch; ++s) {
    if (auto ok = session.truncate(s, run.context); !ok) return forward_error(ok);
  }
  return median(seconds);
}

Result<double> prefill_turn(Session& session, const std::vector<std::int32_t>& tokens, CaptureSink* sink) {
  const ProbesOn probes(session, sink);
  if (auto ok = session.truncate(0, 0); !ok) return forward_error(ok);
  const auto start = Clock::now();
  if (auto ok = session.prefill_candidates(0, tokens, 1); !ok) return forward_error(ok);
  return seconds_since(start);
}

/// Pairs of turns, off and on changing places; one turn of each before that does not count.
template <class Turn>
Result<Turns> in_turns(int pairs, Recycler& sink, const Turn& turn) {
  Turns turns;
  for (int i = -1; i < pairs; ++i) {
    for (const bool on : {i % 2 == 0, i % 2 != 0}) {
      auto seconds = turn(on ? &sink : nullptr);
      if (!seconds) return forward_error(seconds);
      if (i >= 0) (on ? turns.on : turns.off).push_back(*seconds);
    }
  }
  return turns;
}

double expert_bytes(const ModelConfig& c) {
  return 3.0 * 2.0 * c.widest().expert_width * c.hidden_size;
}

}  // namespace

CaptureRequest job_probes() {
  CaptureRequest probes = CaptureRequest::standard();
  probes.log_prob = false;
  return probes;
}

std::vector<std::int32_t> random_tokens(std::int64_t count, int vocab, std::uint64_t seed) {
  std::vector<std::int32_t> tokens;
  std::uint64_t state = seed * 2654435761u + 88172645463325252u;
  for (std::int64_t i = 0; i < count; ++i) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    tokens.push_back(static_cast<std::int32_t>(state % static_cast<std::uint64_t>(vocab)));
  }
  return tokens;
}

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 != 0 ? values[half] : 0.5 * (values[half - 1] + values[half]);
}

double Turns::overhead() const {
  std::vector<double> ratios;
  for (std::size_t i = 0; i < on.size(); ++i)
    ratios.push_back(on[i] / off[i] - 1);
  return median(ratios);
}

Result<DecodeResult> measure_decode(Session& session, const DecodeRun& run) {
  if (auto ok = fill_sequences(session, run.batch, run.context); !ok) return forward_error(ok);
  Recycler sink;
  auto turns =
      in_turns(run.pairs, sink, [&](CaptureSink* capture) { return decode_turn(session, run, capture); });
  if (!turns) return forward_error(turns);
  return DecodeResult{std::move(*turns), static_cast<double>(distinct_experts(*sink.last()))};
}

Result<Turns> measure_prefill(Session& session, int tokens, int pairs) {
  const auto prompt = random_tokens(tokens, session.model().config().vocab_size, 5);
  Recycler sink;
  return in_turns(pairs, sink, [&](CaptureSink* capture) { return prefill_turn(session, prompt, capture); });
}

namespace {

/// Runs the sequences, `together` a step.
Status run_sequences(Session& session, const JobRun& run, int together,
                     const std::vector<std::int32_t>& tokens) {
  for (int first = 0; first < run.sequences; first += together) {
    const int count = std::min(together, run.sequences - first);
    Batch batch;
    batch.logits = LogitsWanted::none;
    const auto begin = tokens.begin() + std::ptrdiff_t{first} * run.length;
    batch.tokens.assign(begin, begin + std::ptrdiff_t{count} * run.length);
    for (int s = 0; s < count; ++s) {
      if (auto ok = session.truncate(s, 0); !ok) return ok;
      batch.chunks.push_back({s, 0, run.length});
    }
    if (auto ok = session.run(std::move(batch)); !ok) return forward_error(ok);
  }
  return {};
}

Status record_job(Session& session, const JobRun& run, const std::vector<std::int32_t>& tokens,
                  const std::filesystem::path& file, JobResult& result) {
  const auto start = Clock::now();
  const CaptureRequest probes = job_probes();
  RunInfo info = describe_run(session, probes);
  info.kind = "profile";
  auto recorder = Recorder::start(file, info);
  if (!recorder) return forward_error(recorder);
  session.set_capture(probes, recorder->get());
  const int together = std::clamp(std::min(session.options().max_batch, kGpuJobBatch) / run.length, 1,
                                  std::min(session.options().max_sequences, run.sequences));
  const Status ran = run_sequences(session, run, together, tokens);
  session.set_capture({}, nullptr);
  if (!ran) return ran;
  result.steps_seconds = seconds_since(start);
  auto finished = (*recorder)->finish("finished");
  result.seconds = seconds_since(start);
  return finished;
}

}  // namespace

Result<JobResult> measure_job(Session& session, const JobRun& run, const std::vector<std::int32_t>& tokens,
                              const std::filesystem::path& folder) {
  const auto file = folder / "super-experts.db";
  std::error_code error;
  std::filesystem::remove(file, error);
  JobResult result;
  if (auto ok = record_job(session, run, tokens, file, result); !ok) return forward_error(ok);
  result.tokens = std::int64_t{run.sequences} * run.length;
  result.trace_bytes = static_cast<std::int64_t>(std::filesystem::file_size(file, error));
  {
    auto reader = TraceReader::open(file);
    if (!reader) return forward_error(reader);
    auto table = (*reader)->expert_table(1);
    if (!table) return forward_error(table);
    result.table = std::move(*table);
  }
  std::filesystem::remove(file, error);
  return result;
}

Result<CacheResult> measure_cache(Session& session, int context, int steps) {
  if (auto ok = fill_sequences(session, 1, context); !ok) return forward_error(ok);
  const DecodeRun run{1, context, steps, 1};
  CacheCounter sink;
  if (auto warm = decode_turn(session, run, &sink); !warm) return forward_error(warm);
  sink.forget();
  auto seconds = decode_turn(session, run, &sink);
  if (!seconds) return forward_error(seconds);
  return CacheResult{*seconds, sink.cache()};
}

double step_bytes(const Model& model, int batch, int context, double experts) {
  const ModelConfig& c = model.config();
  const double own = static_cast<double>(c.num_moe_layers()) * c.top_k();
  const double cache = 2.0 * 2.0 * c.num_layers() * c.widest().key_width * context * batch;
  return static_cast<double>(testing::bytes_per_token(model)) + (experts - own) * expert_bytes(c) + cache;
}

double prefill_flops(const Model& model, int tokens, bool with_scores) {
  const ModelConfig& c = model.config();
  const double products = static_cast<double>(testing::flops_per_token(model)) * tokens;
  const double pairs = 0.5 * tokens * (tokens + 1.0);
  const double scores = 4.0 * c.num_layers() * c.widest().query_width * pairs;
  return products + (with_scores ? scores : 0);
}

}  // namespace expertscope::bench
