// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/cuda/weights/weight_stream.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "engine/half.h"

namespace expertscope::cuda {

void convert_rows(const WeightCopy& copy, std::int64_t first, std::int64_t rows, std::uint8_t* to) {
  const Matrix& source = copy.source;
  const auto cols = static_cast<std::size_t>(source.cols);
  const std::size_t row_bytes = static_cast<std::size_t>(copy.stride) * device_bytes(copy.to);
  const std::size_t used = cols * device_bytes(copy.to);
  const bool stored = device_type(*source.format) == copy.to;
  std::vector<float> values(stored ? 0 : cols);
  for (std::int64_t r = first; r < first + rows; ++r, to += row_bytes) {
    std::memset(to + used, 0, row_bytes - used);
    if (stored) {
      std::memcpy(to, source.row(r), used);
      continue;
    }
    source.dequantise(r, 0, source.cols, values.data());
    if (copy.to == DeviceType::f32) {
      std::memcpy(to, values.data(), used);
      continue;
    }
    for (std::size_t i = 0; i < cols; ++i) {
      const std::uint16_t half = copy.to == DeviceType::bf16 ? f32_to_bf16(values[i]) : f32_to_f16(values[i]);
      std::memcpy(to + i * sizeof(half), &half, sizeof(half));
    }
  }
}

Status WeightStream::create(std::size_t buffer_bytes) {
  for (Buffer& buffer : buffers_) {
    if (auto ok = buffer.memory.allocate(buffer_bytes, "the transfer of weights"); !ok) return ok;
    if (auto ok = buffer.sent.create(); !ok) return ok;
  }
  return {};
}

Status WeightStream::send(const WeightCopy& copy, std::uint8_t* device) {
  const std::size_t row_bytes = static_cast<std::size_t>(copy.stride) * device_bytes(copy.to);
  const auto together = static_cast<std::int64_t>(buffers_[0].memory.bytes() / row_bytes);
  if (together == 0)
    return fail(ErrorCode::unsupported, "a row of weights takes {}, more than the transfer buffer holds",
                format_bytes(row_bytes));
  for (std::int64_t first = 0; first < copy.source.rows; first += together) {
    if (stop_.stop_requested()) return fail(ErrorCode::cancelled, "stopped while weights were loading");
    const std::int64_t rows = std::min(together, copy.source.rows - first);
    Buffer& buffer = buffers_[current_];
    if (buffer.in_flight) {
      if (auto ok = check(cudaEventSynchronize(buffer.sent.get()), "loading weights"); !ok) return ok;
    }
    convert_rows(copy, first, rows, buffer.memory.data());
    const std::size_t bytes = static_cast<std::size_t>(rows) * row_bytes;
    std::uint8_t* to = device + copy.offset + static_cast<std::size_t>(first) * row_bytes;
    const cudaError_t code =
        cudaMemcpyAsync(to, buffer.memory.data(), bytes, cudaMemcpyHostToDevice, stream_);
    if (auto ok = check(code, "loading weights"); !ok) return ok;
    if (auto ok = check(cudaEventRecord(buffer.sent.get(), stream_), "loading weights"); !ok) return ok;
    buffer.in_flight = true;
    current_ = 1 - current_;
    if (done_) done_(bytes);
  }
  return {};
}

Status WeightStream::run(const std::vector<WeightCopy>& copies, std::uint8_t* device) {
  for (const WeightCopy& copy : copies) {
    if (auto ok = send(copy, device); !ok) return ok;
  }
  return {};
}

Status WeightStream::finish() {
  return check(cudaStreamSynchronize(stream_), "loading weights");
}

}  // namespace expertscope::cuda
