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

/// inner[token][slot][i] = silu(gate_i x) * (up_i x). Blocks: (rows, slots, tokens), each of which may be
/// fewer than there are; `normed` is [tokens][experts.hidden_stride], `inner` [tokens][slots][inner_stride].
template <DType kType, class X>
__global__ void __launch_bounds__(kProductThreads)
    expert_gate_up(const DeviceStep* step, DeviceExperts experts, const DeviceRouting* routing,
                   DeviceSlots slots, const X* normed, X* inner) {
  const int token = static_cast<int>(blockIdx.z);
  if (token >= step->tokens) return;
  const X* x = normed + static_cast<std::size_t>(token) * static_cast<std::size_t>(experts.hidden_stride);
  const int all_warps = static_cast<int>(gridDim.x) * kProductWarps;
  for (int slot = static_cast<int>(blockIdx.y); slot < routing->top_k; slot += static_cast<int>(gridDim.y)) {
    const int index = token * step->slots + slot;
    const int expert = slots.expert[index];
    if (!slot_runs(*routing, expert)) continue;
    const void* weights = experts.gate_up[expert];
    X* to = inner + static_cast<std::size_t>(index) * static_cast<std::size_t>(experts.inner_stride);
    for (int i = static_cast<int>(blockIdx.x) * kProductWarps + warp_index(); i < experts.inner_stride;
         i += all_warps) {
      if (i >= experts.inner) {  // the padding that the second product reads
        if (lane_index() == 0) store_activation(0.0f, to + i);
        continue;
      }
      const void* rows[2] = {row_of(weights, dtype_size(kType), experts.hidden_stride, i),
                             row_of(weights, dtype_size(kType), experts.hidden_stride, experts.inner + i)};
      float sum[2][1];
      dot_rows<kType, 2, 1>(rows, x, 0, experts.hidden_stride, sum);
      if (lane_index() == 0) store_activation(silu_mul(sum[0][0], sum[1][0]), to + i);
    }
  }
}

/// Slots whose weights a warp reads at a time.
inline constexpr int kSlotsAtOnce = 4;

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

/// hidden[token][n] += sum over slots of weight * scale * (down_n inner). One warp a channel n; blocks:
/// (hidden / warps, tokens).
template <DType kType, class X>
__global__ void __launch_bounds__(kProductThreads)
    expert_down(const DeviceStep* step, DeviceExperts experts, const DeviceRouting* routing,
                DeviceSlots slots, const X* inner, float* hidden, OutputParts parts) {
  __shared__ float outputs[kDecodeSlots][kProductWarps];
  __shared__ Peak scratch[kProductWarps];
  const int token = static_cast<int>(blockIdx.y);
  if (token >= step->tokens) return;
  const int n = static_cast<int>(blockIdx.x) * kProductWarps + warp_index();
  const bool mine = n < experts.hidden;
  const int top_k = routing->top_k;
  const int first_index = token * step->slots;
  float* to = hidden + static_cast<std::size_t>(token) * static_cast<std::size_t>(experts.hidden) + n;
  float sum = mine ? *to : 0.0f;
  for (int first = 0; first < top_k; first += kSlotsAtOnce) {
    const void* rows[kSlotsAtOnce];
    const X* x[kSlotsAtOnce];
    float scale[kSlotsAtOnce];
#pragma unroll
    for (int i = 0; i < kSlotsAtOnce; ++i) {
      const int index = first_index + first + i;
      const int expert = first + i < top_k ? slots.expert[index] : -1;
      const bool runs = mine && slot_runs(*routing, expert);
      rows[i] = runs ? row_of(experts.down[expert], dtype_size(kType), experts.inner_stride, n) : nullptr;
      x[i] = inner + static_cast<std::size_t>(index) * static_cast<std::size_t>(experts.inner_stride);
      scale[i] = runs ? slots.weight[index] * routing->output_scale[expert] : 0.0f;
    }
    float output[kSlotsAtOnce];
    dot_each<kType, kSlotsAtOnce>(rows, x, experts.inner_stride, output);
#pragma unroll
    for (int i = 0; i < kSlotsAtOnce; ++i) {
      if (rows[i] != nullptr) sum += scale[i] * output[i];
      if (lane_index() == 0 && first + i < top_k) outputs[first + i][warp_index()] = output[i];
    }
  }
  if (mine && lane_index() == 0) *to = sum;
  if (step->capture.output_norm != nullptr) note_outputs(outputs, top_k, first_index, parts.output);
  if (step->capture.hidden_max == nullptr) return;
  note_hidden(parts.hidden, token, Peak{mine ? fabsf(sum) : 0.0f, n}, scratch);
}

}  // namespace expertscope::cuda
