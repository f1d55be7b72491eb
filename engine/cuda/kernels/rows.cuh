// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "engine/cuda/kernels/dot.cuh"
#include "engine/cuda/step/device_step.h"

/// Kernels that work on whole rows of the batch, one block a row.
namespace expertscope::cuda {

inline constexpr int kRowThreads = 256;

/// hidden[t] = row id[t] of the embedding. Blocks: tokens.
template <DeviceType kType>
__global__ void __launch_bounds__(kRowThreads)
    embed_rows(const DeviceStep* step, DeviceMatrix table, float* hidden) {
  const int token = static_cast<int>(blockIdx.x);
  if (token >= step->tokens) return;
  const auto* row = static_cast<const unsigned char*>(
      row_of(table.data, device_bytes(kType), table.stride, step->id[token]));
  float* to = hidden + static_cast<std::size_t>(token) * static_cast<std::size_t>(table.cols);
  constexpr int kElements = kPack<kType>;
  for (int first = static_cast<int>(threadIdx.x) * kElements; first < table.cols;
       first += kRowThreads * kElements) {
    float values[kElements];
    widen<kType>(load_streaming(row + static_cast<std::size_t>(first) * device_bytes(kType)), values);
#pragma unroll
    for (int i = 0; i < kElements; ++i)
      if (first + i < table.cols) to[first + i] = values[i];
  }
}

/// normed[r] = norm(hidden[row]) for rows first .. of the batch, or of the head's output rows when
/// `output_rows` is set. `exact`, when there, receives the same in f32: the router reads that. Blocks: rows.
template <class X>
__global__ void __launch_bounds__(kRowThreads)
    norm_rows(const DeviceStep* step, bool output_rows, int first, const float* hidden, const float* norm,
              int width, int padded, float eps, X* normed, float* exact) {
  __shared__ float scratch[kRowThreads / kWarp];
  const int r = static_cast<int>(blockIdx.x);
  if (first + r >= (output_rows ? step->output_rows : step->tokens)) return;
  const int row = output_rows ? step->output_row[first + r] : first + r;
  const float* from = hidden + static_cast<std::size_t>(row) * static_cast<std::size_t>(width);
  const std::size_t at = static_cast<std::size_t>(r) * static_cast<std::size_t>(padded);
  norm_row<kRowThreads>(from, norm, width, padded, eps, scratch, normed + at);
  if (exact == nullptr) return;
  __syncthreads();
  norm_row<kRowThreads>(from, norm, width, padded, eps, scratch, exact + at);
}

/// weight[t] of the shared expert: sigmoid(gate norm(hidden[t])), in f32 whatever the products take, as the
/// router; weights lie `step->slots` apart where `by_slots` is set. Blocks: tokens.
template <DeviceType kType>
__global__ void __launch_bounds__(kRowThreads)
    weigh_shared(const DeviceStep* step, const float* hidden, const float* norm, float eps, DeviceMatrix gate,
                 bool by_slots, float* weight) {
  __shared__ float scratch[kRowThreads / kWarp];
  const int token = static_cast<int>(blockIdx.x);
  if (token >= step->tokens) return;
  const auto* row = static_cast<const unsigned char*>(gate.data);
  const float* x = hidden + static_cast<std::size_t>(token) * static_cast<std::size_t>(gate.cols);
  constexpr int kElements = kPack<kType>;
  float squares = 0;
  float sum = 0;
  for (int first = static_cast<int>(threadIdx.x) * kElements; first < gate.cols;
       first += kRowThreads * kElements) {
    float values[kElements];
    widen<kType>(load_streaming(row + static_cast<std::size_t>(first) * device_bytes(kType)), values);
#pragma unroll
    for (int i = 0; i < kElements; ++i) {
      if (first + i >= gate.cols) continue;
      squares += x[first + i] * x[first + i];
      sum += values[i] * (norm[first + i] * x[first + i]);
    }
  }
  squares = block_sum<kRowThreads / kWarp>(squares, scratch);
  sum = block_sum<kRowThreads / kWarp>(sum, scratch);
  if (threadIdx.x != 0) return;
  const float logit = sum / sqrtf(squares / static_cast<float>(gate.cols) + eps);
  weight[token * (by_slots ? step->slots : 1)] = 1.0f / (1.0f + expf(-logit));
}

/// Bias of queries, keys and values and norm of queries and of keys over all heads of a token together, in
/// place: qkv[t] is [queries, keys, values]. Biases may be null. Blocks: tokens.
__global__ inline void __launch_bounds__(kRowThreads)
    norm_heads(const DeviceStep* step, float* qkv, const float* bias, const float* q_norm,
               const float* k_norm, int queries, int keys, float eps) {
  __shared__ float scratch[kRowThreads / kWarp];
  const int token = static_cast<int>(blockIdx.x);
  if (token >= step->tokens) return;
  const int width = queries + 2 * keys;
  float* row = qkv + static_cast<std::size_t>(token) * static_cast<std::size_t>(width);
  if (bias != nullptr) {
    for (int i = static_cast<int>(threadIdx.x); i < width; i += kRowThreads)
      row[i] += bias[i];
    __syncthreads();
  }
  norm_row<kRowThreads>(row, q_norm, queries, queries, eps, scratch, row);
  __syncthreads();
  norm_row<kRowThreads>(row + queries, k_norm, keys, keys, eps, scratch, row + queries);
}

/// The same as norm_rows for a router that reads its input as kRouterPieces bf16 numbers a float: pieces[r]
/// is [low, middle, high], `padded` each. Tensor cores cut off what lies far below the sum they add to, so
/// the small numbers come while the sum is small. Blocks: tokens.
template <class X>
__global__ void __launch_bounds__(kRowThreads)
    norm_rows_in_pieces(const DeviceStep* step, const float* hidden, const float* norm, int width, int padded,
                        float eps, X* normed, Bf16* pieces) {
  __shared__ float scratch[kRowThreads / kWarp];
  const int r = static_cast<int>(blockIdx.x);
  if (r >= step->tokens) return;
  const float* row = hidden + static_cast<std::size_t>(r) * static_cast<std::size_t>(width);
  const float scale = norm_scale<kRowThreads>(row, width, eps, scratch);
  X* to = normed + static_cast<std::size_t>(r) * static_cast<std::size_t>(padded);
  Bf16* piece = pieces + static_cast<std::size_t>(r) * static_cast<std::size_t>(kRouterPieces * padded);
  for (int i = static_cast<int>(threadIdx.x); i < padded; i += kRowThreads) {
    const float value = i < width ? norm[i] * (row[i] * scale) : 0.0f;
    store_activation(value, to + i);
    float rest = value;
#pragma unroll
    for (int p = kRouterPieces - 1; p >= 0; --p) {
      store_activation(rest, piece + p * padded + i);
      rest -= load_activation(piece + p * padded + i);
    }
  }
}

/// The peak of a block, in thread 0. `scratch` has room for one a warp.
__device__ inline Peak block_peak(Peak peak, Peak* scratch) {
  peak = warp_peak(peak);
  if (lane_index() == 0) scratch[warp_index()] = peak;
  __syncthreads();
  for (int warp = 0; warp < warps_per_block(); ++warp)
    if (beats(scratch[warp], peak)) peak = scratch[warp];
  __syncthreads();
  return peak;
}

/// Where the probes of an expert's outputs write: ||f_e||, max |f_e| and its channel; null: the probe is off.
struct OutputProbe {
  float* norm;
  float* most;
  std::int32_t* channel;

  __device__ static OutputProbe routed(const DeviceCapture& capture) {
    return {capture.output_norm, capture.output_max, capture.output_channel};
  }
  __device__ static OutputProbe shared(const DeviceCapture& capture) {
    return {capture.shared_norm, capture.shared_max, capture.shared_channel};
  }
  /// An edit multiplies the output by `scale`.
  __device__ void store(std::size_t at, float squares, const Peak& peak, float scale) const {
    if (norm == nullptr) return;
    norm[at] = sqrtf(squares) * scale;
    most[at] = peak.value * scale;
    channel[at] = peak.channel;
  }
};

/// The probe at the end of a layer: max |hidden| of every token and its channel. Blocks: tokens.
__device__ inline void measure_row(const float* row, int width, Peak* scratch, float* value,
                                   std::int32_t* channel) {
  Peak peak{0.0f, 0x7fffffff};
  for (int i = static_cast<int>(threadIdx.x); i < width; i += static_cast<int>(blockDim.x)) {
    const Peak now{fabsf(row[i]), i};
    if (beats(now, peak)) peak = now;
  }
  peak = block_peak(peak, scratch);
  if (threadIdx.x != 0) return;
  *value = peak.value;
  *channel = peak.channel;
}

}  // namespace expertscope::cuda
