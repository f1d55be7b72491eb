// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "engine/run/session.h"
#include "probes/store/run_info.h"

/// What the GPU benchmark measures. Times are those of the host around calls of a Session, whose steps end
/// when the device has finished.
namespace expertscope::bench {

/// Every probe but the log-probabilities: those need the head, which is timed by itself.
CaptureRequest job_probes();

/// `count` token ids, the same for the same seed.
std::vector<std::int32_t> random_tokens(std::int64_t count, int vocab, std::uint64_t seed);

double median(std::vector<double> values);

/// Seconds without and with all probes, measured in turns.
struct Turns {
  std::vector<double> off, on;  ///< median of each turn
  double overhead() const;      ///< median of on / off - 1
};

struct DecodeRun {
  int batch = 1;
  int context = 512;  ///< tokens in the cache before the first step
  int steps = 32;     ///< of a turn
  int pairs = 5;
};

struct DecodeResult {
  Turns seconds;              ///< of a step
  double experts_a_step = 0;  ///< distinct experts that ran, all layers together
};

/// Steps of one token in each of `run.batch` sequences; the most probable next token of each comes back.
Result<DecodeResult> measure_decode(Session& session, const DecodeRun& run);

/// A prompt of `tokens` in one step, its most probable next token comes back.
Result<Turns> measure_prefill(Session& session, int tokens, int pairs);

struct JobRun {
  int sequences = 128;
  int length = 2048;
};

struct JobResult {
  double seconds = 0;        ///< from the start of the recorder until all is on disk
  double steps_seconds = 0;  ///< until the last step had ended; the rest is the recorder's alone
  std::int64_t tokens = 0;
  std::int64_t trace_bytes = 0;
  ExpertTable table;  ///< read back from the trace
};

/// The calibration job: all sequences with job_probes(), as many at once as a step of the program's `profile`
/// holds (kGpuJobBatch), recorded to a trace in `folder`, which is removed again.
Result<JobResult> measure_job(Session& session, const JobRun& run, const std::vector<std::int32_t>& tokens,
                              const std::filesystem::path& folder);

struct CacheResult {
  double seconds = 0;  ///< of a step, median
  CacheStats stats;    ///< of all steps
};

/// Decodes `steps` tokens with the probes of the expert cache.
Result<CacheResult> measure_cache(Session& session, int context, int steps);

/// Bytes of weights and cache that a step of `batch` tokens reads when `experts` experts run.
double step_bytes(const Model& model, int batch, int context, double experts);
/// Operations of a prompt's matrix products, the head left out; `with_scores`: and of causal attention.
double prefill_flops(const Model& model, int tokens, bool with_scores);

}  // namespace expertscope::bench
