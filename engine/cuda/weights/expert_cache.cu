// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/cuda/weights/expert_cache.h"

#include "engine/cuda/kernels/expert_cache.cuh"
#include "engine/cuda/step/workspace.h"

namespace expertscope::cuda {
namespace {

constexpr std::int64_t kCounters = 3;

/// Numbers that all layers count.
CheckedSize counters_of(const ModelConfig& config) {
  return CheckedSize(config.num_moe_layers()) * CheckedSize(kCounters);
}

/// The arrays of one layer's cache.
void place(Arena& arena, const PlacedExperts& placed, int slots, DeviceExpertCache& cache) {
  const CheckedSize experts(placed.experts);
  cache.slots = arena.take<std::uint8_t>(CheckedSize(slots) *
                                         CheckedSize(static_cast<std::int64_t>(placed.expert_bytes)));
  cache.slot_of_expert = arena.take<std::int32_t>(experts);
  cache.expert_of_slot = arena.take<std::int32_t>(CheckedSize(slots));
  cache.last_use = arena.take<std::uint32_t>(CheckedSize(slots));
  cache.clock = arena.take<std::uint32_t>(CheckedSize(1));
  cache.fetch = arena.take<std::int32_t>(experts * CheckedSize(2));
  cache.fetches = arena.take<std::int32_t>(CheckedSize(1));
}

/// Nothing is there: every slot is empty and free, every expert on the host.
Status clear(const DeviceExpertCache& cache, cudaStream_t stream) {
  const auto experts = static_cast<std::size_t>(cache.experts) * sizeof(std::int32_t);
  const auto slots = static_cast<std::size_t>(cache.slot_count) * sizeof(std::int32_t);
  const char* what = "preparing the expert cache";
  if (auto ok = check(cudaMemsetAsync(cache.slot_of_expert, 0xff, experts, stream), what); !ok) return ok;
  if (auto ok = check(cudaMemsetAsync(cache.expert_of_slot, 0xff, slots, stream), what); !ok) return ok;
  if (auto ok = check(cudaMemsetAsync(cache.last_use, 0, slots, stream), what); !ok) return ok;
  return check(cudaMemsetAsync(cache.clock, 0, sizeof(std::uint32_t), stream), what);
}

}  // namespace

std::size_t ExpertCache::bytes(const WeightLayout& layout, const ModelConfig& config, int slots) {
  Arena arena(nullptr);
  arena.take<long long>(counters_of(config));
  for (int n = 0; n < config.num_layers(); ++n) {
    DeviceExpertCache cache;
    if (config.is_moe(n)) place(arena, layout.layers()[static_cast<std::size_t>(n)].experts, slots, cache);
  }
  return arena.used().value();
}

Status ExpertCache::create(const WeightLayout& layout, const ModelConfig& config,
                           const DeviceWeights& weights, int slots, cudaStream_t stream) {
  if (auto ok = memory_.allocate(bytes(layout, config, slots), "the expert cache"); !ok) return ok;
  if (auto ok = host_counters_.allocate(counters_of(config).value(), "the expert cache"); !ok) return ok;
  Arena arena(memory_.data());
  counters_ = arena.take<long long>(counters_of(config));
  slot_count_ = slots;
  for (int n = 0; n < config.num_layers(); ++n) {
    const PlacedExperts& placed = layout.layers()[static_cast<std::size_t>(n)].experts;
    DeviceExpertCache& cache = layers_.emplace_back();
    if (!config.is_moe(n)) continue;
    place(arena, placed, slots, cache);
    cache.gate_up = weights.gate_up_table(n);
    cache.down = weights.down_table(n);
    cache.host = weights.host_experts(n);
    cache.counters = counters_ + static_cast<std::ptrdiff_t>(moe_layers_.size()) * kCounters;
    cache.expert_bytes = placed.expert_bytes;
    cache.down_offset = placed.down_offset;
    cache.experts = placed.experts;
    cache.slot_count = slots;
    moe_layers_.push_back(n);
    if (auto ok = clear(cache, stream); !ok) return ok;
  }
  return {};
}

void ExpertCache::fetch(Queue& queue, int layer, const DeviceStep* step, const DeviceRouting* routing,
                        DeviceSlots slots, int first_token, int last_token) {
  if (!active()) return;
  const DeviceExpertCache& cache = layers_[static_cast<std::size_t>(layer)];
  queue.launch(&choose_experts, {dim3(1), kRowThreads, 0}, step, routing, slots, cache, first_token,
               last_token);
  constexpr unsigned kPieces = 32;
  constexpr unsigned kExpertsAtOnce = 8;
  queue.launch(&copy_experts, {dim3(kPieces, kExpertsAtOnce), kCopyThreads, 0}, cache);
}

void ExpertCache::begin_step(Queue& queue) {
  if (active()) queue.clear(counters_, host_counters_.bytes());
}

void ExpertCache::end_step(Queue& queue) {
  if (active()) queue.copy(host_counters_.data(), counters_, host_counters_.bytes(), cudaMemcpyDeviceToHost);
}

void ExpertCache::report(CaptureBlock& block) const {
  block.cache_hits.clear();
  block.cache_misses.clear();
  block.cache_bytes.clear();
  if (!active()) return;
  for (std::size_t i = 0; i < moe_layers_.size(); ++i) {
    block.cache_hits.push_back(host_counters_[i * kCounters]);
    block.cache_misses.push_back(host_counters_[i * kCounters + 1]);
    block.cache_bytes.push_back(host_counters_[i * kCounters + 2]);
  }
}

}  // namespace expertscope::cuda
