// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cublas_v2.h>

#include <memory>

#include "engine/backend/backend.h"
#include "engine/cuda/runtime/memory.h"
#include "engine/cuda/runtime/queue.h"
#include "engine/cuda/step/device_step.h"
#include "engine/cuda/tiles.h"

namespace expertscope::cuda {

/// What happens to the result of a dense product.
enum class ProductEnd : std::uint8_t { store, add };

/// Dense products of many tokens: bf16 activations through cuBLAS, f32 activations through the tile kernels.
class Products {
 public:
  /// Bytes of cuBLAS's workspace. f32 mode does without cuBLAS.
  static constexpr std::size_t bytes(MathMode math) {
    return math == MathMode::bf16 ? std::size_t{32} << 20 : 0;
  }

  Status create(cudaStream_t stream, MathMode math);

  /// How products with f32 activations are computed, of experts too.
  TileMath tile_math(DeviceType weights) const {
    return math_ == MathMode::bf16 && weights == DeviceType::f16 ? TileMath::tf32 : TileMath::f32;
  }

  /// y[m][n] = (y[m][n] +) x[m] . w[n] for `rows` rows. `x` is [rows, w.stride], bf16 when `rounds`
  /// (then w is BF16) and else f32; `y` is [rows, y_stride] f32.
  void run(Queue& queue, const DeviceMatrix& w, bool rounds, const void* x, int rows, float* y, int y_stride,
           ProductEnd end);
  /// y[m][n] = x[m] . w[n] in f32 whatever the mode, for the router.
  static void run_f32(Queue& queue, const DeviceMatrix& w, const float* x, int rows, float* y, int y_stride);

 private:
  struct Destroy {
    void operator()(cublasHandle_t handle) const { cublasDestroy(handle); }
  };
  MathMode math_ = MathMode::f32;
  std::unique_ptr<std::remove_pointer_t<cublasHandle_t>, Destroy> handle_;
  DeviceBuffer<std::uint8_t> workspace_;
};

/// y[r] += bias for `rows` rows; nothing without a bias.
void add_bias(Queue& queue, const float* bias, int width, float* y, int rows);

}  // namespace expertscope::cuda
