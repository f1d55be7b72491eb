// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>

#include "engine/backend/capture.h"
#include "engine/cuda/runtime/memory.h"
#include "engine/cuda/runtime/queue.h"
#include "engine/cuda/step/device_step.h"
#include "engine/cuda/weights/device_weights.h"
#include "engine/cuda/weights/weight_layout.h"
#include "engine/model/config.h"

namespace expertscope::cuda {

/// What kernels know of a layer's cache. S: slots.
struct DeviceExpertCache {
  const void** gate_up = nullptr;          ///< [experts] the tables the expert kernels read
  const void** down = nullptr;             ///< [experts]
  const std::uint8_t* host = nullptr;      ///< first expert in page-locked memory, as the device sees it
  std::uint8_t* slots = nullptr;           ///< [S, expert_bytes]
  std::int32_t* slot_of_expert = nullptr;  ///< [experts] -1: on the host
  std::int32_t* expert_of_slot = nullptr;  ///< [S] -1: empty
  std::uint32_t* last_use = nullptr;       ///< [S] step in which the slot was read last
  std::uint32_t* clock = nullptr;          ///< [1] steps so far
  std::int32_t* fetch = nullptr;           ///< [2 * experts] (expert, slot) pairs to copy now
  std::int32_t* fetches = nullptr;         ///< [1] how many
  long long* counters = nullptr;           ///< [3] hits, misses, bytes of this step
  std::size_t expert_bytes = 0;
  std::size_t down_offset = 0;
  int experts = 0;
  int slot_count = 0;
};

/// Experts of a model that is larger than the card: all of them lie in page-locked host memory, and every MoE
/// layer keeps some on the device. Which ones is decided on the device, after the router, by kernels that any
/// graph can hold: the least recently used make room for what was selected, and what finds no room is read
/// where it is. The host never waits for a router.
class ExpertCache {
 public:
  /// Nothing to do: all experts are on the device.
  ExpertCache() = default;
  static std::size_t bytes(const WeightLayout& layout, const ModelConfig& config, int slots);
  Status create(const WeightLayout& layout, const ModelConfig& config, const DeviceWeights& weights,
                int slots, cudaStream_t stream);

  bool active() const { return slot_count_ > 0; }
  /// Brings the experts that the routed slots of tokens first .. last - 1 need; call it after the router.
  void fetch(Queue& queue, int layer, const DeviceStep* step, const DeviceRouting* routing, DeviceSlots slots,
             int first_token, int last_token);
  /// Counters start anew.
  void begin_step(Queue& queue);
  /// Queues the copy of the counters to the host.
  void end_step(Queue& queue);
  /// After the queue was waited for: fills cache_* of a block.
  void report(CaptureBlock& block) const;

 private:
  DeviceBuffer<std::uint8_t> memory_;
  long long* counters_ = nullptr;  ///< [MoE layers][3] in memory_
  PinnedBuffer<long long> host_counters_;
  std::vector<DeviceExpertCache> layers_;  ///< [decoder layers]; dense ones have no slots
  std::vector<int> moe_layers_;
  int slot_count_ = 0;
};

}  // namespace expertscope::cuda
