// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "engine/cuda/kernels/dot.cuh"
#include "engine/cuda/kernels/products_decode.cuh"

/// The routed experts of a few tokens in two kernels without sorting or gathering: the first makes
/// silu(gate) * up of every slot, the second sums the experts' outputs channel by channel, in the order of
/// the slots, and measures them on the way.
namespace expertscope::cuda {

/// Whether a slot's expert has to be computed; a silenced one (output_scale 0) need not be.
__device__ inline bool slot_runs(const DeviceRouting& routing, int expert) {
  return expert >= 0 && routing.output_scale[expert] != 0.0f;
}

/// What the kernels have to know of a step before anything else, asked for at once.
struct StepSlots {
  int used;   ///< slots of the token that may run; none in the padding of a bucket
  int first;  ///< slot of the token
};

__device__ inline StepSlots step_slots(const DeviceStep& step, const DeviceRouting& routing, int token) {
  const int used = min(routing.top_k, step.slots);
  return {token < step.tokens ? used : 0, token * step.slots};
}

/// A slot's expert, ready to be computed.
struct SlotWeights {
  const void* weights = nullptr;  ///< null: nothing runs
  float scale = 0;                ///< of the output in the sum of the slots
};

/// `table` is one of the experts' tables. All that depends on the expert is asked for at once: the weights
/// wait for it.
__device__ inline SlotWeights weights_of_slot(const void* const* table, const DeviceRouting& routing,
                                              const DeviceSlots& slots, int index) {
  const int expert = slots.expert[index];
  const float weight = slots.weight[index];
  const float scale = routing.output_scale[max(expert, 0)];
  const void* weights = table[max(expert, 0)];
  const bool runs = expert >= 0 && scale != 0.0f;
  return {runs ? weights : nullptr, runs ? weight * scale : 0.0f};
}

/// inner[token][slot][i] = silu(gate_i x) * (up_i x). Blocks: (rows, slots, tokens), each of which may be
/// fewer than there are; `normed` is [tokens][experts.hidden_stride], `inner` [tokens][slots][inner_stride].
/// Dynamic shared memory: experts.hidden_stride activations of type X.
template <DeviceType kType, class X>
__global__ void __launch_bounds__(kProductThreads, 3)
    expert_gate_up(const DeviceStep* step, DeviceExperts experts, const DeviceRouting* routing,
                   DeviceSlots slots, const X* normed, X* inner) {
  auto* x = reinterpret_cast<X*>(dynamic_shared());
  const int token = static_cast<int>(blockIdx.z);
  const StepSlots of = step_slots(*step, *routing, token);
  if (static_cast<int>(blockIdx.y) >= of.used) return;
  start_copy_of_row<kProductThreads>(
      x, normed + static_cast<std::size_t>(token) * static_cast<std::size_t>(experts.hidden_stride),
      experts.hidden_stride);
  copy_async_commit();
  bool waited = false;
  for (int slot = static_cast<int>(blockIdx.y); slot < of.used; slot += static_cast<int>(gridDim.y)) {
    const int index = of.first + slot;
    const SlotWeights expert = weights_of_slot(experts.gate_up, *routing, slots, index);
    if (expert.weights == nullptr) continue;
    X* to = inner + static_cast<std::size_t>(index) * static_cast<std::size_t>(experts.inner_stride);
    for (int first = static_cast<int>(blockIdx.x) * kProductWarps; first < experts.inner_stride;
         first += static_cast<int>(gridDim.x) * kProductWarps) {
      const int i = first + warp_index();
      const int row = min(i, experts.inner - 1);
      const void* rows[2] = {
          row_of(expert.weights, device_bytes(kType), experts.hidden_stride, row),
          row_of(expert.weights, device_bytes(kType), experts.hidden_stride, experts.inner + row)};
      Chunks<kType, 2, 4> chunks;
      chunks.load(rows, 0, experts.hidden_stride);
      if (!waited) {  // all of the block: its warps go through the same slots and groups of rows
        copy_async_wait<0>();
        __syncthreads();
        waited = true;
      }
      float sum[2][1];
      dot_rows(chunks, rows, x, 0, experts.hidden_stride, sum);
      const float gate = warp_sum(sum[0][0]);
      const float up = warp_sum(sum[1][0]);
      // Behind the last row is padding, which the second product reads.
      if (lane_index() == 0 && i < experts.inner_stride)
        store_activation(i < experts.inner ? silu_mul(gate, up) : 0.0f, to + i);
    }
  }
  if (!waited) copy_async_wait<0>();  // no block may end with a copy on its way
}

/// ||f_e||^2, max |f_e| and its channel over the channels of this block, one warp a slot.
__device__ inline void note_outputs(const float (&outputs)[kDecodeSlots][kProductWarps], int top_k,
                                    int first_index, RowPart* parts) {
  __syncthreads();
  const int lane = lane_index();
  const int channel = static_cast<int>(blockIdx.x) * kProductWarps + lane;
  for (int slot = warp_index(); slot < top_k; slot += kProductWarps) {
    const float output = lane < kProductWarps ? outputs[slot][lane] : 0.0f;
    const float squares = warp_sum(output * output);
    const Peak peak = warp_peak({fabsf(output), channel});
    if (lane == 0)
      parts[static_cast<std::size_t>(first_index + slot) * gridDim.x + blockIdx.x] = {squares, peak.value,
                                                                                      peak.channel};
  }
}

/// What a block knows of the new hidden state, for the probe: parts[token][block].
__device__ inline void note_hidden(RowPart* parts, int token, Peak peak, Peak* scratch) {
  if (lane_index() == 0) scratch[warp_index()] = peak;
  __syncthreads();
  if (threadIdx.x == 0) {
    for (int warp = 1; warp < warps_per_block(); ++warp)
      if (beats(scratch[warp], peak)) peak = scratch[warp];
    parts[static_cast<std::size_t>(token) * gridDim.x + blockIdx.x] = {0.0f, peak.value, peak.channel};
  }
  __syncthreads();
}

/// ||sum over the slots||^2 over the channels of this block: parts[token][block]. `sum` of a warp's channel.
__device__ inline void note_sum(float* parts, int token, float sum, float* scratch) {
  if (lane_index() == 0) scratch[warp_index()] = sum * sum;
  __syncthreads();
  if (threadIdx.x == 0) {
    float squares = 0;
    for (int warp = 0; warp < warps_per_block(); ++warp)
      squares += scratch[warp];
    parts[static_cast<std::size_t>(token) * gridDim.x + blockIdx.x] = squares;
  }
}

/// A part of the second product: some elements of the inputs of some slots, in shared memory, and what a warp
/// has asked for of the weights they meet.
template <DeviceType kType, class X>
struct SlotTile {
  static constexpr int kSlots = 4;
  static constexpr int kAhead = 3;
  static constexpr int kElements = kPack<kType>;
  static constexpr int kStep = kWarp * kElements;
  static constexpr int kWidth = kAhead * kStep;  // 768 in bf16: all of an expert of Qwen3-30B-A3B
  using Inputs = X[kSlots][kWidth];

  uint4 raw[kAhead][kSlots];

  /// Starts the copy of elements k .. of `there` slots' inputs, by the whole block; zeros behind them.
  __device__ static void start_inputs(Inputs& to, const X* from, int stride, int k, int there) {
    constexpr int kPiece = 16 / static_cast<int>(sizeof(X));
    constexpr int kPieces = kWidth / kPiece;
#pragma unroll 1
    for (int i = static_cast<int>(threadIdx.x); i < kSlots * kPieces; i += kProductThreads) {
      const int slot = i / kPieces;
      const int at = i % kPieces * kPiece;
      const bool valid = slot < there && k + at < stride;
      copy_async_16(to[slot] + at, valid ? from + slot * stride + k + at : from, valid);
    }
  }

  /// Null rows are not read and give zeros.
  __device__ void load(const void* const (&rows)[kSlots], int first, int cols) {
    const int k = first + lane_index() * kElements;
    const bool whole = first + kWidth <= cols;
#pragma unroll
    for (int a = 0; a < kAhead; ++a)
#pragma unroll
      for (int r = 0; r < kSlots; ++r)
        raw[a][r] = rows[r] != nullptr && (whole || k + a * kStep < cols)
                        ? load_streaming(Chunks<kType, 1, 1>::address(rows[r], k + a * kStep))
                        : uint4{0, 0, 0, 0};
  }

  __device__ void multiply(const Inputs& x, float (&sum)[kSlots]) const {
#pragma unroll
    for (int a = 0; a < kAhead; ++a) {
#pragma unroll
      for (int r = 0; r < kSlots; ++r) {
        float weight[kElements];
        float activation[kElements];
        widen<kType>(raw[a][r], weight);
        load_activations(x[r] + a * kStep + lane_index() * kElements, activation);
#pragma unroll
        for (int i = 0; i < kElements; ++i)
          sum[r] += weight[i] * activation[i];
      }
    }
  }
};

/// hidden[token][n] += sum over slots of weight * scale * (down_n inner). One warp a channel n; blocks:
/// (hidden / warps, tokens).
template <DeviceType kType, class X>
__global__ void __launch_bounds__(kProductThreads, sizeof(X) == 2 ? 2 : 1)
    expert_down(const DeviceStep* step, DeviceExperts experts, const DeviceRouting* routing,
                DeviceSlots slots, const X* inner, float* hidden, OutputParts parts) {
  using Tile = SlotTile<kType, X>;
  __shared__ __align__(16) typename Tile::Inputs inputs[2];
  __shared__ SlotWeights expert[kDecodeSlots + Tile::kSlots];
  __shared__ float outputs[kDecodeSlots][kProductWarps];
  __shared__ Peak scratch[kProductWarps];
  __shared__ float squares[kProductWarps];
  const int token = static_cast<int>(blockIdx.y);
  const StepSlots of = step_slots(*step, *routing, token);
  if (of.used <= 0) return;
  const bool note_share = parts.sum != nullptr && step->capture.contribution != nullptr;
  const bool note_output = step->capture.output_norm != nullptr || note_share;
  const bool note_state = step->capture.hidden_max != nullptr;
  const int stride = experts.inner_stride;
  const X* from = inner + static_cast<std::size_t>(of.first) * static_cast<std::size_t>(stride);
  Tile::start_inputs(inputs[0], from, stride, 0, of.used);
  copy_async_commit();
  if (static_cast<int>(threadIdx.x) < kDecodeSlots + Tile::kSlots)
    expert[threadIdx.x] =
        static_cast<int>(threadIdx.x) < of.used
            ? weights_of_slot(experts.down, *routing, slots, of.first + static_cast<int>(threadIdx.x))
            : SlotWeights{};
  const int n = static_cast<int>(blockIdx.x) * kProductWarps + warp_index();
  const bool mine = n < experts.hidden;
  float* to = hidden + static_cast<std::size_t>(token) * static_cast<std::size_t>(experts.hidden) + n;
  float total = mine ? *to : 0.0f;
  float added = 0;
  __syncthreads();
  int buffer = 0;
  for (int first = 0; first < of.used; first += Tile::kSlots) {
    const void* rows[Tile::kSlots];
    float sum[Tile::kSlots] = {};
#pragma unroll
    for (int i = 0; i < Tile::kSlots; ++i) {
      const void* weights = expert[first + i].weights;
      rows[i] = mine && weights != nullptr ? row_of(weights, device_bytes(kType), stride, n) : nullptr;
    }
    for (int k = 0; k < stride; k += Tile::kWidth, buffer ^= 1) {
      Tile tile;
      tile.load(rows, k, stride);
      copy_async_wait<0>();
      __syncthreads();
      const bool on = k + Tile::kWidth < stride;  // the next tile is of the same slots
      const int slot = on ? first : first + Tile::kSlots;
      if (on || slot < of.used)
        Tile::start_inputs(inputs[buffer ^ 1], from + static_cast<std::size_t>(slot) * stride, stride,
                           on ? k + Tile::kWidth : 0, of.used - slot);
      copy_async_commit();
      tile.multiply(inputs[buffer], sum);
    }
#pragma unroll
    for (int i = 0; i < Tile::kSlots; ++i) {
      // What nobody has computed may be anything, and its sum is left out.
      const float output = rows[i] != nullptr ? warp_sum(sum[i]) : 0.0f;
      if (rows[i] != nullptr) total += expert[first + i].scale * output;
      if (note_share && rows[i] != nullptr) added += expert[first + i].scale * output;
      if (lane_index() == 0 && first + i < of.used) outputs[first + i][warp_index()] = output;
    }
  }
  if (mine && lane_index() == 0) *to = total;
  if (note_output) note_outputs(outputs, of.used, parts.alone ? token : of.first, parts.output);
  if (note_share) note_sum(parts.sum, token, added, squares);
  if (note_state) note_hidden(parts.hidden, token, Peak{mine ? fabsf(total) : 0.0f, n}, scratch);
}

}  // namespace expertscope::cuda
