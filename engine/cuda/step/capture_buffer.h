// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>

#include "engine/backend/capture.h"
#include "engine/cuda/runtime/memory.h"
#include "engine/cuda/step/device_step.h"

namespace expertscope::cuda {

/// What a step's probes say, on its way from the device to a CaptureBlock. Finished layers travel on a stream
/// of their own while the next ones are computed, and the host copies them into the block meanwhile: only the
/// last piece is waited for.
class CaptureBuffer {
 public:
  /// Bytes for a block that was prepared (CaptureBlock::prepare).
  static std::size_t bytes(const CaptureBlock& block);

  Status create();
  /// Makes room for the block and tells where its probes write. Null pointers for the probes that are off.
  Result<DeviceCapture> begin(const CaptureBlock& block);
  /// Decoder layers before `layers`, MoE layers before `moe_layers` are finished once `compute` is done with
  /// what it has: queues the copy of those that were not sent yet.
  Status send(cudaStream_t compute, int layers, int moe_layers);
  /// Queues the copy of the whole block behind what `queue` has: for a step with nothing to compute
  /// meanwhile.
  void send_all(Queue& queue);
  /// Fills the block: waits for the pieces of send() one after another, and for nothing after send_all(),
  /// whose queue was waited for.
  Status receive(CaptureBlock& block);
  /// Waits for everything on its way.
  void drain() const;

 private:
  /// Layers that travel together.
  struct Piece {
    int layers[2] = {0, 0};  ///< first, end
    int moe_layers[2] = {0, 0};
    Event ready;  ///< in the compute stream
    Event sent;   ///< in stream_
  };
  /// Bytes of the block's layers that a piece holds.
  struct Slice {
    std::size_t offset = 0;
    std::size_t bytes = 0;
  };
  Slice slice_of(const CaptureBlock& block, const Piece& piece, Granularity granularity,
                 std::size_t array_bytes) const;
  Result<Piece*> next_piece();
  void take(const Piece& piece, CaptureBlock& block) const;

  Stream stream_;
  std::deque<Piece> pieces_;  ///< events are kept from step to step
  std::size_t used_pieces_ = 0;
  bool all_at_once_ = false;
  DeviceBuffer<std::uint8_t> device_;
  PinnedBuffer<std::uint8_t> host_;
  std::size_t used_ = 0;
  const CaptureBlock* block_ = nullptr;  ///< of the step in progress
};

}  // namespace expertscope::cuda
