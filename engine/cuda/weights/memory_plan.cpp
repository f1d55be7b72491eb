// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/cuda/weights/memory_plan.h"

#include <algorithm>

#include "engine/backend/memory.h"
#include "engine/cuda/kv_cache.h"
#include "engine/cuda/products.h"
#include "engine/cuda/rope_table.h"
#include "engine/cuda/step/routing_tables.h"
#include "engine/cuda/step/step_input.h"
#include "engine/cuda/step/workspace.h"
#include "engine/cuda/weights/device_weights.h"
#include "engine/cuda/weights/expert_cache.h"

namespace expertscope::cuda {
namespace {

/// Bytes of a capture block with the standard probes.
CheckedSize capture_bytes(const ModelConfig& config, const BackendOptions& options) {
  constexpr std::int64_t kSlot =
      2 + 4 + 4 + 4 + 4 + 4;                  // expert, probability, weight, norm, maximum, channel
  constexpr std::int64_t kLayer = 4 + 4 + 4;  // maximum, channel, attention
  const CheckedSize slots = CheckedSize(config.num_moe_layers()) * CheckedSize(std::max(1, config.top_k()));
  const CheckedSize token = slots * CheckedSize(kSlot) +
                            CheckedSize(config.num_moe_layers() * std::int64_t{4}) +
                            CheckedSize(config.num_layers() * kLayer);
  return CheckedSize(options.max_batch) * token;
}

Error too_large(const MemoryPlan& plan, std::int64_t wanted, const BackendOptions& options) {
  const auto text = [](std::int64_t bytes) { return format_bytes(static_cast<std::size_t>(bytes)); };
  return {ErrorCode::out_of_memory,
          fmt::format("{} of GPU memory are needed ({} of weights, {} of KV cache for {} x {} tokens, {} to "
                      "compute in), {} are free; a shorter context or a smaller batch needs less",
                      text(wanted), text(plan.weights), text(plan.kv_cache), options.max_sequences,
                      options.max_context, text(plan.workspace + plan.capture), text(plan.available))};
}

/// Experts on the host: how many of a layer find room beside the rest.
Status plan_cache(const WeightLayout& layout, const ModelConfig& config, const BackendOptions& options,
                  std::int64_t room, MemoryPlan& plan) {
  const auto one = static_cast<std::int64_t>(ExpertCache::bytes(layout, config, 1));
  const std::int64_t each = static_cast<std::int64_t>(ExpertCache::bytes(layout, config, 2)) - one;
  if (room < one) return tl::unexpected<Error>(too_large(plan, plan.device_total() + one, options));
  const std::int64_t slots =
      std::min<std::int64_t>(1 + (room - one) / std::max<std::int64_t>(each, 1), config.num_experts());
  plan.resident_experts = static_cast<int>(slots);
  plan.expert_cache = static_cast<std::int64_t>(ExpertCache::bytes(layout, config, plan.resident_experts));
  plan.host_weights = static_cast<std::int64_t>(layout.expert_bytes());
  const auto host = available_memory();
  if (!host || layout.expert_bytes() <= *host) return {};
  return fail(ErrorCode::out_of_memory,
              "the experts take {} and do not fit on the GPU ({} free); in host memory {} are free",
              format_bytes(layout.expert_bytes()), format_bytes(static_cast<std::size_t>(plan.available)),
              format_bytes(*host));
}

std::int64_t room_in(const MemoryPlan& plan) {
  return plan.available - kReservedBytes - plan.device_total();
}

}  // namespace

std::int64_t signed_bytes(const CheckedSize& size) {
  return static_cast<std::int64_t>(std::min<std::size_t>(size.value(), INT64_MAX / 8));
}

void add_common(const ModelConfig& config, const BackendOptions& options, std::int64_t free,
                MemoryPlan& plan) {
  plan.available = options.device_memory > 0 ? std::min(options.device_memory, free) : free;
  plan.kv_cache = signed_bytes(KvCache::bytes(config, options));
  plan.workspace +=
      signed_bytes(RopeTables::floats(config, options.max_context) * CheckedSize(sizeof(float))) +
      static_cast<std::int64_t>(RoutingTables::bytes(config) + StepInput::bytes(options));
  plan.capture = signed_bytes(capture_bytes(config, options));
  plan.staging += plan.capture;
  plan.resident_experts = config.num_experts();
}

Status check_fits(const MemoryPlan& plan, const BackendOptions& options) {
  if (room_in(plan) >= 0) return {};
  return tl::unexpected<Error>(too_large(plan, plan.device_total() + kReservedBytes, options));
}

std::function<void(double)> loading_progress(const BackendInfo& info, const OpenProgress& progress) {
  return [progress, what = fmt::format("loading to {}: {}", info.device.name,
                                       describe(info.memory, info.kind))](double part) {
    if (progress) progress(what, part);
  };
}

Result<MemoryPlan> plan(const WeightLayout& layout, const ModelConfig& config, const BackendOptions& options,
                        const DeviceLimits& limits, std::int64_t free) {
  MemoryPlan plan;
  plan.weights = static_cast<std::int64_t>(layout.shared_bytes() + DeviceWeights::table_bytes(layout));
  plan.workspace = signed_bytes(Workspace::bytes(config, options, limits.multiprocessors)) +
                   static_cast<std::int64_t>(Products::bytes(options.math));
  plan.staging = static_cast<std::int64_t>(2 * staging_bytes(layout));
  add_common(config, options, free, plan);
  if (auto ok = check_fits(plan, options); !ok) return forward_error(ok);
  const std::int64_t room = room_in(plan);
  if (room >= static_cast<std::int64_t>(layout.expert_bytes())) {
    plan.weights += static_cast<std::int64_t>(layout.expert_bytes());
    return plan;
  }
  if (auto ok = plan_cache(layout, config, options, room, plan); !ok) return forward_error(ok);
  return plan;
}

}  // namespace expertscope::cuda
