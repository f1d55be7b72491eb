// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/cpu/kv_cache.h"

namespace expertscope::cpu {
namespace {

/// Keys, and values where they are not a part of them.
std::int64_t planes(const AttentionSpec& attention) {
  return attention.has_latent() ? 1 : 2;
}

}  // namespace

CheckedSize KvCache::bytes(const ModelConfig& config, const BackendOptions& options) {
  const auto element = static_cast<std::int64_t>(element_bytes(options.math == MathMode::bf16));
  CheckedSize width(0);  // of a position in all layers
  for (const LayerSpec& layer : config.layers)
    width = width + CheckedSize(planes(layer.attention) * element) * CheckedSize(layer.attention.kv_heads) *
                        CheckedSize(layer.attention.head_dim);
  return CheckedSize(options.max_sequences) * CheckedSize(options.max_context) * width;
}

bool KvCache::allocate(const ModelConfig& config, const BackendOptions& options) {
  bf16_ = options.math == MathMode::bf16;
  positions_ = options.max_context;
  layers_.clear();
  width_ = 0;
  for (const LayerSpec& layer : config.layers) {
    const AttentionSpec& attention = layer.attention;
    layers_.push_back({width_, attention.kv_heads, attention.head_dim,
                       attention.has_latent() ? attention.rotary.width : 0});
    width_ += planes(attention) * std::int64_t{attention.key_width()};
  }
  return memory_.allocate(bytes(config, options).value());
}

}  // namespace expertscope::cpu
