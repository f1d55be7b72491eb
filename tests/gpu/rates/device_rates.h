// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>

#include "engine/error.h"

namespace expertscope::cuda {

/// How much is moved and multiplied to measure a device: several times what its caches hold. Tests take less.
struct RateSizes {
  std::size_t device_bytes = std::size_t{4} << 30;    ///< of each of the two buffers on the device
  std::size_t pinned_bytes = std::size_t{256} << 20;  ///< of the transfers between host and device
  int product_size = 8192;                            ///< rows, columns and depth of the product
  int repeats = 10;                                   ///< at least 1
};

/// Of all repeats, after one that does not count.
struct Rate {
  double best = 0;
  double median = 0;
};

/// What a device can do at most: the ceilings that a benchmark is held against.
struct DeviceRates {
  Rate copy;       ///< GB/s of a copy on the device, bytes read and bytes written
  Rate read;       ///< GB/s of a kernel that only reads
  Rate product;    ///< TFLOP/s of a cuBLAS product of BF16 matrices of random numbers, f32 sums
  Rate to_device;  ///< GB/s from pinned host memory
  Rate to_host;    ///< GB/s to pinned host memory
};

/// Measures device `index` with its own events. Fails with out_of_memory, saying how much was needed.
Result<DeviceRates> measure_rates(int index, const RateSizes& sizes);

}  // namespace expertscope::cuda
