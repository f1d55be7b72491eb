// SPDX-License-Identifier: GPL-3.0-or-later
// Random prompts, batches, edits, probes, cancelled prefills and reopened sessions until the time is up. Some
// episodes run on the CPU backend too, step by step, and every logit is compared. Ends with the seed and the
// step when something fails, drifts or leaks.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <span>
#include <thread>

#include <unistd.h>

#include "tests/gpu/gpu.h"
#include "tests/gpu/soak_steps.h"
#include "tests/support/recycler.h"

namespace expertscope::testing {
namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  double minutes = 1;
  std::uint64_t seed = 1;
  int episode_steps = 40;
  int episodes = 0;  ///< 0: until the time is up
  std::filesystem::path model = "resources/demo";
};

struct Totals {
  std::int64_t episodes = 0, steps = 0, tokens = 0, compared = 0, policies = 0, cancelled = 0, near_ties = 0;
};

std::int64_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::int64_t size = 0;
  std::int64_t resident = 0;
  statm >> size >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

/// One life of a session on the GPU, and of one on the CPU beside it when it is watched.
class Episode {
 public:
  Episode(std::shared_ptr<const Model> model, std::uint64_t seed, bool watched, Totals& totals)
      : model_(std::move(model)), dice_(seed), watched_(watched), totals_(totals) {}

  Status run(int steps);

 private:
  Status open();
  Status apply(const SoakStep& step);
  Status cancel_a_prefill();
  Status compare(const Batch& batch, std::span<const float> gpu, std::span<const float> cpu);
  Status compare_f32(int sequence, std::span<const float> gpu, std::span<const float> cpu);

  std::shared_ptr<const Model> model_;
  Dice dice_;
  bool watched_;
  Totals& totals_;
  BackendOptions options_;
  Recycler sink_, cpu_sink_;  // before the sessions, which point at them
  std::unique_ptr<Session> gpu_, cpu_;
  std::vector<float> margins_;            ///< of every sequence since it began, on the CPU
  std::vector<std::uint8_t> went_apart_;  ///< a near tie was decided differently
};

Status Episode::open() {
  options_.math = dice_.once_in(2) ? MathMode::f32 : MathMode::bf16;
  options_.max_sequences = dice_.between(1, 6);
  options_.max_context = dice_.between(64, 256);
  options_.max_batch = dice_.between(32, 128);
  auto gpu = open_gpu_session(model_, options_);
  if (!gpu) return forward_error(gpu);
  gpu_ = std::move(*gpu);
  options_ = gpu_->options();
  if (!watched_) return {};
  BackendOptions on_cpu = options_;
  on_cpu.choice = {BackendKind::cpu, 0};
  auto cpu = Session::create(model_, on_cpu);
  if (!cpu) return forward_error(cpu);
  cpu_ = std::move(*cpu);
  CaptureRequest logits;
  logits.router_logits = true;
  cpu_->set_capture(logits, &cpu_sink_);
  return {};
}

Status Episode::compare_f32(int sequence, std::span<const float> gpu, std::span<const float> cpu) {
  const auto at = static_cast<std::size_t>(sequence);
  if (went_apart_[at] != 0) return {};
  float largest = 0;
  float difference = 0;
  for (std::size_t i = 0; i < cpu.size(); ++i) {
    largest = std::max(largest, std::abs(cpu[i]));
    difference = std::max(difference, std::abs(cpu[i] - gpu[i]));
  }
  if (difference <= 1e-3f * largest) return {};
  constexpr float kNearTie = 3e-5f;
  if (margins_[at] > kNearTie)
    return fail(ErrorCode::mismatch, "sequence {}: logits are {} apart, the largest is {}", sequence,
                difference, largest);
  went_apart_[at] = 1;
  ++totals_.near_ties;
  return {};
}

/// f32: every row. bf16, where near ties are many: the median row.
Status Episode::compare(const Batch& batch, std::span<const float> gpu, std::span<const float> cpu) {
  const auto vocab = static_cast<std::size_t>(model_->config().vocab_size);
  std::vector<double> differences;
  std::size_t row = 0;
  for (const SequenceChunk& chunk : batch.chunks) {
    float& margin = margins_[static_cast<std::size_t>(chunk.sequence)];
    margin = std::min(
        margin, selection_margin(*cpu_sink_.last(), model_->config(), model_->weights(), chunk.sequence));
    const std::size_t count = static_cast<std::size_t>(chunk.count);
    if (options_.math == MathMode::f32) {
      auto ok = compare_f32(chunk.sequence, gpu.subspan(row * vocab, count * vocab),
                            cpu.subspan(row * vocab, count * vocab));
      if (!ok) return ok;
    }
    for (std::size_t r = row; r < row + count; ++r) {
      double squares = 0;
      double apart = 0;
      for (std::size_t i = r * vocab; i < (r + 1) * vocab; ++i) {
        squares += static_cast<double>(cpu[i]) * cpu[i];
        apart += std::pow(static_cast<double>(cpu[i]) - gpu[i], 2);
      }
      differences.push_back(std::sqrt(apart / squares));
    }
    row += count;
  }
  totals_.compared += static_cast<std::int64_t>(differences.size());
  std::nth_element(differences.begin(),
                   differences.begin() + static_cast<std::ptrdiff_t>(differences.size() / 2),
                   differences.end());
  const double usual = differences[differences.size() / 2];
  if (differences.size() < 8 || usual <= 0.1) return {};
  return fail(ErrorCode::mismatch, "the logits of half the rows are {:.0f} % apart", 100 * usual);
}

/// A prompt that is told to stop: whatever it left behind is forgotten, as the window does it.
Status Episode::cancel_a_prefill() {
  const int sequence = dice_.below(options_.max_sequences);
  std::vector<std::int32_t> tokens;
  for (int i = dice_.between(1, options_.max_context); i > 0; --i)
    tokens.push_back(dice_.below(model_->config().vocab_size));
  if (auto ok = gpu_->truncate(sequence, 0); !ok) return ok;
  std::stop_source source;
  std::jthread canceller([&source, wait = dice_.below(2000)] {
    std::this_thread::sleep_for(std::chrono::microseconds(wait));
    source.request_stop();
  });
  const auto logits = gpu_->prefill(sequence, tokens, source.get_token());
  canceller.join();
  if (!logits && logits.error().code != ErrorCode::cancelled) return forward_error(logits);
  ++totals_.cancelled;
  margins_[static_cast<std::size_t>(sequence)] = std::numeric_limits<float>::infinity();
  went_apart_[static_cast<std::size_t>(sequence)] = 0;
  if (auto ok = gpu_->truncate(sequence, 0); !ok) return ok;
  return cpu_ ? cpu_->truncate(sequence, 0) : Status();
}

Status Episode::apply(const SoakStep& step) {
  for (const auto* session : {&gpu_, &cpu_}) {
    if (*session == nullptr) continue;
    for (const int s : step.ended) {
      if (auto ok = (*session)->truncate(s, 0); !ok) return ok;
      margins_[static_cast<std::size_t>(s)] = std::numeric_limits<float>::infinity();
      went_apart_[static_cast<std::size_t>(s)] = 0;
    }
    if (step.cut >= 0) {
      if (auto ok = (*session)->truncate(step.cut, step.keep); !ok) return ok;
    }
  }
  if (step.changes_policy) {
    // A random policy need not fit the model: then the one before stays.
    if (auto table = step.policy.compile(model_->config()); table) {
      ++totals_.policies;
      gpu_->set_routing(*table);
      if (cpu_) cpu_->set_routing(*table);
    }
  }
  if (step.changes_capture) gpu_->set_capture(step.capture, step.capture.any() ? &sink_ : nullptr);
  return {};
}

Status Episode::run(int steps) {
  if (auto ok = open(); !ok) return ok;
  margins_.assign(static_cast<std::size_t>(options_.max_sequences), std::numeric_limits<float>::infinity());
  went_apart_.assign(margins_.size(), 0);
  for (int i = 0; i < steps; ++i) {
    if (dice_.once_in(16)) {
      if (auto ok = cancel_a_prefill(); !ok)
        return fail(ok.error().code, "step {}: {}", i, ok.error().message);
    }
    std::vector<int> lengths;
    for (int s = 0; s < options_.max_sequences; ++s)
      lengths.push_back(gpu_->length(s));
    const SoakStep step = next_step(dice_, model_->config(), options_, lengths, !watched_);
    if (auto ok = apply(step); !ok) return fail(ok.error().code, "step {}: {}", i, ok.error().message);
    const auto logits = gpu_->step(step.batch);
    if (!logits) return fail(logits.error().code, "step {}: {}", i, logits.error().message);
    ++totals_.steps;
    totals_.tokens += static_cast<std::int64_t>(step.batch.tokens.size());
    if (!cpu_) continue;
    const auto expected = cpu_->step(step.batch);
    if (!expected) return fail(expected.error().code, "step {}, CPU: {}", i, expected.error().message);
    if (auto ok = compare(step.batch, *logits, *expected); !ok)
      return fail(ok.error().code, "step {}: {}", i, ok.error().message);
  }
  return {};
}

/// Memory after the first episodes, when every library has taken what it keeps, against memory later.
class LeakWatch {
 public:
  Status check(const Model& model, std::int64_t episode) {
    constexpr std::int64_t kWarm = 6;
    constexpr std::int64_t kDevice = std::int64_t{64} << 20;
    constexpr std::int64_t kHost = std::int64_t{256} << 20;
    const auto free = free_gpu_memory(model);
    if (!free) return forward_error(free);
    const std::int64_t resident = resident_bytes();
    if (episode <= kWarm) {
      free_ = *free;
      resident_ = std::max(resident, resident_);
      return {};
    }
    if (*free < free_ - kDevice)
      return fail(ErrorCode::out_of_memory, "GPU memory leaks: {} bytes were free, now {}", free_, *free);
    if (resident > resident_ + kHost)
      return fail(ErrorCode::out_of_memory, "host memory leaks: {} bytes were resident, now {}", resident_,
                  resident);
    return {};
  }

 private:
  std::int64_t free_ = 0;
  std::int64_t resident_ = 0;
};

void print(const Totals& totals, double seconds) {
  fmt::print(
      "{} sessions, {} steps, {} tokens, {} rows of logits compared with the CPU backend ({} near ties),\n"
      "{} policies, {} cancelled prompts in {:.0f} s: no error, no drift, no leak\n",
      totals.episodes, totals.steps, totals.tokens, totals.compared, totals.near_ties, totals.policies,
      totals.cancelled, seconds);
}

int soak(const Options& options) {
  auto model = Model::open(options.model);
  if (!model) {
    fmt::print(stderr, "{}\n", model.error().message);
    return 1;
  }
  const auto start = Clock::now();
  const auto elapsed = [&] { return std::chrono::duration<double>(Clock::now() - start).count(); };
  Totals totals;
  LeakWatch leaks;
  while (options.episodes > 0 ? totals.episodes < options.episodes : elapsed() < 60 * options.minutes) {
    const std::uint64_t seed = options.seed + static_cast<std::uint64_t>(totals.episodes);
    Status ok;
    {
      Episode episode(*model, seed, seed % 2 == 0, totals);
      ok = episode.run(options.episode_steps);
    }
    ++totals.episodes;
    if (ok) ok = leaks.check(**model, totals.episodes);
    if (ok) continue;
    fmt::print("FAILED after {:.0f} s and {} steps: {}\nrepeat it with --seed {} --episodes 1\n", elapsed(),
               totals.steps, ok.error().message, seed);
    return 1;
  }
  print(totals, elapsed());
  return 0;
}

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const bool has_value = i + 1 < argc;
    if (argument == "--seed" && has_value) {
      options.seed = std::strtoull(argv[++i], nullptr, 10);
    } else if (argument == "--episodes" && has_value) {
      options.episodes = std::max(1, std::atoi(argv[++i]));
    } else if (argument == "--steps" && has_value) {
      options.episode_steps = std::max(1, std::atoi(argv[++i]));
    } else if (argument == "--model" && has_value) {
      options.model = argv[++i];
    } else if (argument[0] != '-' && std::atof(argv[i]) > 0) {
      options.minutes = std::atof(argv[i]);
    } else {
      fmt::print(
          stderr,
          "usage: expertscope-gpu-soak [MINUTES] [--seed N] [--episodes N] [--steps N] [--model FOLDER]\n");
      std::exit(2);
    }
  }
  return options;
}

}  // namespace
}  // namespace expertscope::testing

/// Exit codes: 0, 1 something failed, drifted or leaked, 77 there is no GPU.
int main(int argc, char** argv) {
  using namespace expertscope;
  const testing::Options options = testing::parse(argc, argv);
  if (auto device = testing::find_gpu(); !device) {
    fmt::print(stderr, "the GPU cannot be used: {}\n", device.error().message);
    return 77;
  }
  return testing::soak(options);
}
