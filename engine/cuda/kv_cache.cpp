// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/cuda/kv_cache.h"

#include <algorithm>

namespace expertscope::cuda {
namespace {

/// Of the layer that keeps most; all get as much.
int planes(const ModelConfig& config) {
  return std::any_of(config.layers.begin(), config.layers.end(),
                     [](const LayerSpec& layer) { return !layer.attention.has_latent(); })
             ? 2
             : 1;
}

}  // namespace

CheckedSize KvCache::bytes(const ModelConfig& config, const BackendOptions& options) {
  const std::int64_t element = options.math == MathMode::bf16 ? 2 : 4;
  return CheckedSize(options.max_sequences) * CheckedSize(config.num_layers()) *
         CheckedSize(planes(config) * element) * CheckedSize(config.widest().kv_heads) *
         CheckedSize(options.max_context) * CheckedSize(padded(config.widest().head_dim));
}

Status KvCache::allocate(const ModelConfig& config, const BackendOptions& options) {
  if (auto ok = memory_.allocate(bytes(config, options).value(), "the KV cache"); !ok) return ok;
  view_ = {memory_.data(),
           config.num_layers(),
           config.widest().kv_heads,
           options.max_context,
           padded(config.widest().head_dim),
           planes(config)};
  return {};
}

}  // namespace expertscope::cuda
