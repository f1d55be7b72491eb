// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <vector>

#include "engine/backend/backend.h"
#include "engine/cuda/runtime/memory.h"
#include "engine/cuda/runtime/queue.h"
#include "engine/cuda/step/device_step.h"

namespace expertscope::cuda {

/// A step's input on the device, at addresses that never change: DeviceStep and the arrays it points to, in
/// one copy.
class StepInput {
 public:
  static std::size_t bytes(const BackendOptions& options);
  /// `layer_begun` becomes DeviceStep::layer_begun of every step.
  Status allocate(const BackendOptions& options, std::int32_t* layer_begun);

  /// Fills everything from a batch that was checked, and queues the copy. `tile` is the number of query
  /// tokens of an attention tile.
  void upload(const Batch& batch, int slots, const DeviceCapture& capture, int tile, Queue& queue);

  const DeviceStep* device() const { return reinterpret_cast<const DeviceStep*>(device_.data()); }
  const DeviceStep& host() const { return *reinterpret_cast<const DeviceStep*>(host_.data()); }
  const QueryTile* query_tiles() const {
    return reinterpret_cast<const QueryTile*>(device_.data() + tiles_at_);
  }
  int query_tile_count() const { return query_tile_count_; }
  int host_output_row(int index) const { return host_ints(3)[index]; }
  const std::int32_t* targets() const { return ints(4); }  ///< [output_rows] for LogitsWanted::log_probs

 private:
  const std::int32_t* ints(int which) const {
    return reinterpret_cast<const std::int32_t*>(device_.data() + sizeof(DeviceStep)) +
           static_cast<std::size_t>(which) * static_cast<std::size_t>(tokens_);
  }
  std::int32_t* host_ints(int which) const {
    return reinterpret_cast<std::int32_t*>(host_.data() + sizeof(DeviceStep)) +
           static_cast<std::size_t>(which) * static_cast<std::size_t>(tokens_);
  }
  void fill_tokens(const Batch& batch, int tile);
  int fill_output_rows(const Batch& batch);

  std::int32_t* layer_begun_ = nullptr;
  int tokens_ = 0;  ///< of the step: a small one is a small copy
  std::size_t tiles_at_ = 0;
  int query_tile_count_ = 0;
  DeviceBuffer<std::uint8_t> device_;
  PinnedBuffer<std::uint8_t> host_;
};

}  // namespace expertscope::cuda
