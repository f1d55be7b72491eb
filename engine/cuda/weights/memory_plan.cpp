// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/cuda/weights/memory_plan.h"

#include <algorithm>

#include "engine/backend/features.h"
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

constexpr std::size_t kOtherShared = 4096;  // of a kernel, beside the rows it keeps
constexpr int kMostGroup = 128;  // query heads of a group: their scores lie in the shared memory of a block

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

std::int64_t signed_bytes(const CheckedSize& size) {
  return static_cast<std::int64_t>(std::min<std::size_t>(size.value(), INT64_MAX / 8));
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

}  // namespace

Status check_supported(const ModelConfig& config, const DeviceLimits& limits) {
  if (auto ok = check_features(config, "the CUDA backend"); !ok) return ok;
  const auto refuse = [](const char* field, int value, const std::string& reason) -> Status {
    return fail(ErrorCode::unsupported, "{} = {}: {}", field, value, reason);
  };
  const WidestLayer most = config.widest();
  if (most.head_dim > kMaxHeadDim || most.head_dim % 2 != 0)
    return refuse("head_dim", most.head_dim,
                  fmt::format("the CUDA kernels take even head sizes up to {}", kMaxHeadDim));
  if (most.experts > kMaxExperts)
    return refuse("num_experts", most.experts,
                  fmt::format("the CUDA kernels take up to {} experts per layer", kMaxExperts));
  for (const LayerSpec& layer : config.layers) {
    const AttentionSpec& attention = layer.attention;
    const int group = attention.group();
    if (group > kMostGroup || decode_heads(group, padded(attention.head_dim)) > kMostDecodeHeads)
      return refuse(
          "num_attention_heads", attention.heads,
          fmt::format("{} query heads of {} share one key/value head, more than the CUDA kernels take", group,
                      attention.head_dim));
  }
  // Experts are combined in a row that a block keeps in shared memory.
  if (static_cast<std::size_t>(config.hidden_size) * sizeof(float) + kOtherShared > limits.shared_bytes)
    return refuse("hidden_size", config.hidden_size,
                  fmt::format("a row of it does not fit into the {} of shared memory of this GPU",
                              format_bytes(limits.shared_bytes)));
  return {};
}

int most_few_tokens(const WeightLayout& layout, const ModelConfig& config, MathMode math,
                    const DeviceLimits& limits) {
  // Normed tokens are f32 in front of the router, attended ones what o_proj takes.
  std::size_t row = static_cast<std::size_t>(padded(config.hidden_size)) * sizeof(float);
  for (const PlacedLayer& layer : layout.layers()) {
    const bool rounds = math == MathMode::bf16 && layer.o_proj.type == DeviceType::bf16;
    row = std::max(row, static_cast<std::size_t>(padded(layer.o_proj.cols)) * (rounds ? 2 : sizeof(float)));
  }
  int tokens = kDecodeTokens;
  while (tokens > 0 && static_cast<std::size_t>(tokens) * row + kOtherShared > limits.shared_bytes)
    tokens /= 2;
  return tokens;
}

Result<MemoryPlan> plan(const WeightLayout& layout, const ModelConfig& config, const BackendOptions& options,
                        const DeviceLimits& limits, std::int64_t free) {
  MemoryPlan plan;
  plan.available = options.device_memory > 0 ? std::min(options.device_memory, free) : free;
  plan.weights = static_cast<std::int64_t>(layout.shared_bytes() + DeviceWeights::table_bytes(layout));
  plan.kv_cache = signed_bytes(KvCache::bytes(config, options));
  plan.workspace =
      signed_bytes(Workspace::bytes(config, options, limits.multiprocessors) +
                   RopeTables::floats(config, options.max_context) * CheckedSize(sizeof(float))) +
      static_cast<std::int64_t>(Products::bytes(options.math) + RoutingTables::bytes(config) +
                                StepInput::bytes(options));
  plan.capture = signed_bytes(capture_bytes(config, options));
  plan.staging = static_cast<std::int64_t>(2 * staging_bytes(layout)) + plan.capture;
  plan.resident_experts = config.num_experts();
  const std::int64_t room = plan.available - kReservedBytes - plan.device_total();
  if (room < 0) return tl::unexpected<Error>(too_large(plan, plan.device_total() + kReservedBytes, options));
  if (room >= static_cast<std::int64_t>(layout.expert_bytes())) {
    plan.weights += static_cast<std::int64_t>(layout.expert_bytes());
    return plan;
  }
  if (auto ok = plan_cache(layout, config, options, room, plan); !ok) return forward_error(ok);
  return plan;
}

}  // namespace expertscope::cuda
