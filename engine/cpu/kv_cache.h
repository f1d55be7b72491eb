// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>

#include "engine/backend/backend.h"
#include "engine/backend/memory.h"
#include "engine/dtype.h"
#include "engine/model/config.h"

namespace expertscope::cpu {

/// Keys (after norm and rotation) and values of every position, f32 in f32 mode and bf16 in bf16 mode:
/// [sequence][layer][key or value][kv_head][position][head_dim], so that a head reads one stream.
class KvCache {
 public:
  /// Bytes of the cache.
  static CheckedSize bytes(const ModelConfig& config, const BackendOptions& options);
  [[nodiscard]] bool allocate(const ModelConfig& config, const BackendOptions& options);

  DType type() const { return type_; }
  std::int64_t stride() const { return head_dim_; }  ///< elements from one position to the next
  void* key(int sequence, int layer, int head, std::int64_t position) {
    return at(sequence, layer, 0, head, position);
  }
  void* value(int sequence, int layer, int head, std::int64_t position) {
    return at(sequence, layer, 1, head, position);
  }

 private:
  void* at(int sequence, int layer, int which, int head, std::int64_t position) {
    const std::int64_t plane = ((std::int64_t{sequence} * layers_ + layer) * 2 + which) * heads_ + head;
    const std::int64_t element = (plane * positions_ + position) * head_dim_;
    return memory_.data() + static_cast<std::size_t>(element) * dtype_size(type_);
  }

  DType type_ = DType::f32;
  std::int64_t layers_ = 0, heads_ = 0, positions_ = 0, head_dim_ = 0;
  Buffer<std::uint8_t> memory_;
};

}  // namespace expertscope::cpu
