// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/backend/routing_table.h"
#include "engine/cuda/runtime/memory.h"
#include "engine/cuda/runtime/queue.h"
#include "engine/cuda/step/device_step.h"
#include "engine/model/config.h"

namespace expertscope::cuda {

/// The routing table in force, on the device at addresses that never change: an edit is a copy between two
/// steps, and no graph has to be recorded again.
class RoutingTables {
 public:
  static std::size_t bytes(const ModelConfig& config);
  Status allocate(const ModelConfig& config);
  /// The layer's weights on the device, or null; before the first upload.
  void set_weights(int layer, const float* correction_bias, const float* expert_scale) {
    weights_[static_cast<std::size_t>(layer)] = {correction_bias, expert_scale};
  }

  /// Queues the copy when `table` is another one than last time. The caller waits for the queue before it
  /// uploads again.
  void upload(const std::shared_ptr<const RoutingTable>& table, Queue& queue);

  /// Of a layer; a dense layer's routing always takes its only expert with weight 1.
  const DeviceRouting* layer(int index) const {
    return reinterpret_cast<const DeviceRouting*>(device_.data()) + index;
  }
  /// That of a dense layer: for an expert that every token takes.
  const DeviceRouting* dense() const { return layer(layers_); }

 private:
  void fill(const RoutingTable& table);
  void fill_layer(const LayerRouting& layer, std::size_t offset, DeviceRouting& device);

  int layers_ = 0;
  std::vector<std::uint8_t> is_moe_;
  struct RouterWeights {
    const float* correction_bias = nullptr;
    const float* expert_scale = nullptr;
  };
  std::vector<RouterWeights> weights_;  ///< of layers
  std::size_t experts_ = 0;
  std::size_t layer_bytes_ = 0;  ///< of the arrays of one layer
  DeviceBuffer<std::uint8_t> device_;
  PinnedBuffer<std::uint8_t> host_;
  std::shared_ptr<const RoutingTable> current_;
};

}  // namespace expertscope::cuda
