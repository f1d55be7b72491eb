// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "simt/device.h"

/// What the tests of the emulator share.

namespace expertscope::simt {

/// For tests whose kernels are to fail.
inline Settings quiet() {
  Settings settings;
  settings.print_failures = false;
  return settings;
}

/// A config for cudaLaunchKernelEx.
inline cudaLaunchConfig_t config(dim3 grid, dim3 block, std::size_t dynamic_shared = 0,
                                 cudaStream_t stream = nullptr) {
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = dynamic_shared;
  config.stream = stream;
  return config;
}

/// Launches a kernel on the default stream, where it runs at once.
template <class... Parameters, class... Arguments>
cudaError_t launch_now(dim3 grid, dim3 block, void (*kernel)(Parameters...), Arguments&&... arguments) {
  const cudaLaunchConfig_t at = config(grid, block);
  return cudaLaunchKernelEx(&at, kernel, std::forward<Arguments>(arguments)...);
}

/// Device memory that a test fills and reads.
template <class T>
class Array {
 public:
  explicit Array(std::size_t size) : size_(size) {
    EXPECT_EQ(cudaMalloc(&data_, size * sizeof(T)), cudaSuccess);
  }
  explicit Array(const std::vector<T>& values) : Array(values.size()) {
    const std::size_t bytes = values.size() * sizeof(T);
    EXPECT_EQ(cudaMemcpy(data_, values.data(), bytes, cudaMemcpyHostToDevice), cudaSuccess);
  }
  ~Array() { cudaFree(data_); }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;

  T* data() { return data_; }
  std::vector<T> read() const {
    std::vector<T> values(size_);
    EXPECT_EQ(cudaMemcpy(values.data(), data_, size_ * sizeof(T), cudaMemcpyDeviceToHost), cudaSuccess);
    return values;
  }

 private:
  std::size_t size_;
  T* data_ = nullptr;
};

inline std::vector<float> random_floats(std::size_t count, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) {
    value = normal(generator);
  }
  return values;
}

}  // namespace expertscope::simt
