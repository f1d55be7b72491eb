// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <vector>

#include "engine/backend/backend.h"
#include "engine/backend/memory.h"
#include "engine/model/config.h"

namespace expertscope::cpu {

/// Keys (after norm and rotation) and values of every position, f32 in f32 mode and bf16 in bf16 mode:
/// [sequence][layer][key or value][kv_head][position][head_dim], so that a head reads one stream. With a
/// latent there are keys only, which end in the values.
class KvCache {
 public:
  /// Bytes of the cache.
  static CheckedSize bytes(const ModelConfig& config, const BackendOptions& options);
  [[nodiscard]] bool allocate(const ModelConfig& config, const BackendOptions& options);

  /// Whether they are bf16, else f32.
  bool bf16() const { return bf16_; }
  void* key(int sequence, int layer, int head, std::int64_t position) {
    return at(sequence, layer, 0, head, position);
  }
  void* value(int sequence, int layer, int head, std::int64_t position) {
    const Layer& one = layers_[static_cast<std::size_t>(layer)];
    if (one.turning == 0) return at(sequence, layer, 1, head, position);
    auto* key = static_cast<std::uint8_t*>(at(sequence, layer, 0, head, position));
    return key + static_cast<std::size_t>(one.turning) * element_bytes(bf16_);
  }

 private:
  static constexpr std::size_t element_bytes(bool bf16) {
    return bf16 ? sizeof(std::uint16_t) : sizeof(float);
  }
  struct Layer {
    std::int64_t first;  ///< elements of a position in the layers before
    std::int64_t heads, head_dim;
    std::int64_t turning;  ///< of a latent's keys, before its values; else 0
  };
  void* at(int sequence, int index, int which, int head, std::int64_t position) {
    const Layer& layer = layers_[static_cast<std::size_t>(index)];
    const std::int64_t plane = layer.first + (which * layer.heads + head) * layer.head_dim;
    const std::int64_t element = (sequence * width_ + plane) * positions_ + position * layer.head_dim;
    return memory_.data() + static_cast<std::size_t>(element) * element_bytes(bf16_);
  }

  bool bf16_ = false;
  std::vector<Layer> layers_;
  std::int64_t width_ = 0;  ///< elements of a position in all layers
  std::int64_t positions_ = 0;
  Buffer<std::uint8_t> memory_;
};

}  // namespace expertscope::cpu
