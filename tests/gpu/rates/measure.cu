// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/gpu/rates/measure.h"

#include "engine/cuda/kernels/instructions.cuh"

namespace expertscope::cuda {
namespace {

constexpr int kFillThreads = 256;

__global__ void __launch_bounds__(kFillThreads)
    fill_pairs(std::uint32_t* pairs, std::size_t count, float largest, std::uint32_t seed) {
  const std::size_t step = static_cast<std::size_t>(gridDim.x) * kFillThreads;
  for (std::size_t i = static_cast<std::size_t>(blockIdx.x) * kFillThreads + threadIdx.x; i < count;
       i += step) {
    auto x = static_cast<std::uint32_t>(i) * 2654435761u + static_cast<std::uint32_t>(i >> 32);
    x ^= x >> 16;
    x = (x ^ seed) * 0x7feb352du;
    x ^= x >> 15;
    x *= 0x846ca68bu;
    x ^= x >> 16;
    const float scale = largest * (2.0f / 65535.0f);
    pairs[i] = pack_bf16(static_cast<float>(x & 0xffff) * scale - largest,
                         static_cast<float>(x >> 16) * scale - largest);
  }
}

Result<cudaEvent_t> make_event() {
  cudaEvent_t event = nullptr;
  if (auto ok = check(cudaEventCreate(&event), "making an event"); !ok) return forward_error(ok);
  return event;
}

}  // namespace

Status Stopwatch::create(cudaStream_t stream) {
  stream_ = stream;
  for (TimedEvent* event : {&start_, &end_}) {
    auto made = make_event();
    if (!made) return forward_error(made);
    event->reset(*made);
  }
  return {};
}

Status CublasHandle::create(cudaStream_t stream) {
  cublasHandle_t handle = nullptr;
  if (cublasCreate(&handle) != CUBLAS_STATUS_SUCCESS)
    return fail(ErrorCode::device, "starting cuBLAS failed on the GPU");
  handle_.reset(handle);
  if (cublasSetStream(handle, stream) != CUBLAS_STATUS_SUCCESS)
    return fail(ErrorCode::device, "starting cuBLAS failed on the GPU");
  return {};
}

void note_cublas(Queue& queue, cublasStatus_t code) {
  if (code != CUBLAS_STATUS_SUCCESS)
    queue.fail({ErrorCode::device, std::string("cuBLAS says ") + cublasGetStatusString(code)});
}

void fill_random(Queue& queue, void* memory, std::size_t bytes, float largest, std::uint32_t seed) {
  constexpr std::size_t kMostBlocks = 2048;
  const std::size_t pairs = bytes / sizeof(std::uint32_t);
  const std::size_t blocks =
      std::clamp<std::size_t>((pairs + kFillThreads - 1) / kFillThreads, 1, kMostBlocks);
  queue.launch(&fill_pairs, {dim3(static_cast<unsigned>(blocks)), kFillThreads, 0},
               static_cast<std::uint32_t*>(memory), pairs, largest, seed);
}

}  // namespace expertscope::cuda
