// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/cpu/kv_cache.h"

namespace expertscope::cpu {
namespace {

DType cache_type(const BackendOptions& options) {
  return options.math == MathMode::bf16 ? DType::bf16 : DType::f32;
}

}  // namespace

CheckedSize KvCache::bytes(const ModelConfig& config, const BackendOptions& options) {
  const auto element = static_cast<std::int64_t>(dtype_size(cache_type(options)));
  return CheckedSize(options.max_sequences) * CheckedSize(config.num_hidden_layers) *
         CheckedSize(2 * element) * CheckedSize(config.num_key_value_heads) *
         CheckedSize(options.max_context) * CheckedSize(config.head_dim);
}

bool KvCache::allocate(const ModelConfig& config, const BackendOptions& options) {
  type_ = cache_type(options);
  layers_ = config.num_hidden_layers;
  heads_ = config.num_key_value_heads;
  positions_ = options.max_context;
  head_dim_ = config.head_dim;
  return memory_.allocate(bytes(config, options).value());
}

}  // namespace expertscope::cpu
