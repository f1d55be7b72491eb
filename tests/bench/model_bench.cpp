// SPDX-License-Identifier: GPL-3.0-or-later
// Prefill and decode next to what the machine can do, probes off and on, and what a recorded token costs.
// Off and on alternate, and the limits are measured between them: on a shared machine only that compares.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>
#include <system_error>
#include <vector>

#include "engine/cpu/kernels/kernels.h"
#include "engine/cpu/kernels/thread_pool.h"
#include "engine/run/session.h"
#include "probes/capture/recorder.h"
#include "tests/bench/family_shapes.h"
#include "tests/bench/machine_limits.h"
#include "tests/bench/recording_bench.h"
#include "tests/support/random_model.h"
#include "tests/support/recycler.h"
#include "tests/support/temporary_folder.h"

namespace expertscope::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kPromptTokens = 512;
constexpr int kShortPrompt = 32;     // before decoding
constexpr int kRecordedPrompts = 4;  // for the size of a trace

struct Options {
  std::filesystem::path demo;
  int pairs = 10;
  bool random = true;
  bool recording_only = false;
  std::string family;  ///< only the random model of this shape
};

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 != 0 ? values[half] : 0.5 * (values[half - 1] + values[half]);
}

double best(const std::vector<double>& values) {
  return *std::min_element(values.begin(), values.end());
}

/// Ends the program: there is nothing to measure without what failed.
template <class T>
T must(Result<T> result) {
  if (result) return std::move(*result);
  fmt::print(stderr, "expertscope-bench: {}\n", result.error().message);
  std::exit(1);
}
void must(const Status& status) {
  if (status) return;
  fmt::print(stderr, "expertscope-bench: {}\n", status.error().message);
  std::exit(1);
}

std::vector<std::int32_t> some_tokens(int count, int vocab) {
  std::vector<std::int32_t> tokens;
  std::uint64_t state = 88172645463325252u;
  for (int i = 0; i < count; ++i) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    tokens.push_back(static_cast<std::int32_t>(state % static_cast<std::uint64_t>(vocab)));
  }
  return tokens;
}

/// Times of the equal pieces a run consists of, so that an undisturbed one can be told from the others.
using Samples = std::vector<double>;

/// One piece: the whole prompt.
Samples prefill_seconds(Session& session) {
  must(session.truncate(0, 0));
  const auto tokens = some_tokens(kPromptTokens, session.model().config().vocab_size);
  const auto start = Clock::now();
  must(session.prefill(0, tokens));
  return {seconds_since(start)};
}

/// `count` pieces, a token each, after a short prompt.
Samples decode_seconds(Session& session, int count) {
  const auto tokens = some_tokens(kShortPrompt + count, session.model().config().vocab_size);
  must(session.truncate(0, 0));
  must(session.prefill(0, std::span(tokens).first(kShortPrompt)));
  Samples seconds;
  for (int i = 0; i < count; ++i) {
    Batch batch;
    batch.tokens = {tokens[static_cast<std::size_t>(kShortPrompt + i)]};
    batch.chunks = {{0, 0, 1}};
    const auto start = Clock::now();
    must(session.step(std::move(batch)));
    seconds.push_back(seconds_since(start));
  }
  return seconds;
}

/// What the runs without probes took, or those with them.
struct Side {
  Samples seconds;      ///< all pieces of all pairs
  Samples best_pieces;  ///< the best piece of each pair
};

/// Runs without and with probes, measured in turns.
struct Pairs {
  Side off, on;
  std::vector<double> ratios;         ///< on / off, a pair each
  std::vector<MachineLimits> limits;  ///< measured after each pair
};

Pairs measure(Session& session, int count, const std::function<Samples(Session&)>& run, LimitsProbe& limits) {
  testing::Recycler sink;
  Pairs pairs;
  run(session);  // warms caches, page tables and the branch predictor
  for (int i = 0; i < count; ++i) {
    double medians[2] = {};
    for (const bool on : {i % 2 == 0, i % 2 != 0}) {
      session.set_capture(on ? CaptureRequest::standard() : CaptureRequest{}, on ? &sink : nullptr);
      const Samples seconds = run(session);
      medians[on ? 1 : 0] = median(seconds);
      Side& side = on ? pairs.on : pairs.off;
      side.seconds.insert(side.seconds.end(), seconds.begin(), seconds.end());
      side.best_pieces.push_back(best(seconds));
    }
    pairs.ratios.push_back(medians[1] / medians[0]);
    limits.round();
    pairs.limits.push_back(limits.last());
  }
  session.set_capture({}, nullptr);
  return pairs;
}

/// The share of the machine's limit that a pair reaches, limit and pair measured within a second: the median
/// of all pairs. `work` is what a piece does, in the unit of `limit` times a second.
double share_of_limit(const Side& side, const std::vector<MachineLimits>& limits, double work,
                      const std::function<double(const MachineLimits&)>& limit) {
  std::vector<double> shares;
  for (std::size_t i = 0; i < limits.size(); ++i)
    shares.push_back(work / side.best_pieces[i] / limit(limits[i]));
  return median(shares);
}

double arithmetic_limit(const MachineLimits& limits) {
  return std::max(limits.bf16_gflops, limits.f32_gflops);
}

double read_limit(const MachineLimits& limits) {
  return limits.read_gb_per_s;
}

void print_prefill(const char* probes, const Side& side, const Pairs& pairs, const Session& session) {
  const double gflop = static_cast<double>(testing::flops_per_token(session.model())) * kPromptTokens * 1e-9;
  fmt::print(
      "  prefill {}  probes {:<3}  {:>9.0f} tok/s best {:>9.0f} median  {:>7.0f} GFLOP/s best, {:>3.0f} % of "
      "the machine's rate\n",
      kPromptTokens, probes, kPromptTokens / best(side.seconds), kPromptTokens / median(side.seconds),
      gflop / best(side.seconds), 100 * share_of_limit(side, pairs.limits, gflop, arithmetic_limit));
}

void print_decode(const char* probes, const Side& side, const Pairs& pairs, const Session& session) {
  const double gigabytes = static_cast<double>(testing::bytes_per_token(session.model())) * 1e-9;
  fmt::print(
      "  decode       probes {:<3}  {:>9.1f} tok/s best {:>9.1f} median  {:>7.1f} GB/s best, {:>6.0f} % of "
      "the machine's bandwidth\n",
      probes, 1 / best(side.seconds), 1 / median(side.seconds), gigabytes / best(side.seconds),
      100 * share_of_limit(side, pairs.limits, gigabytes, read_limit));
}

void print_limits(const char* when, const MachineLimits& limits) {
  fmt::print("{}: reads {:.1f} GB/s ({}), f32 {:.0f} GFLOP/s, bf16 {:.0f} GFLOP/s\n", when,
             limits.read_gb_per_s, limits.read_pattern, limits.f32_gflops, limits.bf16_gflops);
}

/// Decodes and prefills with a recorder behind the probes; prints what the trace takes.
void measure_recording(Session& session, int decode_tokens) {
  const ModelConfig& config = session.model().config();
  const testing::TemporaryFolder folder;
  const CaptureRequest probes = CaptureRequest::standard();
  RunInfo info = describe_run(session, probes);
  info.kind = "profile";
  {
    auto recorder = must(Recorder::start(folder / "trace.db", info));
    session.set_capture(probes, recorder.get());
    Samples prefill;
    for (int i = 0; i < kRecordedPrompts; ++i)
      prefill.push_back(prefill_seconds(session).front());
    const Samples decode = decode_seconds(session, decode_tokens);
    session.set_capture({}, nullptr);
    must(recorder->finish("finished"));
    fmt::print("  recording to a trace: prefill {:.0f} tok/s best, decode {:.1f} tok/s best\n",
               kPromptTokens / best(prefill), 1 / best(decode));
  }
  const auto bytes = std::filesystem::file_size(folder / "trace.db");
  const std::int64_t tokens = kRecordedPrompts * kPromptTokens + kShortPrompt + decode_tokens;
  const std::int64_t decisions = tokens * config.num_moe_layers() * config.top_k();
  fmt::print("  trace: {} bytes, {} tokens, {} router decisions: {:.1f} bytes per decision\n", bytes, tokens,
             decisions, static_cast<double>(bytes) / static_cast<double>(decisions));
}

void bench_model(const std::string& name, std::shared_ptr<const Model> model, int pairs,
                 LimitsProbe& limits) {
  BackendOptions options;
  options.max_context = 1024;
  auto session = must(Session::create(std::move(model), options));
  const ModelConfig& config = session->model().config();
  const double megabytes = static_cast<double>(testing::bytes_per_token(session->model())) * 1e-6;
  fmt::print("\n{}: {} layers, {} experts, top-{}, hidden {}, {:.0f} MB of weights per token, {}\n", name,
             config.num_layers(), config.num_experts(), config.top_k(), config.hidden_size, megabytes,
             session->backend_description());
  // About a tenth of a second per turn.
  const int decode_tokens = std::clamp(static_cast<int>(2000.0 / megabytes), 8, 256);
  const Pairs prefill = measure(*session, pairs, prefill_seconds, limits);
  const Pairs decode = measure(
      *session, pairs, [&](Session& s) { return decode_seconds(s, decode_tokens); }, limits);
  print_prefill("off", prefill.off, prefill, *session);
  print_prefill("on", prefill.on, prefill, *session);
  print_decode("off", decode.off, decode, *session);
  print_decode("on", decode.on, decode, *session);
  fmt::print("  probes on / off, median of {} pairs: prefill {:.3f}, decode {:.3f} of the time\n", pairs,
             median(prefill.ratios), median(decode.ratios));
  measure_recording(*session, decode_tokens);
}

/// The random model of a shape, or of all of them.
void bench_families(const Options& options, LimitsProbe& limits) {
  for (const FamilyShape& shape : family_shapes()) {
    if (!options.family.empty() && options.family != shape.option) continue;
    auto model = testing::random_model(must(config_of(shape)), FormatId::bf16, 1, shape.experts);
    if (!model) must(fail(ErrorCode::out_of_memory, "no memory for a model of the shape {}", shape.option));
    bench_model(fmt::format("{}, random", shape.name), std::move(model), options.pairs, limits);
  }
}

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const bool has_value = i + 1 < argc;
    if (argument == "--demo" && has_value) {
      options.demo = argv[++i];
    } else if (argument == "--pairs" && has_value) {
      options.pairs = std::max(1, std::atoi(argv[++i]));
    } else if (argument == "--family" && has_value) {
      options.family = argv[++i];
    } else if (argument == "--no-random") {
      options.random = false;
    } else if (argument == "--recording") {
      options.recording_only = true;
    } else {
      fmt::print(
          stderr,
          "usage: expertscope-bench [--demo FOLDER] [--pairs N] [--no-random] [--family gpt-oss|qwen3-next|"
          "deepseek-v2-lite|gemma-4] [--recording]\n");
      std::exit(2);
    }
  }
  return options;
}

}  // namespace
}  // namespace expertscope::bench

int main(int argc, char** argv) {
  using namespace expertscope;
  using namespace expertscope::bench;
  const Options options = parse(argc, argv);
  if (options.recording_only) {
    bench_recording();
    return 0;
  }
  const cpu::CpuLevel level = cpu::choose_cpu_level();
  cpu::ThreadPool pool;
  LimitsProbe limits(pool, level, std::size_t{512} << 20);
  for (int i = 0; i < 3; ++i)
    limits.round();
  fmt::print("{}, {} threads\n", cpu::cpu_level_name(level), pool.threads());
  print_limits("machine before", limits.best());
  if (!options.demo.empty())
    bench_model("demo model", must(Model::open(options.demo)), options.pairs, limits);
  if (!options.family.empty()) {
    bench_families(options, limits);
    return 0;
  }
  if (options.random) {
    auto model = testing::random_model(testing::olmoe_eighth_config(), FormatId::bf16);
    if (!model) must(fail(ErrorCode::out_of_memory, "no memory for a model of 1.7 GB"));
    bench_model("OLMoE-1B-7B / 8, random", std::move(model), options.pairs, limits);
    bench_families(options, limits);
  }
  bench_recording();
  fmt::print("\n");
  print_limits("machine, best of all rounds", limits.best());
  return 0;
}
