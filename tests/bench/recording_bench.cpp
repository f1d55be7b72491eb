// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/bench/recording_bench.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "probes/capture/recorder.h"
#include "tests/support/temporary_folder.h"

namespace expertscope::bench {
namespace {

using Clock = std::chrono::steady_clock;

struct Job {
  const char* name;
  int layers;
  int experts;
  int slots;
  int hidden;
  int tokens;
  int step;  ///< tokens a block
};

template <class T>
T must(Result<T> result) {
  if (result) return std::move(*result);
  fmt::print(stderr, "{}\n", result.error().message);
  std::exit(1);
}
void must(Status status) {
  if (status) return;
  fmt::print(stderr, "{}\n", status.error().message);
  std::exit(1);
}

RunInfo run_info(const Job& job, const CaptureRequest& probes) {
  RunInfo info;
  info.kind = "profile";
  info.layers = job.layers;
  info.experts = job.experts;
  info.top_k = job.slots;
  info.hidden_size = job.hidden;
  info.moe_layer.assign(static_cast<std::size_t>(job.layers), 1);
  info.probes = probes;
  return info;
}

/// Numbers like those of a model: experts of uneven load, softmax weights that fall, norms and maxima around
/// some value, maxima in a few channels as often as not.
void fill(const Job& job, std::mt19937& random, CaptureBlock& block) {
  std::exponential_distribution<float> score(1.0f);
  std::lognormal_distribution<float> size(0.0f, 0.6f);
  std::uniform_real_distribution<float> unit(0.0f, 1.0f);
  const auto slots = static_cast<std::size_t>(job.slots);
  std::vector<float> scores(slots);
  for (std::size_t at = 0; at < block.expert.size(); at += slots) {
    std::generate(scores.begin(), scores.end(), [&] { return std::exp(score(random)); });
    std::sort(scores.rbegin(), scores.rend());
    float sum = 0;
    for (const float one : scores)
      sum += one;
    for (std::size_t s = 0; s < slots; ++s) {
      const float skewed = unit(random) * unit(random);
      block.expert[at + s] = static_cast<std::uint16_t>(skewed * static_cast<float>(job.experts));
      block.weight[at + s] = scores[s] / sum;
      block.probability[at + s] = 0.6f * scores[s] / sum;
      block.output_norm[at + s] = 3.0f * size(random);
      block.output_max[at + s] = 0.4f * size(random);
      block.output_channel[at + s] =
          static_cast<std::int32_t>(random() % static_cast<unsigned>(random() % 2 == 0 ? 8 : job.hidden));
    }
  }
  const auto sized = [&](std::vector<float>& values, float scale) {
    std::generate(values.begin(), values.end(), [&] { return scale * size(random); });
  };
  sized(block.entropy, 2.0f);
  sized(block.hidden_max, 30.0f);
  std::generate(block.hidden_channel.begin(), block.hidden_channel.end(),
                [&] { return static_cast<std::int32_t>(random() % 8); });
  sized(block.first_token_attention, 0.2f);
  sized(block.log_prob, -2.0f);
  for (std::size_t t = 0; t < block.token_id.size(); ++t) {
    block.token_id[t] = static_cast<std::int32_t>(random() % 50000);
    block.position[t] = static_cast<std::int32_t>(t);
    block.sequence[t] = 0;
  }
}

struct Taken {
  double seconds = 0;
  std::uintmax_t bytes = 0;
};

Taken record(const Job& job, const CaptureRequest& probes, bool full, const CaptureBlock& source) {
  const testing::TemporaryFolder folder;
  RecorderOptions options;
  options.full = full;
  options.queue_blocks = 4;
  auto recorder = must(Recorder::start(folder / "t.db", run_info(job, probes), options));
  const auto begun = Clock::now();
  for (int done = 0; done < job.tokens; done += job.step) {
    auto block = recorder->acquire();
    *block = source;
    for (std::size_t t = 0; t < block->position.size(); ++t)
      block->position[t] = done + static_cast<std::int32_t>(t);
    must(recorder->deliver(std::move(block)));
  }
  must(recorder->finish("finished"));
  const double seconds = std::chrono::duration<double>(Clock::now() - begun).count();
  return {seconds, std::filesystem::file_size(folder / "t.db")};
}

void bench(const Job& job, const char* name, const CaptureRequest& probes) {
  std::mt19937 random(1);
  CaptureBlock source;
  source.prepare(probes, {.tokens = job.step,
                          .layers = job.layers,
                          .moe_layers = job.layers,
                          .slots = job.slots,
                          .experts = job.experts});
  fill(job, random, source);
  Job empty = job;
  empty.tokens = 0;
  const double decisions = static_cast<double>(job.tokens) * job.layers * job.slots;
  for (const bool full : {false, true}) {
    Taken best = record(job, probes, full, source);
    for (int i = 0; i < 2; ++i)
      best.seconds = std::min(best.seconds, record(job, probes, full, source).seconds);
    const auto fixed = record(empty, probes, full, source).bytes;
    fmt::print(
        "  {:<30} {:<22} {:<7} {:>6.1f} M decisions/s, {:>5.1f} bytes a decision ({} bytes, {} of them "
        "without any token)\n",
        job.name, name, full ? "full" : "rounded", decisions / best.seconds * 1e-6,
        static_cast<double>(best.bytes - fixed) / decisions, best.bytes, fixed);
  }
}

}  // namespace

void bench_recording() {
  fmt::print("\nrecording blocks that are there already:\n");
  const CaptureRequest super_experts{.routing = true, .expert_output = true};
  const CaptureRequest standard = CaptureRequest::standard();
  const Job profile{"profile, 48 x 128, top-8", 48, 128, 8, 2048, 32768, 2048};
  bench(profile, "routing, expert_output", super_experts);
  bench(profile, "standard", standard);
  bench({"generation, 48 x 128, top-8", 48, 128, 8, 2048, 100, 1}, "standard", standard);
  bench({"generation, 8 x 16, top-2", 8, 16, 2, 256, 100, 1}, "standard", standard);
}

}  // namespace expertscope::bench
