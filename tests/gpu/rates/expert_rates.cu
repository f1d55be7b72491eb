// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/gpu/rates/expert_rates.h"

#include <cmath>
#include <vector>

#include "engine/cuda/forward.h"
#include "engine/cuda/kernels/block.cuh"
#include "engine/cuda/kernels/numbers.cuh"
#include "engine/cuda/runtime/device.h"
#include "tests/gpu/rates/grouped_experts.h"
#include "tests/gpu/rates/measure.h"

namespace expertscope::cuda {
namespace {

constexpr int kCompareThreads = 256;
constexpr const char* kPurpose = "measuring the experts";

/// difference[slot] = |ours - grouped| / |ours| of the slot's row; NaN where one of them is. The order of an
/// expert's rows is not the same in both. Blocks: slots.
__global__ void __launch_bounds__(kCompareThreads)
    compare_rows(const float* ours, const std::int32_t* our_row, const Bf16* grouped,
                 const std::int32_t* grouped_row, int width, float* difference) {
  __shared__ float scratch[kCompareThreads / kWarp];
  const auto slot = static_cast<std::size_t>(blockIdx.x);
  const float* a = ours + static_cast<std::size_t>(our_row[slot]) * static_cast<std::size_t>(width);
  const Bf16* b = grouped + static_cast<std::size_t>(grouped_row[slot]) * static_cast<std::size_t>(width);
  float apart = 0;
  float length = 0;
  for (int i = static_cast<int>(threadIdx.x); i < width; i += kCompareThreads) {
    const float d = a[i] - load_activation(b + i);
    apart += d * d;
    length += a[i] * a[i];
  }
  apart = block_sum<kCompareThreads / kWarp>(apart, scratch);
  length = block_sum<kCompareThreads / kWarp>(length, scratch);
  if (threadIdx.x == 0) difference[slot] = sqrtf(apart / length);
}

/// A model of one MoE layer and nothing around it.
ModelConfig config_of(const ExpertCase& what) {
  ModelConfig config;
  config.vocab_size = 1;
  config.hidden_size = what.hidden;
  LayerSpec& layer = config.layers.emplace_back();
  layer.attention.heads = layer.attention.kv_heads = 1;
  layer.attention.head_dim = 8;
  layer.router.experts = what.experts;
  layer.router.top_k = what.top_k;
  layer.expert.width = what.inner;
  return config;
}

std::shared_ptr<const RoutingTable> table_of(const ExpertCase& what) {
  const auto experts = static_cast<std::size_t>(what.experts);
  LayerRouting layer;
  layer.logit_bias.assign(experts, 0.0f);
  layer.remap.assign(experts, 0);
  layer.output_scale.assign(experts, 1.0f);
  layer.drop.assign(experts, 0);
  layer.force.assign(experts, 0);
  layer.top_k = what.top_k;
  RoutingTable table;
  table.layers = {layer};
  table.max_top_k = what.top_k;
  return std::make_shared<const RoutingTable>(std::move(table));
}

/// A step of the backend that consists of the experts of one layer, and the same experts through cuBLAS.
class ExpertBench {
 public:
  explicit ExpertBench(const ExpertCase& what)
      : what_(what), config_(config_of(what)), table_(table_of(what)), routed_(route_at_random(what)) {}
  Status create(const DeviceLimits& limits);
  Result<ExpertTimes> run();

 private:
  Status make_step(const DeviceLimits& limits);
  Status make_experts();
  ForwardContext context(Queue& queue);
  void run_ours(Queue& queue);
  Status run_both();
  Result<double> compare();
  template <class Work>
  Status measure(const char* name, std::vector<double>& seconds, Work&& work);

  ExpertCase what_;
  ModelConfig config_;
  std::shared_ptr<const RoutingTable> table_;
  RoutedRows routed_;
  Stream stream_;
  Stopwatch stopwatch_;
  GroupedExperts grouped_;
  DeviceBuffer<Bf16> gate_up_, down_;       ///< [experts, 2 * inner, hidden], [experts, hidden, inner]
  DeviceBuffer<const void*> matrices_;      ///< [2][experts]
  DeviceBuffer<std::int32_t> row_of_slot_;  ///< of the grouped way
  DeviceBuffer<float> difference_;
  DeviceExperts device_experts_;

  // What a step has. A part that the experts do not touch stays empty.
  Workspace work_;
  RoutingTables routing_;
  StepInput input_;
  DeviceWeights weights_;
  KvCache cache_;
  RopeTables rope_;
  ExpertCache experts_;
  Products products_;
};

Status ExpertBench::create(const DeviceLimits& limits) {
  if (auto ok = stream_.create(); !ok) return ok;
  if (auto ok = stopwatch_.create(stream_.get()); !ok) return ok;
  if (auto ok = row_of_slot_.allocate(routed_.row_of_slot.size(), kPurpose); !ok) return ok;
  if (auto ok = difference_.allocate(routed_.row_of_slot.size(), kPurpose); !ok) return ok;
  if (auto ok = make_experts(); !ok) return ok;
  return make_step(limits);
}

/// The matrices: of a variance that keeps every value near 1.
Status ExpertBench::make_experts() {
  const auto experts = static_cast<std::size_t>(what_.experts);
  const std::size_t matrix = static_cast<std::size_t>(what_.hidden) * static_cast<std::size_t>(what_.inner);
  if (auto ok = gate_up_.allocate(experts * 2 * matrix, kPurpose); !ok) return ok;
  if (auto ok = down_.allocate(experts * matrix, kPurpose); !ok) return ok;
  if (auto ok = matrices_.allocate(2 * experts, kPurpose); !ok) return ok;
  std::vector<const void*> gate_up;
  std::vector<const void*> down;
  for (std::size_t e = 0; e < experts; ++e) {
    gate_up.push_back(gate_up_.data() + e * 2 * matrix);
    down.push_back(down_.data() + e * matrix);
  }
  Queue queue(stream_.get());
  queue.enter("making random experts");
  fill_random(queue, gate_up_.data(), gate_up_.bytes(), std::sqrt(3.0f / static_cast<float>(what_.hidden)),
              1);
  fill_random(queue, down_.data(), down_.bytes(), std::sqrt(3.0f / static_cast<float>(what_.inner)), 2);
  const std::size_t half = experts * sizeof(void*);
  queue.copy(matrices_.data(), gate_up.data(), half, cudaMemcpyHostToDevice);
  queue.copy(matrices_.data() + experts, down.data(), half, cudaMemcpyHostToDevice);
  queue.wait();
  if (auto ok = queue.take_status(); !ok) return ok;
  device_experts_ = {matrices_.data(), matrices_.data() + experts,
                     DeviceType::bf16, what_.experts,
                     what_.inner,      what_.hidden,
                     what_.hidden,     what_.inner};
  return grouped_.create(what_, routed_, gate_up, down, stream_.get());
}

Status ExpertBench::make_step(const DeviceLimits& limits) {
  BackendOptions options;
  options.max_batch = what_.tokens;
  options.max_context = what_.tokens;
  if (auto ok = work_.allocate(config_, options, limits.multiprocessors, stream_.get()); !ok) return ok;
  if (std::int64_t{what_.tokens} * what_.top_k > work_.expert_rows)
    return fail(ErrorCode::invalid_argument, "{} x {} rows are more than the experts run at a time",
                what_.tokens, what_.top_k);
  if (auto ok = routing_.allocate(config_); !ok) return ok;
  if (auto ok = input_.allocate(options, nullptr); !ok) return ok;
  Batch batch;
  batch.tokens.assign(static_cast<std::size_t>(what_.tokens), 0);
  batch.chunks = {{0, 0, what_.tokens}};
  Queue queue(stream_.get());
  input_.upload(batch, what_.top_k, {}, query_tile(MathMode::bf16, config_.widest().head_dim), queue);
  routing_.upload(table_, queue);
  queue.enter("making random activations");
  const std::size_t elements =
      static_cast<std::size_t>(what_.tokens) * static_cast<std::size_t>(what_.hidden);
  fill_random(queue, work_.normed, elements * sizeof(Bf16), std::sqrt(3.0f), 3);
  const std::size_t bytes = routed_.expert.size() * sizeof(std::int32_t);
  queue.copy(work_.slots.expert, routed_.expert.data(), bytes, cudaMemcpyHostToDevice);
  queue.copy(row_of_slot_.data(), routed_.row_of_slot.data(), bytes, cudaMemcpyHostToDevice);
  queue.wait();
  return queue.take_status();
}

ForwardContext ExpertBench::context(Queue& queue) {
  return {.config = config_,
          .weights = weights_,
          .work = work_,
          .cache = cache_,
          .rope = rope_,
          .routing = routing_,
          .input = input_,
          .experts = experts_,
          .products = products_,
          .queue = queue,
          .bf16 = true,
          .tokens = what_.tokens,
          .slots = what_.top_k,
          .table = table_.get(),
          .capture = {}};
}

void ExpertBench::run_ours(Queue& queue) {
  ForwardContext step = context(queue);
  run_routed(step, 0, device_experts_, 0, what_.tokens);
}

/// Once, not timed: whether cuBLAS can do it, and the numbers that are compared.
Status ExpertBench::run_both() {
  Queue queue(stream_.get());
  queue.enter("the experts");
  run_ours(queue);
  queue.enter("the experts through cuBLAS");
  grouped_.run(queue, work_.normed);
  queue.wait();
  return queue.take_status();
}

Result<double> ExpertBench::compare() {
  std::vector<float> differences(difference_.size());
  Queue queue(stream_.get());
  queue.enter("comparing the experts");
  queue.launch(&compare_rows, {dim3(static_cast<unsigned>(differences.size())), kCompareThreads, 0},
               work_.expert_output, work_.sorted.row_of_slot, grouped_.output(), row_of_slot_.data(),
               what_.hidden, difference_.data());
  queue.copy(differences.data(), difference_.data(), difference_.bytes(), cudaMemcpyDeviceToHost);
  queue.wait();
  if (auto ok = queue.take_status(); !ok) return forward_error(ok);
  double largest = 0;
  for (const float difference : differences) {
    if (!(difference <= what_.tolerance))
      return fail(ErrorCode::mismatch,
                  "the experts' kernels and cuBLAS differ by {:.3g} of a row's length, more than {:.3g}",
                  difference, what_.tolerance);
    largest = std::max(largest, static_cast<double>(difference));
  }
  return largest;
}

template <class Work>
Status ExpertBench::measure(const char* name, std::vector<double>& seconds, Work&& work) {
  const auto time = stopwatch_.time(name, [&](Queue& queue) {
    for (int round = 0; round < what_.rounds; ++round)
      work(queue);
  });
  if (!time) return forward_error(time);
  seconds.push_back(*time / what_.rounds);
  return {};
}

ExpertSeconds summary(std::vector<double> seconds) {
  seconds.erase(seconds.begin());  // the one that does not count
  std::sort(seconds.begin(), seconds.end());
  return {seconds.front(), seconds[seconds.size() / 2]};
}

Result<ExpertTimes> ExpertBench::run() {
  if (auto ok = run_both(); !ok) return forward_error(ok);
  ExpertTimes times;
  for (const std::int32_t load : routed_.load) {
    times.experts_used += load > 0 ? 1 : 0;
    times.largest_load = std::max(times.largest_load, load);
  }
  if (grouped_.available()) {
    const auto difference = compare();
    if (!difference) return forward_error(difference);
    times.difference = *difference;
  }
  std::vector<double> ours;
  std::vector<double> grouped;
  for (int i = -1; i < what_.repeats; ++i) {
    auto ok = measure("the experts", ours, [&](Queue& queue) { run_ours(queue); });
    if (!ok) return forward_error(ok);
    if (!grouped_.available()) continue;
    ok = measure("the experts through cuBLAS", grouped,
                 [&](Queue& queue) { grouped_.run(queue, work_.normed); });
    if (!ok) return forward_error(ok);
  }
  times.ours = summary(std::move(ours));
  if (grouped_.available()) times.grouped = summary(std::move(grouped));
  return times;
}

Status check_case(const ExpertCase& what) {
  const bool layer = what.experts >= 1 && what.experts <= kMaxExperts && what.top_k >= 1 &&
                     what.top_k <= what.experts && what.hidden >= 8 && what.hidden % 8 == 0 &&
                     what.inner >= 8 && what.inner % 8 == 0;
  if (!layer || what.tokens < 1 || what.repeats < 1 || what.rounds < 1)
    return fail(ErrorCode::invalid_argument, "nothing to measure the experts with");
  return {};
}

}  // namespace

Result<ExpertTimes> measure_experts(int index, const ExpertCase& what) {
  if (auto ok = check_case(what); !ok) return forward_error(ok);
  auto device = describe_device(index);
  if (!device) return forward_error(device);
  auto limits = open_device(index);
  if (!limits) return forward_error(limits);
  ExpertBench bench(what);
  if (auto ok = bench.create(*limits); !ok) return forward_error(ok);
  return bench.run();
}

}  // namespace expertscope::cuda
