// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <vector>

#include "engine/cuda/runtime/memory.h"
#include "engine/cuda/runtime/queue.h"
#include "tests/gpu/rates/expert_rates.h"
#include "tests/gpu/rates/measure.h"
#include "tests/gpu/rates/routed_rows.h"

namespace expertscope::cuda {

/// One call of cublasGemmGroupedBatchedEx: y[row] = x[row] . w[expert of the row], a group for each expert
/// with rows. BF16 with f32 sums; y is BF16, because the call wants one type for all three matrices.
class GroupedProduct {
 public:
  /// `w` [experts] matrices of [features, depth] on the device; `x` [rows, depth] and `y` [rows, features]
  /// sorted by expert.
  Status create(const std::vector<const void*>& w, const std::vector<std::int32_t>& load, int features,
                int depth, const std::uint16_t* x, std::uint16_t* y, Queue& queue);
  cublasStatus_t run(cublasHandle_t handle) const;

 private:
  // [groups] each
  std::vector<int> features_, rows_, depth_, size_;
  std::vector<cublasOperation_t> transposed_, as_it_is_;
  std::vector<float> alpha_, beta_;
  DeviceBuffer<const void*> matrices_;  ///< [3][groups] w, x, y
};

/// What a user of cuBLAS does between routed slots and the experts' outputs: rows gathered by expert, one
/// grouped product for gate and up, silu(gate) * up, one grouped product for down.
///
/// It is given what it would have to wait for or to pay: cuBLAS takes the loads from the host, so a program
/// would wait for the router in every layer and sort there, or on the device; here loads, order of the rows
/// and tables of matrices are made beforehand and cost nothing. And its outputs are BF16, half of what our
/// kernels write.
class GroupedExperts {
 public:
  /// `gate_up` and `down`: [experts] matrices on the device, [2 * inner, hidden] and [hidden, inner].
  Status create(const ExpertCase& what, const RoutedRows& routed, const std::vector<const void*>& gate_up,
                const std::vector<const void*>& down, cudaStream_t stream);

  /// Queues everything for `x` [tokens, hidden] BF16.
  void run(Queue& queue, const void* x);
  /// After a run: false when this cuBLAS has no such product, or not for this device.
  bool available() const { return available_; }
  /// [rows, hidden] BF16.
  const std::uint16_t* output() const { return output_.data(); }

 private:
  Status allocate();
  void multiply(Queue& queue, const GroupedProduct& product);

  ExpertCase what_;
  std::size_t rows_ = 0;
  bool available_ = true;
  CublasHandle handle_;
  DeviceBuffer<std::int32_t> token_of_row_;      ///< [rows]
  DeviceBuffer<std::uint16_t> gathered_;         ///< [rows, hidden]
  DeviceBuffer<std::uint16_t> gate_up_, inner_;  ///< [rows, 2 * inner], [rows, inner]
  DeviceBuffer<std::uint16_t> output_;           ///< [rows, hidden]
  GroupedProduct first_, second_;
};

}  // namespace expertscope::cuda
