// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <functional>
#include <stop_token>
#include <vector>

#include "engine/cuda/runtime/memory.h"
#include "engine/cuda/weights/weight_layout.h"

namespace expertscope::cuda {

/// Writes `rows` rows of a copy, from row `first` on, behind each other into `to`.
void convert_rows(const WeightCopy& copy, std::int64_t first, std::int64_t rows, std::uint8_t* to);

/// Copies weights to the device through two page-locked buffers: while one is on its way, the other is filled
/// from the mapped file.
class WeightStream {
 public:
  /// `done(bytes)` is called after every piece; a request to stop ends the transfer with
  /// ErrorCode::cancelled.
  WeightStream(cudaStream_t stream, std::function<void(std::size_t)> done, const std::stop_token& stop)
      : stream_(stream), done_(std::move(done)), stop_(stop) {}
  /// Waits: the device may still read the buffers.
  ~WeightStream() { cudaStreamSynchronize(stream_); }
  WeightStream(const WeightStream&) = delete;
  WeightStream& operator=(const WeightStream&) = delete;

  Status create(std::size_t buffer_bytes);
  Status run(const std::vector<WeightCopy>& copies, std::uint8_t* device);
  /// Waits until the last piece is there.
  Status finish();

 private:
  Status send(const WeightCopy& copy, std::uint8_t* device);

  struct Buffer {
    PinnedBuffer<std::uint8_t> memory;
    Event sent;
    bool in_flight = false;
  };
  cudaStream_t stream_;
  std::function<void(std::size_t)> done_;
  std::stop_token stop_;
  Buffer buffers_[2];
  int current_ = 0;
};

}  // namespace expertscope::cuda
