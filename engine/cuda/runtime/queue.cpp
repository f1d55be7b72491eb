// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/cuda/runtime/queue.h"

namespace expertscope::cuda {

Error cuda_error(cudaError_t code, const std::string& operation) {
  const ErrorCode kind = code == cudaErrorMemoryAllocation ? ErrorCode::out_of_memory : ErrorCode::device;
  return {kind, fmt::format("{} failed on the GPU: {} ({})", operation, cudaGetErrorString(code),
                            cudaGetErrorName(code))};
}

Status check(cudaError_t code, const std::string& operation) {
  if (code == cudaSuccess) return {};
  return tl::unexpected<Error>(cuda_error(code, operation));
}

void Queue::note(cudaError_t code) {
  if (code == cudaSuccess || error_ != cudaSuccess) return;
  error_ = code;
  failed_operation_ = operation_;
  failed_layer_ = layer_;
  cudaGetLastError();  // the runtime would report a failed launch once more to whoever asks next
}

void Queue::fail(Error error) {
  if (error_ != cudaSuccess) return;
  note(cudaErrorUnknown);
  failure_ = std::move(error.message);
}

Status Queue::take_status() {
  if (error_ == cudaSuccess) return {};
  const cudaError_t code = std::exchange(error_, cudaSuccess);
  const std::string failure = std::exchange(failure_, {});
  const std::string where =
      failed_layer_ < 0 ? failed_operation_ : fmt::format("layer {}, {}", failed_layer_, failed_operation_);
  if (!failure.empty()) return expertscope::fail(ErrorCode::device, "{}: {}", where, failure);
  return tl::unexpected<Error>(cuda_error(code, where));
}

}  // namespace expertscope::cuda
