// SPDX-License-Identifier: GPL-3.0-or-later
// What the CUDA backend reaches on models of real shape, next to what the device can do and to the targets.
// The ceilings are measured in the same run.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "engine/cuda/weights/memory_plan.h"
#include "engine/run/usual_options.h"
#include "tests/bench/gpu_runs.h"
#include "tests/bench/shaped_model.h"
#include "tests/gpu/gpu.h"
#include "tests/support/temporary_folder.h"

namespace expertscope::bench {
namespace {

using Clock = std::chrono::steady_clock;

/// Sequences whose maxima are told apart from those of all: as many as run.sh has transformers run.
constexpr int kFirstSequences = 4;

struct Options {
  std::string shape = "qwen3-30b-a3b";
  std::filesystem::path out;     ///< results.json, and what the comparison with transformers needs
  std::filesystem::path shared;  ///< the shaped weights for that comparison; empty: not written
  std::vector<int> batches = {1, 2, 4, 8, 32};
  int context = 512;
  int steps = 32;
  int pairs = 5;
  int prompt = 2048;
  int max_batch = kGpuJobBatch;
  JobRun job;
  bool run_job = true;
  bool run_cache = false;
  double seconds = 600;  ///< no further part is begun after these
  std::size_t pool_bytes = std::size_t{256} << 20;
  cuda::RateSizes rates;
  std::vector<int> expert_tokens = {2048, 32};  ///< of the batches that the experts are compared on
};

/// A line of the table.
struct Row {
  std::string what;
  std::string value;
  std::string of_limit;
  std::string target;  ///< empty: there is none
  bool met = true;
};

class GpuBench {
 public:
  explicit GpuBench(Options options) : options_(std::move(options)) {}
  Status run();
  void print() const;
  Status write() const;
  std::int64_t targets_missed() const {
    return std::count_if(rows_.begin(), rows_.end(), [](const Row& row) { return !row.met; });
  }

 private:
  bool time_left(const char* part);
  Status ceilings();
  Status experts();
  void add_experts(const cuda::ExpertCase& what, const cuda::ExpertTimes& times);
  Status open();
  Status decode();
  Status prefill();
  Status job();
  Status cache();
  void add_target(Row row, const std::string& target, bool met);
  std::filesystem::path scratch() const;

  Options options_;
  DeviceInfo device_;
  cuda::DeviceRates rates_;
  std::shared_ptr<const Model> model_;
  std::unique_ptr<Session> session_;
  MemoryPlan memory_;
  std::vector<Row> rows_;
  nlohmann::json json_;
  Clock::time_point start_ = Clock::now();
  testing::TemporaryFolder temporary_;
};

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

bool GpuBench::time_left(const char* part) {
  if (seconds_since(start_) < options_.seconds) return true;
  rows_.push_back({part, "not run: the time was up", "", "", true});
  json_["not_run"].push_back(part);
  return false;
}

void GpuBench::add_target(Row row, const std::string& target, bool met) {
  // What an emulator reaches says nothing.
  row.target = target;
  row.met = met || testing::gpu_is_emulated();
  json_["targets"].push_back({{"what", row.what}, {"value", row.value}, {"target", target}, {"met", met}});
  rows_.push_back(std::move(row));
}

nlohmann::json rate_json(const cuda::Rate& rate) {
  return {{"best", rate.best}, {"median", rate.median}};
}

Status GpuBench::ceilings() {
  auto rates = testing::measure_gpu_rates(options_.rates);
  if (!rates) return forward_error(rates);
  rates_ = *rates;
  const auto add = [&](const char* what, const cuda::Rate& rate, const char* unit) {
    rows_.push_back({what, fmt::format("{:.0f} {}", rate.best, unit),
                     fmt::format("median {:.0f}", rate.median), "", true});
  };
  add("copy on the device, read + written", rates_.copy, "GB/s");
  add("read on the device", rates_.read, "GB/s");
  add("BF16 product, cuBLAS", rates_.product, "TFLOP/s");
  add("host to device, pinned", rates_.to_device, "GB/s");
  add("device to host, pinned", rates_.to_host, "GB/s");
  json_["rates"] = {{"copy_gb_s", rate_json(rates_.copy)},
                    {"read_gb_s", rate_json(rates_.read)},
                    {"product_tflop_s", rate_json(rates_.product)},
                    {"to_device_gb_s", rate_json(rates_.to_device)},
                    {"to_host_gb_s", rate_json(rates_.to_host)}};
  return {};
}

/// The experts' kernels and cuBLAS on the same batches, before the model takes the memory.
Status GpuBench::experts() {
  auto config = shape_named(options_.shape);
  if (!config) return forward_error(config);
  for (const int tokens : options_.expert_tokens) {
    for (const double skew : {0.0, 1.0}) {
      cuda::ExpertCase what{config->num_experts,
                            config->num_experts_per_tok,
                            config->hidden_size,
                            config->moe_intermediate_size,
                            tokens,
                            skew};
      what.repeats = options_.rates.repeats;
      auto times = testing::measure_gpu_experts(what);
      if (!times) return forward_error(times);
      add_experts(what, *times);
    }
  }
  return {};
}

void GpuBench::add_experts(const cuda::ExpertCase& what, const cuda::ExpertTimes& times) {
  const std::string name =
      fmt::format("experts, {} tokens, {}", what.tokens, what.skew == 0 ? "uniform" : "skewed");
  const double matrices = 3.0 * what.hidden * what.inner;
  const auto row = [&](const char* way, const cuda::ExpertSeconds& seconds) {
    const double product = 2e-12 * matrices * what.tokens * what.top_k / seconds.median / rates_.product.best;
    const double copy = 2e-9 * matrices * times.experts_used / seconds.median / rates_.copy.best;
    return Row{
        fmt::format("{}, {}", name, way), fmt::format("{:.1f} us", 1e6 * seconds.median),
        fmt::format("{:.0f} % of the {}", 100 * std::max(product, copy), product > copy ? "product" : "copy"),
        "", true};
  };
  nlohmann::json result = {{"tokens", what.tokens},
                           {"skew", what.skew},
                           {"experts_used", times.experts_used},
                           {"largest_load", times.largest_load},
                           {"ours_seconds", {{"best", times.ours.best}, {"median", times.ours.median}}}};
  Row ours = row("ours", times.ours);
  if (times.grouped) {
    const double ratio = times.grouped->median / times.ours.median;
    ours.of_limit += fmt::format(", {:.2f} x as fast", ratio);
    add_target(std::move(ours), "faster than grouped", ratio > 1);
    rows_.push_back(row("cuBLAS grouped", *times.grouped));
    result["grouped_seconds"] = {{"best", times.grouped->best}, {"median", times.grouped->median}};
    result["difference"] = times.difference;
  } else {
    rows_.push_back(std::move(ours));
    rows_.push_back({name + ", cuBLAS grouped", "not available", "", "", true});
  }
  json_["experts"].push_back(std::move(result));
}

Status GpuBench::open() {
  auto config = shape_named(options_.shape);
  if (!config) return forward_error(config);
  auto shaped = ShapedModel::make(*config, options_.pool_bytes);
  if (!shaped) return forward_error(shaped);
  model_ = shaped->model();
  if (!options_.shared.empty()) {
    if (auto ok = shaped->write(options_.shared); !ok) return ok;
  }
  BackendOptions options;
  options.max_sequences = *std::max_element(options_.batches.begin(), options_.batches.end());
  options.max_sequences = std::max(options.max_sequences, options_.max_batch / options_.job.length);
  options.max_context = std::max(options_.prompt, options_.context + options_.steps) + 64;
  options.max_batch = options_.max_batch;
  const auto start = Clock::now();
  auto session = testing::open_gpu_session(model_, options);
  if (!session) return forward_error(session);
  session_ = std::move(*session);
  memory_ = session_->backend_info().memory;
  const double gigabytes = static_cast<double>(memory_.weights) * 1e-9;
  const double seconds = seconds_since(start);
  rows_.push_back({fmt::format("loading {:.1f} GB of weights", gigabytes), fmt::format("{:.1f} s", seconds),
                   fmt::format("{:.1f} GB/s", gigabytes / seconds), "", true});
  json_["load"] = {{"seconds", seconds}, {"gigabytes", gigabytes}};
  return {};
}

Status GpuBench::decode() {
  for (const int batch : options_.batches) {
    if (!time_left("decode")) return {};
    auto result = measure_decode(*session_, {batch, options_.context, options_.steps, options_.pairs});
    if (!result) return forward_error(result);
    const double bytes = step_bytes(*model_, batch, options_.context, result->experts_a_step);
    for (const bool on : {false, true}) {
      const double seconds = median(on ? result->seconds.on : result->seconds.off);
      const double rate = bytes / seconds * 1e-9;
      const double share = rate / rates_.copy.best;
      Row row{
          fmt::format("decode, batch {}, context {}, probes {}", batch, options_.context, on ? "on" : "off"),
          fmt::format("{:.1f} tok/s", batch / seconds),
          fmt::format("{:.0f} GB/s, {:.0f} % of the copy", rate, 100 * share), "", true};
      json_["decode"].push_back({{"batch", batch}, {"probes", on}, {"seconds", seconds}, {"bytes", bytes}});
      if (batch == 1 && on)
        add_target(std::move(row), "70 % of the bandwidth", share >= 0.7);
      else
        rows_.push_back(std::move(row));
    }
    const double overhead = result->seconds.overhead();
    Row row{fmt::format("probe overhead, decode, batch {}", batch), fmt::format("{:.2f} %", 100 * overhead),
            "", "", true};
    if (batch == 1)
      add_target(std::move(row), "at most 2 %", overhead <= 0.02);
    else
      rows_.push_back(std::move(row));
  }
  return {};
}

Status GpuBench::prefill() {
  if (!time_left("prefill")) return {};
  auto turns = measure_prefill(*session_, options_.prompt, options_.pairs);
  if (!turns) return forward_error(turns);
  const double flops = prefill_flops(*model_, options_.prompt, false);
  for (const bool on : {false, true}) {
    const double seconds = median(on ? turns->on : turns->off);
    const double rate = flops / seconds * 1e-12;
    const double share = rate / rates_.product.best;
    Row row{fmt::format("prefill {}, probes {}", options_.prompt, on ? "on" : "off"),
            fmt::format("{:.0f} tok/s", options_.prompt / seconds),
            fmt::format("{:.0f} TFLOP/s, {:.0f} % of the product", rate, 100 * share), "", true};
    json_["prefill"].push_back({{"tokens", options_.prompt},
                                {"probes", on},
                                {"seconds", seconds},
                                {"flops", flops},
                                {"flops_with_scores", prefill_flops(*model_, options_.prompt, true)}});
    if (on)
      add_target(std::move(row), "45 % of the rate", share >= 0.45);
    else
      rows_.push_back(std::move(row));
  }
  const double overhead = turns->overhead();
  add_target({"probe overhead, prefill", fmt::format("{:.2f} %", 100 * overhead), "", "", true},
             "at most 3 %", overhead <= 0.03);
  return {};
}

std::filesystem::path GpuBench::scratch() const {
  return temporary_.path();
}

/// max |output| of every expert, layer by layer.
nlohmann::json maxima_of(const ExpertTable& table) {
  nlohmann::json maxima;
  for (int layer = 0; layer < table.layers; ++layer) {
    std::vector<double> row;
    for (int e = 0; e < table.experts; ++e)
      row.push_back(table.at(layer, e).output_max);
    maxima.push_back(row);
  }
  return maxima;
}

Status GpuBench::job() {
  if (!options_.run_job || !time_left("Super Experts job")) return {};
  const JobRun& run = options_.job;
  const auto tokens = random_tokens(std::int64_t{run.sequences} * run.length, model_->config().vocab_size, 9);
  if (!options_.shared.empty()) {
    std::ofstream out(options_.shared / "tokens.i32", std::ios::binary);
    out.write(reinterpret_cast<const char*>(tokens.data()),
              static_cast<std::streamsize>(tokens.size() * sizeof(tokens[0])));
    if (!out.flush()) return fail(ErrorCode::io, "{}: cannot write tokens.i32", options_.shared.string());
  }
  auto result = measure_job(*session_, run, tokens, scratch());
  if (!result) return forward_error(result);
  const double megabytes = static_cast<double>(result->trace_bytes) * 1e-6;
  add_target(
      {fmt::format("Super Experts job, {} x {} tokens, into SQLite", run.sequences, run.length),
       fmt::format("{:.2f} s", result->seconds),
       fmt::format("{:.0f} tok/s, steps {:.2f} s, {:.0f} MB",
                   static_cast<double>(result->tokens) / result->seconds, result->steps_seconds, megabytes),
       "", true},
      "at most 15 s", result->seconds <= 15);
  // The comparison runs few sequences, whose maxima are not those of all.
  const JobRun first = {std::min(kFirstSequences, run.sequences), run.length};
  auto of_first = measure_job(*session_, first, tokens, scratch());
  if (!of_first) return forward_error(of_first);
  json_["job"] = {{"sequences", run.sequences},
                  {"length", run.length},
                  {"seconds", result->seconds},
                  {"steps_seconds", result->steps_seconds},
                  {"tokens", result->tokens},
                  {"trace_bytes", result->trace_bytes},
                  {"output_max", maxima_of(result->table)}};
  json_["job"]["first"] = {{"sequences", first.sequences}, {"output_max", maxima_of(of_first->table)}};
  return {};
}

/// The same model with room for two fifths of its experts; with the room it had where that was too little for
/// all already.
Status GpuBench::cache() {
  if (!options_.run_cache || !time_left("expert cache")) return {};
  BackendOptions options = session_->options();
  options.max_sequences = 1;
  options.max_batch = std::min(512, options.max_batch);
  const ModelConfig& c = model_->config();
  const std::int64_t experts =
      std::int64_t{6} * c.num_moe_layers() * c.num_experts() * c.widest().expert_width * c.hidden_size;
  session_.reset();
  if (memory_.resident_experts == c.num_experts())
    options.device_memory = memory_.weights - experts * 3 / 5 + memory_.kv_cache / 4 + memory_.workspace +
                            memory_.capture + cuda::kReservedBytes;
  auto session = testing::open_gpu_session(model_, options);
  if (!session) return forward_error(session);
  const int resident = (*session)->backend_info().memory.resident_experts;
  auto result = measure_cache(**session, std::min(options_.context, options.max_context / 2), options_.steps);
  if (!result) return forward_error(result);
  rows_.push_back(
      {fmt::format("expert cache, {} of {} experts a layer on the device", resident, c.num_experts()),
       fmt::format("{:.1f} tok/s", 1 / result->seconds),
       fmt::format("hit rate {:.0f} %", 100 * result->stats.hit_rate()), "", true});
  json_["cache"] = {{"resident_experts", resident},
                    {"seconds", result->seconds},
                    {"hits", result->stats.hits},
                    {"misses", result->stats.misses},
                    {"bytes", result->stats.bytes}};
  return {};
}

Status GpuBench::run() {
  auto device = testing::find_gpu();
  if (!device) return forward_error(device);
  device_ = *device;
  json_["device"] = {{"name", device_.name},
                     {"driver", device_.driver},
                     {"memory", device_.memory_total},
                     {"emulated", testing::gpu_is_emulated()}};
  json_["shape"] = options_.shape;
  if (auto ok = ceilings(); !ok) return ok;
  if (auto ok = experts(); !ok) return ok;
  if (auto ok = open(); !ok) return ok;
  if (auto ok = decode(); !ok) return ok;
  if (auto ok = prefill(); !ok) return ok;
  if (auto ok = job(); !ok) return ok;
  return cache();
}

void GpuBench::print() const {
  fmt::print("{}, {}, {} of memory, {}{}\n", options_.shape, device_.name,
             format_bytes(static_cast<std::size_t>(device_.memory_total)), device_.driver,
             testing::gpu_is_emulated() ? " - emulated: no speed means anything" : "");
  for (const Row& row : rows_) {
    const std::string verdict = row.target.empty() || testing::gpu_is_emulated() ? ""
                                : row.met                                        ? "met"
                                                                                 : "MISSED";
    fmt::print("  {:<58} {:>16}  {:<36} {:<24} {}\n", row.what, row.value, row.of_limit, row.target, verdict);
  }
}

Status GpuBench::write() const {
  if (options_.out.empty()) return {};
  std::error_code error;
  std::filesystem::create_directories(options_.out, error);
  const auto file = options_.out / (options_.shape + ".json");
  std::ofstream out(file);
  out << json_.dump(1) << '\n';
  if (!out.flush()) return fail(ErrorCode::io, "{}: cannot be written", file.string());
  return {};
}

/// Small enough for an emulator.
void make_tiny(Options& options) {
  options.shape = "tiny";
  options.batches = {1, 2, 8};
  options.context = 16;
  options.steps = 2;
  options.pairs = 1;
  options.prompt = 24;
  options.max_batch = 48;
  options.job = {4, 24};
  options.run_cache = true;
  options.pool_bytes = 1 << 16;
  options.rates = {1 << 16, 1 << 12, 16, 2};
  options.expert_tokens = {40, 4};
}

constexpr const char* kUsage =
    "usage: expertscope-gpu-bench [--shape NAME] [--tiny] [--out FOLDER] [--share FOLDER] [--no-job]\n"
    "                             [--cache] [--sequences N] [--pairs N] [--seconds N]\n"
    "  --share  leave the weights and tokens for hf_super_experts.py there\n";

[[noreturn]] void usage() {
  std::fputs(kUsage, stderr);
  std::exit(2);
}

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--tiny") {
      make_tiny(options);
    } else if (argument == "--no-job") {
      options.run_job = false;
    } else if (argument == "--cache") {
      options.run_cache = true;
    } else if (i + 1 == argc) {
      usage();
    } else if (argument == "--shape") {
      options.shape = argv[++i];
    } else if (argument == "--out") {
      options.out = argv[++i];
    } else if (argument == "--share") {
      options.shared = argv[++i];
    } else if (argument == "--sequences") {
      options.job.sequences = std::max(1, std::atoi(argv[++i]));
    } else if (argument == "--pairs") {
      options.pairs = std::max(1, std::atoi(argv[++i]));
    } else if (argument == "--seconds") {
      options.seconds = std::atof(argv[++i]);
    } else {
      usage();
    }
  }
  return options;
}

}  // namespace
}  // namespace expertscope::bench

/// Exit codes: 0, 1 something failed, 2 usage, 4 a target was missed, 77 there is no GPU.
int main(int argc, char** argv) {
  using namespace expertscope;
  const bench::Options options = bench::parse(argc, argv);
  if (auto device = testing::find_gpu(); !device) {
    fmt::print(stderr, "the GPU cannot be used: {}\n", device.error().message);
    return 77;
  }
  bench::GpuBench bench(options);
  const Status ran = bench.run();
  bench.print();
  std::fflush(stdout);  // before what comes through the other stream
  const Status written = bench.write();
  for (const Status* status : {&ran, &written}) {
    if (*status) continue;
    fmt::print(stderr, "expertscope-gpu-bench: {}\n", status->error().message);
    return 1;
  }
  const std::int64_t missed = bench.targets_missed();
  fmt::print("{}\n", missed == 0 ? "no target missed" : fmt::format("{} targets missed", missed));
  return missed == 0 ? 0 : 4;
}
