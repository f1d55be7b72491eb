// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/cuda/step/capture_buffer.h"

#include <algorithm>
#include <cstring>

namespace expertscope::cuda {
namespace {

/// fn(array of the block, member of a DeviceCapture, its row of the table) for every array a kernel fills.
template <class Block, class Fn>
void for_each_array(Block& block, DeviceCapture& capture, Fn&& fn) {
  for_each_column(
      [&](const ProbeColumn& column, auto& values, auto& pointer) {
        if (column.granularity != Granularity::token) fn(values, pointer, column.granularity);
      },
      block, capture);
}
template <class Block, class Fn>
void for_each_array(Block& block, Fn&& fn) {
  DeviceCapture nowhere;
  for_each_array(block, nowhere,
                 [&](auto& values, auto&, Granularity granularity) { fn(values, granularity); });
}

template <class Values>
std::size_t array_bytes(const Values& values) {
  return values.size() * sizeof(typename Values::value_type);
}

std::size_t aligned(std::size_t bytes) {
  return (bytes + 15) / 16 * 16;
}

constexpr const char* kWhat = "copying what the probes saw";

}  // namespace

std::size_t CaptureBuffer::bytes(const CaptureBlock& block) {
  std::size_t sum = 0;
  for_each_array(block, [&](const auto& values, Granularity) { sum += aligned(array_bytes(values)); });
  return sum;
}

Status CaptureBuffer::create() {
  return stream_.create();
}

Result<DeviceCapture> CaptureBuffer::begin(const CaptureBlock& block) {
  used_ = bytes(block);
  used_pieces_ = 0;
  all_at_once_ = false;
  block_ = &block;
  if (used_ > std::min(device_.size(), host_.size())) {  // one of them may have failed last time
    if (auto ok = device_.allocate(used_, "the capture buffer"); !ok) return forward_error(ok);
    if (auto ok = host_.allocate(used_, "the capture buffer"); !ok) return forward_error(ok);
  }
  DeviceCapture capture;
  std::size_t offset = 0;
  capture.experts = block.experts;
  for_each_array(block, capture, [&]<class T>(const auto& values, T*& pointer, Granularity) {
    if (!values.empty()) pointer = reinterpret_cast<T*>(device_.data() + offset);
    offset += aligned(array_bytes(values));
  });
  return capture;
}

CaptureBuffer::Slice CaptureBuffer::slice_of(const CaptureBlock& block, const Piece& piece,
                                             Granularity granularity, std::size_t array_bytes) const {
  const int all = block.groups(granularity);
  if (all == 0) return {};
  const std::size_t layer = array_bytes / static_cast<std::size_t>(all);
  const int* range = granularity == Granularity::layer ? piece.layers : piece.moe_layers;
  return {static_cast<std::size_t>(range[0]) * layer, static_cast<std::size_t>(range[1] - range[0]) * layer};
}

Result<CaptureBuffer::Piece*> CaptureBuffer::next_piece() {
  if (used_pieces_ == pieces_.size()) {
    Piece piece;
    if (auto ok = piece.ready.create(); !ok) return forward_error(ok);
    if (auto ok = piece.sent.create(); !ok) return forward_error(ok);
    pieces_.push_back(std::move(piece));
  }
  Piece& piece = pieces_[used_pieces_];
  const Piece* before = used_pieces_ == 0 ? nullptr : &pieces_[used_pieces_ - 1];
  piece.layers[0] = before != nullptr ? before->layers[1] : 0;
  piece.moe_layers[0] = before != nullptr ? before->moe_layers[1] : 0;
  ++used_pieces_;
  return &piece;
}

Status CaptureBuffer::send(cudaStream_t compute, int layers, int moe_layers) {
  const auto next = next_piece();
  if (!next) return forward_error(next);
  Piece& piece = **next;
  piece.layers[1] = layers;
  piece.moe_layers[1] = moe_layers;
  if (auto ok = check(cudaEventRecord(piece.ready.get(), compute), kWhat); !ok) return ok;
  if (auto ok = check(cudaStreamWaitEvent(stream_.get(), piece.ready.get(), 0), kWhat); !ok) return ok;
  cudaError_t code = cudaSuccess;
  const auto copy = [&](std::size_t offset, std::size_t count) {
    if (code == cudaSuccess && count > 0)
      code = cudaMemcpyAsync(host_.data() + offset, device_.data() + offset, count, cudaMemcpyDeviceToHost,
                             stream_.get());
  };
  std::size_t offset = 0;
  for_each_array(*block_, [&](const auto& values, Granularity granularity) {
    const Slice slice = slice_of(*block_, piece, granularity, array_bytes(values));
    copy(offset + slice.offset, slice.bytes);
    offset += aligned(array_bytes(values));
  });
  if (auto ok = check(code, kWhat); !ok) return ok;
  return check(cudaEventRecord(piece.sent.get(), stream_.get()), kWhat);
}

void CaptureBuffer::send_all(Queue& queue) {
  queue.enter(kWhat);
  queue.copy(host_.data(), device_.data(), used_, cudaMemcpyDeviceToHost);
  all_at_once_ = true;
}

void CaptureBuffer::take(const Piece& piece, CaptureBlock& block) const {
  std::size_t offset = 0;
  for_each_array(block, [&](auto& values, Granularity granularity) {
    const Slice slice = slice_of(block, piece, granularity, array_bytes(values));
    if (slice.bytes > 0)
      std::memcpy(reinterpret_cast<std::uint8_t*>(values.data()) + slice.offset,
                  host_.data() + offset + slice.offset, slice.bytes);
    offset += aligned(array_bytes(values));
  });
}

Status CaptureBuffer::receive(CaptureBlock& block) {
  if (all_at_once_) {
    Piece everything;
    everything.layers[1] = block.layers;
    everything.moe_layers[1] = block.moe_layers;
    take(everything, block);
    return {};
  }
  for (std::size_t i = 0; i < used_pieces_; ++i) {
    if (auto ok = check(cudaEventSynchronize(pieces_[i].sent.get()), kWhat); !ok) return ok;
    take(pieces_[i], block);
  }
  return {};
}

void CaptureBuffer::drain() const {
  if (stream_.get() != nullptr) cudaStreamSynchronize(stream_.get());
}

}  // namespace expertscope::cuda
