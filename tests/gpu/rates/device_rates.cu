// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/gpu/rates/device_rates.h"

#include <algorithm>
#include <vector>

#include "engine/cuda/kernels/instructions.cuh"
#include "engine/cuda/runtime/device.h"
#include "engine/cuda/runtime/memory.h"
#include "tests/gpu/rates/measure.h"

namespace expertscope::cuda {
namespace {

constexpr int kRateThreads = 256;
constexpr int kChunksAtOnce = 8;  // loads of 16 bytes a thread has in flight

/// Reads `count` chunks of 16 bytes; what they add up to decides whether `sink` is written, so that nothing
/// may be left out.
__global__ void __launch_bounds__(kRateThreads)
    read_all(const uint4* chunks, std::size_t count, std::uint32_t* sink) {
  std::uint32_t sum = 0;
  const std::size_t threads = static_cast<std::size_t>(gridDim.x) * kRateThreads;
  const std::size_t me = static_cast<std::size_t>(blockIdx.x) * kRateThreads + threadIdx.x;
  for (std::size_t first = me; first < count; first += threads * kChunksAtOnce) {
    uint4 values[kChunksAtOnce];
#pragma unroll
    for (int i = 0; i < kChunksAtOnce; ++i) {
      const std::size_t at = first + static_cast<std::size_t>(i) * threads;
      values[i] = load_streaming(chunks + (at < count ? at : first));
    }
#pragma unroll
    for (int i = 0; i < kChunksAtOnce; ++i)
      sum ^= values[i].x ^ values[i].y ^ values[i].z ^ values[i].w;
  }
  if (sum == 0x9e3779b9u) *sink = sum;
}

/// What the measurements share.
class Bench {
 public:
  Status create(const RateSizes& sizes, int multiprocessors);
  Result<DeviceRates> run();

 private:
  /// `work` is what one call of `queue_work` does, in the unit of the rate; the rate is per second times
  /// 1e-9.
  template <class Work>
  Result<Rate> measure(const char* what, double work, Work&& queue_work);
  Result<Rate> product();

  RateSizes sizes_;
  unsigned blocks_ = 1;
  Stream stream_;
  Stopwatch stopwatch_;
  DeviceBuffer<std::uint8_t> from_, to_;
  DeviceBuffer<std::uint32_t> sink_;
  PinnedBuffer<std::uint8_t> pinned_;
};

Status Bench::create(const RateSizes& sizes, int multiprocessors) {
  sizes_ = sizes;
  constexpr int kBlocksOfAMultiprocessor = 8;
  blocks_ = static_cast<unsigned>(multiprocessors * kBlocksOfAMultiprocessor);
  const std::size_t matrix =
      static_cast<std::size_t>(sizes.product_size) * static_cast<std::size_t>(sizes.product_size);
  sizes_.device_bytes = std::max({sizes.device_bytes / 16 * 16, matrix * 4, sizes.pinned_bytes});
  if (auto ok = stream_.create(); !ok) return ok;
  if (auto ok = stopwatch_.create(stream_.get()); !ok) return ok;
  if (auto ok = from_.allocate(sizes_.device_bytes, "measuring the GPU"); !ok) return ok;
  if (auto ok = to_.allocate(sizes_.device_bytes, "measuring the GPU"); !ok) return ok;
  if (auto ok = sink_.allocate(1, "measuring the GPU"); !ok) return ok;
  if (auto ok = pinned_.allocate(sizes.pinned_bytes, "measuring the GPU"); !ok) return ok;
  std::fill_n(pinned_.data(), pinned_.size(), std::uint8_t{0x3c});
  Queue queue(stream_.get());
  queue.enter("filling buffers");
  for (const auto* buffer : {&from_, &to_})
    fill_random(queue, buffer->data(), buffer->bytes(), 1.0f, 0);
  queue.wait();
  return queue.take_status();
}

template <class Work>
Result<Rate> Bench::measure(const char* what, double work, Work&& queue_work) {
  std::vector<double> rates;
  for (int i = -1; i < sizes_.repeats; ++i) {
    const auto seconds = stopwatch_.time(what, queue_work);
    if (!seconds) return forward_error(seconds);
    if (i >= 0) rates.push_back(work / *seconds * 1e-9);
  }
  std::sort(rates.begin(), rates.end());
  return Rate{rates.back(), rates[rates.size() / 2]};
}

Result<Rate> Bench::product() {
  CublasHandle handle;
  if (auto ok = handle.create(stream_.get()); !ok) return forward_error(ok);
  const int n = sizes_.product_size;
  const std::size_t elements = static_cast<std::size_t>(n) * static_cast<std::size_t>(n);
  const auto* a = reinterpret_cast<const std::uint16_t*>(from_.data());
  const std::uint16_t* b = a + elements;
  const float one = 1;
  const float zero = 0;
  const double flop = 2.0 * n * n * n;
  auto rate = measure("a matrix product", flop, [&](Queue& queue) {
    note_cublas(queue, cublasGemmEx(handle.get(), CUBLAS_OP_T, CUBLAS_OP_N, n, n, n, &one, a, CUDA_R_16BF, n,
                                    b, CUDA_R_16BF, n, &zero, to_.data(), CUDA_R_16BF, n, CUBLAS_COMPUTE_32F,
                                    CUBLAS_GEMM_DEFAULT));
  });
  if (rate) *rate = {rate->best * 1e-3, rate->median * 1e-3};
  return rate;
}

Result<DeviceRates> Bench::run() {
  const std::size_t bytes = sizes_.device_bytes;
  const std::size_t pinned = sizes_.pinned_bytes;
  auto copy = measure("a copy on the GPU", 2.0 * static_cast<double>(bytes), [&](Queue& queue) {
    queue.copy(to_.data(), from_.data(), bytes, cudaMemcpyDeviceToDevice);
  });
  if (!copy) return forward_error(copy);
  auto read = measure("reading on the GPU", static_cast<double>(bytes), [&](Queue& queue) {
    queue.launch(&read_all, {dim3(blocks_), kRateThreads, 0}, reinterpret_cast<const uint4*>(from_.data()),
                 bytes / 16, sink_.data());
  });
  if (!read) return forward_error(read);
  auto to_device = measure("copying to the GPU", static_cast<double>(pinned), [&](Queue& queue) {
    queue.copy(to_.data(), pinned_.data(), pinned, cudaMemcpyHostToDevice);
  });
  if (!to_device) return forward_error(to_device);
  auto to_host = measure("copying from the GPU", static_cast<double>(pinned), [&](Queue& queue) {
    queue.copy(pinned_.data(), to_.data(), pinned, cudaMemcpyDeviceToHost);
  });
  if (!to_host) return forward_error(to_host);
  auto rate = product();
  if (!rate) return forward_error(rate);
  return DeviceRates{*copy, *read, *rate, *to_device, *to_host};
}

}  // namespace

Result<DeviceRates> measure_rates(int index, const RateSizes& sizes) {
  if (sizes.repeats < 1 || sizes.product_size < 1 || sizes.device_bytes < 16 || sizes.pinned_bytes < 1)
    return fail(ErrorCode::invalid_argument, "nothing to measure the GPU with");
  auto device = describe_device(index);
  if (!device) return forward_error(device);
  auto limits = open_device(index);
  if (!limits) return forward_error(limits);
  Bench bench;
  if (auto ok = bench.create(sizes, limits->multiprocessors); !ok) return forward_error(ok);
  return bench.run();
}

}  // namespace expertscope::cuda
