// SPDX-License-Identifier: GPL-3.0-or-later
// How long the window waits for a large trace: the first map, a cell, a metric; and what each analysis takes.
// Makes its own trace. Times are medians; the file is in the page cache.
#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <string>
#include <vector>

#include "probes/analysis/analysis.h"
#include "probes/analysis/run_data.h"
#include "probes/capture/recorder.h"
#include "tests/support/temporary_folder.h"
#include "views/models/map_metrics.h"
#include "views/models/table_map.h"
#include "views/models/trace_view.h"

namespace expertscope::bench {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int kSequence = 1024;  // tokens a sequence
constexpr int kVocabulary = 20000;

struct Options {
  std::int64_t tokens = 274000;
  int layers = 48;
  int experts = 128;
  int top_k = 8;
  bool analyses = true;
  std::filesystem::path trace;  ///< kept, and used again; empty: a temporary one
};

/// Ends the program: there is nothing to measure without what failed.
template <class T>
T must(Result<T> result) {
  if (result) return std::move(*result);
  fmt::print(stderr, "expertscope-trace-bench: {}\n", result.error().message);
  std::exit(1);
}
void must(const Status& status) {
  if (status) return;
  fmt::print(stderr, "expertscope-trace-bench: {}\n", status.error().message);
  std::exit(1);
}

class Random {
 public:
  std::uint32_t below(std::uint32_t limit) {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return static_cast<std::uint32_t>((state_ >> 16) % limit);
  }
  float unit() { return static_cast<float>(below(1 << 20)) / (1 << 20); }

 private:
  std::uint64_t state_ = 88172645463325252u;
};

RunInfo run_info(const Options& options) {
  RunInfo info;
  info.kind = "profile";
  info.model.name = "bench";
  info.architecture = "Qwen3MoeForCausalLM";
  info.layers = options.layers;
  info.experts = options.experts;
  info.top_k = options.top_k;
  info.hidden_size = 2048;
  info.moe_layer.assign(static_cast<std::size_t>(options.layers), 1);
  info.math = "bf16";
  info.probes = CaptureRequest::standard();
  return info;
}

/// Neighbours of a random expert: skewed, and different inside a token.
void fill(const Options& options, std::int64_t first, Random& random, CaptureBlock& block) {
  for (int t = 0; t < block.tokens; ++t) {
    const std::int64_t token = first + t;
    block.token_id[t] =
        static_cast<std::int32_t>(std::min(random.below(kVocabulary), random.below(kVocabulary)));
    block.position[t] = static_cast<std::int32_t>(token % kSequence);
    block.sequence[t] = 0;
    block.log_prob[t] = -random.unit();
  }
  for (std::size_t at = 0; at < block.expert.size(); at += static_cast<std::size_t>(options.top_k)) {
    std::uint32_t expert = random.below(static_cast<std::uint32_t>(options.experts));
    for (std::size_t slot = at; slot < at + static_cast<std::size_t>(options.top_k); ++slot) {
      block.expert[slot] = static_cast<std::uint16_t>(expert);
      block.weight[slot] = random.unit();
      block.probability[slot] = random.unit();
      block.output_norm[slot] = random.unit();
      block.output_max[slot] = random.unit();
      block.output_channel[slot] = static_cast<std::int32_t>(random.below(2048));
      expert = (expert + 1 + random.below(7)) % static_cast<std::uint32_t>(options.experts);
    }
  }
  std::generate(block.entropy.begin(), block.entropy.end(), [&] { return random.unit(); });
  std::generate(block.hidden_max.begin(), block.hidden_max.end(), [&] { return random.unit(); });
}

void record(const Options& options, const std::filesystem::path& file) {
  RecorderOptions recording;
  recording.token_bytes = [](std::int32_t id) { return fmt::format(" t{}", id); };
  const auto recorder = must(Recorder::start(file, run_info(options), recording));
  const char* domains[] = {"code", "english", "german", "maths"};
  Random random;
  const auto begin = Clock::now();
  for (std::int64_t first = 0; first < options.tokens; first += kSequence) {
    recorder->set_domain(0, domains[first / kSequence % 4]);
    auto block = recorder->acquire();
    const auto tokens = static_cast<int>(std::min<std::int64_t>(kSequence, options.tokens - first));
    block->prepare(CaptureRequest::standard(), {.tokens = tokens,
                                                .layers = options.layers,
                                                .moe_layers = options.layers,
                                                .slots = options.top_k,
                                                .experts = options.experts});
    fill(options, first, random, *block);
    must(recorder->deliver(std::move(block)));
  }
  must(recorder->finish("finished"));
  fmt::print("{} tokens x {} layers x {} experts, top-{}: {:.2f} GB, recorded in {:.1f} s\n\n",
             options.tokens, options.layers, options.experts, options.top_k,
             static_cast<double>(std::filesystem::file_size(file)) / 1e9,
             std::chrono::duration<double>(Clock::now() - begin).count());
}

/// In milliseconds. On a machine that does other things, too, the processor's is the one that means
/// something.
struct Taken {
  double clock = 0;
  double processor = 0;
};

double processor_time() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return 1e3 * static_cast<double>(now.tv_sec) + 1e-6 * static_cast<double>(now.tv_nsec);
}

template <class Work>
Taken milliseconds(const Work& work) {
  const auto begin = Clock::now();
  const double processor = processor_time();
  work();
  return {1000 * std::chrono::duration<double>(Clock::now() - begin).count(), processor_time() - processor};
}

double median(const std::vector<Taken>& times, double Taken::*which) {
  std::vector<double> sorted;
  for (const Taken& time : times)
    sorted.push_back(time.*which);
  std::sort(sorted.begin(), sorted.end());
  return sorted[sorted.size() / 2];
}

void report(const char* what, const std::vector<Taken>& times) {
  const auto largest = std::max_element(times.begin(), times.end(),
                                        [](const Taken& a, const Taken& b) { return a.clock < b.clock; });
  fmt::print("{:<44} {:9.2f} ms   (of processor time {:.2f}; largest {:.2f}, {} times)\n", what,
             median(times, &Taken::clock), median(times, &Taken::processor), largest->clock, times.size());
}

/// What a person does in the window, with the code the window runs on its worker.
void measure_window(const Options& options, const TraceReader& reader) {
  TraceQuery query;
  TraceView view;
  report("first map", {milliseconds([&] { view = must(read_trace_view(reader, query, nullptr)); })});
  const auto select = [&](int layer, int expert) {
    query.cell = {layer, expert};
    return milliseconds([&] { view = must(read_trace_view(reader, query, &view)); });
  };
  std::vector<Taken> other_layer;
  for (int layer = 0; layer < std::min(options.layers, 16); ++layer)
    other_layer.push_back(select(layer, 5 * layer % options.experts));
  report("select a cell, each in another layer", other_layer);
  std::vector<Taken> same_layer;
  for (int expert = 0; expert < 16; ++expert)
    same_layer.push_back(select(0, expert));
  report("select a cell, all in one layer", same_layer);
  query.range = {options.tokens / 4, options.tokens / 2};
  report("a quarter of the tokens", {select(0, 1)});
  std::vector<Taken> metrics;
  for (int i = 0; i < kMetricsWithKeys; ++i) {
    const MapMetric& metric = map_metrics()[static_cast<std::size_t>(i)];
    metrics.push_back(milliseconds([&] {
      const AnalysisResult found = metric.analysis->of_aggregates(view.run->table);
      (void)map_of(*found.find(metric.table), metric.column, view.run->table, false);
    }));
  }
  report("switch the metric", metrics);
}

void measure_analyses(const TraceReader& reader) {
  fmt::print("\n");
  for (const Analysis& analysis : analyses()) {
    RunData data = must(RunData::open(reader, 1));
    std::string problem;
    const Taken time = milliseconds([&] {
      const auto result = run_analysis(analysis, data, {}, {});
      if (!result) problem = result.error().message;
    });
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    fmt::print("analyze {:<36} {:9.1f} ms   (peak so far {} MiB)  {}\n", analysis.id, time.clock,
               usage.ru_maxrss / 1024, problem);
  }
}

bool parse(int argc, char** argv, Options& options) {
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    const char* value = i + 1 < argc ? argv[i + 1] : nullptr;
    if (name == "--no-analyses") {
      options.analyses = false;
      continue;
    }
    if (value == nullptr) return false;
    ++i;
    if (name == "--tokens")
      options.tokens = std::atoll(value);
    else if (name == "--layers")
      options.layers = std::atoi(value);
    else if (name == "--experts")
      options.experts = std::atoi(value);
    else if (name == "--trace")
      options.trace = value;
    else
      return false;
  }
  return options.tokens > 0 && options.layers > 0 && options.experts >= 64;
}

int run(const Options& options) {
  const testing::TemporaryFolder folder;
  const std::filesystem::path file = options.trace.empty() ? folder / "bench.db" : options.trace;
  if (!std::filesystem::exists(file)) record(options, file);
  const auto reader = must(TraceReader::open(file));
  measure_window(options, *reader);
  if (options.analyses) measure_analyses(*reader);
  return 0;
}

}  // namespace
}  // namespace expertscope::bench

int main(int argc, char** argv) {
  expertscope::bench::Options options;
  if (expertscope::bench::parse(argc, argv, options)) return expertscope::bench::run(options);
  fmt::print(stderr,
             "usage: expertscope-trace-bench [--tokens N] [--layers N] [--experts N >= 64] [--trace FILE] "
             "[--no-analyses]\n");
  return 2;
}
