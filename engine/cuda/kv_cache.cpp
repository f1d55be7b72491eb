// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/cuda/kv_cache.h"

namespace expertscope::cuda {

CheckedSize KvCache::bytes(const ModelConfig& config, const BackendOptions& options) {
  const std::int64_t element = options.math == MathMode::bf16 ? 2 : 4;
  return CheckedSize(options.max_sequences) * CheckedSize(config.num_hidden_layers) *
         CheckedSize(2 * element) * CheckedSize(config.num_key_value_heads) *
         CheckedSize(options.max_context) * CheckedSize(padded(config.head_dim));
}

Status KvCache::allocate(const ModelConfig& config, const BackendOptions& options) {
  if (auto ok = memory_.allocate(bytes(config, options).value(), "the KV cache"); !ok) return ok;
  view_ = {memory_.data(), config.num_hidden_layers, config.num_key_value_heads, options.max_context,
           padded(config.head_dim)};
  return {};
}

}  // namespace expertscope::cuda
