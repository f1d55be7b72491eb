// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/cuda/can_run.h"

#include <algorithm>

#include "engine/backend/features.h"
#include "engine/backend/sizes.h"

namespace expertscope::cuda {
namespace {

constexpr std::size_t kOtherShared = 4096;  // of a kernel, beside the rows it keeps
constexpr int kMostGroup = 128;  // query heads of a group: their scores lie in the shared memory of a block

}  // namespace

Status can_run(const ModelConfig& config, const DeviceLimits& limits) {
  if (auto ok = check_features(config, "the tuned path of CUDA"); !ok) return ok;
  const auto refuse = [](const char* field, int value, const std::string& reason) -> Status {
    return fail(ErrorCode::unsupported, "{} = {}: {}", field, value, reason);
  };
  const WidestLayer most = config.widest();
  if (most.head_dim > kMaxHeadDim || most.head_dim % 2 != 0)
    return refuse("head_dim", most.head_dim,
                  fmt::format("the tuned path of CUDA takes even head sizes up to {}", kMaxHeadDim));
  if (most.experts > kMaxExperts)
    return refuse("num_experts", most.experts,
                  fmt::format("the tuned path of CUDA takes up to {} experts per layer", kMaxExperts));
  for (const LayerSpec& layer : config.layers) {
    const AttentionSpec& attention = layer.attention;
    const int group = attention.group();
    if (group > kMostGroup || decode_heads(group, padded(attention.head_dim)) > kMostDecodeHeads)
      return refuse(
          "num_attention_heads", attention.heads,
          fmt::format("{} query heads of {} share one key/value head, more than the tuned path of CUDA takes",
                      group, attention.head_dim));
  }
  // Experts are combined in a row that a block keeps in shared memory.
  if (static_cast<std::size_t>(config.hidden_size) * sizeof(float) + kOtherShared > limits.shared_bytes)
    return refuse(
        "hidden_size", config.hidden_size,
        fmt::format("the tuned path of CUDA needs a row of it in the {} of shared memory of this GPU",
                    format_bytes(limits.shared_bytes)));
  return {};
}

int most_fused_tokens(const WeightLayout& layout, const ModelConfig& config, MathMode math,
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

}  // namespace expertscope::cuda
