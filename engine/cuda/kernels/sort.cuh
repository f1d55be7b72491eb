// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "engine/cuda/kernels/experts_decode.cuh"
#include "engine/cuda/kernels/rows.cuh"

/// The routed slots of a large batch, sorted by expert on the device: no number of this leaves it, and the
/// host waits for nothing between two layers.
namespace expertscope::cuda {

/// Counts the rows of every expert in tokens first_token .. last_token - 1, those the batch has; `count` is
/// zero before.
__global__ void __launch_bounds__(kRowThreads)
    count_rows(const DeviceStep* step, const DeviceRouting* routing, DeviceSlots slots, int first_token,
               int last_token, SortedRows sorted) {
  const int end = min(last_token, step->tokens) * step->slots;
  for (int index = first_token * step->slots + static_cast<int>(blockIdx.x) * kRowThreads +
                   static_cast<int>(threadIdx.x);
       index < end; index += static_cast<int>(gridDim.x) * kRowThreads) {
    const int expert = slots.expert[index];
    if (slot_runs(*routing, expert)) atomicAdd(sorted.count + expert, 1);
  }
}

/// Exclusive sum over the block's threads, a multiple of a warp and kMaxExperts at most. `memory` has room
/// for one number a warp, which lies there until the next barrier.
__device__ inline int block_scan(int value, int* memory) {
  int sum = value;
  for (int offset = 1; offset < kWarp; offset *= 2) {
    const int before = __shfl_up_sync(kAllLanes, sum, static_cast<unsigned>(offset));
    if (lane_index() >= offset) sum += before;
  }
  if (lane_index() == kWarp - 1) memory[warp_index()] = sum;
  __syncthreads();
  for (int warp = 0; warp < warp_index(); ++warp)
    sum += memory[warp];
  __syncthreads();
  return sum - value;
}

/// Where each expert's rows begin, a thread an expert, and the tiles of all experts; `rows` of the thread's.
__device__ inline int plan_experts(int expert, int rows, int tile_rows, const SortedRows& sorted) {
  __shared__ int memory[kMaxExperts / kWarp];
  const int first = block_scan(rows, memory);
  const int tiles = (rows + tile_rows - 1) / tile_rows;
  const int first_tile = block_scan(tiles, memory);
  for (int i = 0; i < tiles; ++i)
    sorted.tile[first_tile + i] = {expert, first + i * tile_rows, min(tile_rows, rows - i * tile_rows)};
  if (expert == static_cast<int>(blockDim.x) - 1) *sorted.tiles = first_tile + tiles;
  return first;
}

/// One block of at least `experts` threads: where each expert's rows begin, and the tiles of all experts.
__global__ void __launch_bounds__(kMaxExperts) plan_tiles(int experts, int tile_rows, SortedRows sorted) {
  const int expert = static_cast<int>(threadIdx.x);
  const int rows = expert < experts ? sorted.count[expert] : 0;
  const int first = plan_experts(expert, rows, tile_rows, sorted);
  if (expert < experts) sorted.next[expert] = first;
}

/// Gives every slot that runs a row among those of its expert. The order of an expert's rows may differ from
/// run to run; nothing depends on it, since every row is computed for itself.
__global__ void __launch_bounds__(kRowThreads)
    place_rows(const DeviceStep* step, const DeviceRouting* routing, DeviceSlots slots, int first_token,
               int last_token, SortedRows sorted) {
  const int end = min(last_token, step->tokens) * step->slots;
  for (int index = first_token * step->slots + static_cast<int>(blockIdx.x) * kRowThreads +
                   static_cast<int>(threadIdx.x);
       index < end; index += static_cast<int>(gridDim.x) * kRowThreads) {
    const int expert = slots.expert[index];
    int row = -1;
    if (slot_runs(*routing, expert)) {
      row = atomicAdd(sorted.next + expert, 1);
      sorted.token_of_row[row] = index / step->slots;
    }
    sorted.row_of_slot[index] = row;
  }
}

/// Slots that sort_few_rows sorts; a thread may take several.
inline constexpr int kFewRows = 1024;

/// count_rows, plan_tiles and place_rows in one block of at least `experts` threads, for few slots: what
/// takes the device four launches one after the other takes a block some microseconds.
__global__ void __launch_bounds__(kMaxExperts)
    sort_few_rows(const DeviceStep* step, const DeviceRouting* routing, DeviceSlots slots, int first_token,
                  int last_token, int experts, int tile_rows, SortedRows sorted) {
  __shared__ int count[kMaxExperts];
  const int me = static_cast<int>(threadIdx.x);
  const int threads = static_cast<int>(blockDim.x);
  const int room = step->slots;
  const int begin = first_token * room;
  const int end = min(last_token, step->tokens) * room;
  count[me] = 0;
  __syncthreads();
  for (int index = begin + me; index < end; index += threads) {
    const int expert = slots.expert[index];
    if (slot_runs(*routing, expert)) atomicAdd(count + expert, 1);
  }
  __syncthreads();
  const int rows = count[me];
  const int first = plan_experts(me, rows, tile_rows, sorted);
  if (me < experts) sorted.count[me] = rows;
  count[me] = first;  // from here on: where the expert's next row goes
  __syncthreads();
  for (int index = begin + me; index < end; index += threads) {
    const int expert = slots.expert[index];
    int row = -1;
    if (slot_runs(*routing, expert)) {
      row = atomicAdd(count + expert, 1);
      sorted.token_of_row[row] = index / room;
    }
    sorted.row_of_slot[index] = row;
  }
}

/// What the warps of a block know of the outputs of a few slots: one barrier serves all of them.
inline constexpr int kMeasuredSlots = 16;
inline constexpr int kPartsOfASlot = kRowThreads / kWarp;
struct WarpParts {
  float (*squares)[kPartsOfASlot];  ///< [kMeasuredSlots], in shared memory like the next
  Peak (*peak)[kPartsOfASlot];
};

/// sums += weight * output for one slot; its warp's squares and largest value go to `parts`, if `measured`.
__device__ inline void add_output(const float* output, float weight, int width, float* sums, int at,
                                  const WarpParts& parts, bool measured) {
  float squares = 0;
  Peak peak{0.0f, 0x7fffffff};
#pragma unroll 4
  for (int i = static_cast<int>(threadIdx.x); i < width; i += kRowThreads) {
    const float value = output[i];
    sums[i] += weight * value;
    squares += value * value;
    const Peak now{fabsf(value), i};
    if (beats(now, peak)) peak = now;
  }
  if (!measured) return;
  squares = warp_sum(squares);
  peak = warp_peak(peak);
  if (lane_index() != 0) return;
  parts.squares[at][warp_index()] = squares;
  parts.peak[at][warp_index()] = peak;
}

/// The probe of one slot from what the warps know, by one warp. A silenced expert has norm and maximum 0 at
/// channel 0, an empty slot channel -1.
__device__ inline void store_output(const OutputProbe& probe, const WarpParts& parts, int at, int expert,
                                    float scale, std::size_t to) {
  float squares = 0;
  Peak peak{0.0f, expert >= 0 ? 0 : -1};
  if (scale != 0.0f) {
    const bool mine = lane_index() < kPartsOfASlot;
    squares = warp_sum(mine ? parts.squares[at][lane_index()] : 0.0f);
    peak = warp_peak(mine ? parts.peak[at][lane_index()] : Peak{0.0f, 0x7fffffff});
  }
  if (lane_index() == 0) probe.store(to, squares, peak, fabsf(scale));
}

/// The probe of what one slot adds to the sum of the slots, whose norm is `whole`, by one warp.
__device__ inline void store_share(float* share, const WarpParts& parts, int at, float factor, float whole,
                                   std::size_t to) {
  float squares = 0;
  if (factor != 0.0f)
    squares = warp_sum(lane_index() < kPartsOfASlot ? parts.squares[at][lane_index()] : 0.0f);
  if (lane_index() == 0) share[to] = whole > 0.0f ? fabsf(factor) * sqrtf(squares) / whole : 0.0f;
}

/// ||sum over slots of factor * output[row]||, by the whole block. `row_of(slot)` is null where the slot adds
/// nothing.
template <class RowOf, class FactorOf>
__device__ inline float sum_norm(int slots, int width, float* scratch, RowOf&& row_of, FactorOf&& factor_of) {
  float squares = 0;
  for (int i = static_cast<int>(threadIdx.x); i < width; i += kRowThreads) {
    float sum = 0;
    for (int slot = 0; slot < slots; ++slot) {
      const float* row = row_of(slot);
      if (row != nullptr) sum += factor_of(slot) * row[i];
    }
    squares += sum * sum;
  }
  return sqrtf(block_sum<kPartsOfASlot>(squares, scratch));
}

/// hidden[token] += sum over slots, in their order, of weight * scale * output[row]; the probes of the
/// outputs and of the hidden state are taken where the values pass anyway. Blocks: tokens from `first_token`
/// on. Dynamic shared memory: `width` floats.
__global__ void __launch_bounds__(kRowThreads)
    combine_rows(const DeviceStep* step, const DeviceRouting* routing, DeviceSlots slots, SortedRows sorted,
                 const float* output, int width, int first_token, int layer, int moe_layer, float* hidden) {
  __shared__ float squares[kMeasuredSlots][kPartsOfASlot];
  __shared__ Peak peak[kMeasuredSlots][kPartsOfASlot];
  __shared__ Peak peaks[kPartsOfASlot];
  __shared__ float total[kPartsOfASlot];
  const WarpParts parts{squares, peak};
  auto* sums = reinterpret_cast<float*>(dynamic_shared());
  const int token = first_token + static_cast<int>(blockIdx.x);
  if (token >= step->tokens) return;
  const DeviceCapture& capture = step->capture;
  const bool measured = capture.output_norm != nullptr || capture.contribution != nullptr;
  const int first_slot = token * step->slots;
  const auto expert_of = [&](int slot) {
    return slot < routing->top_k ? slots.expert[first_slot + slot] : -1;
  };
  const auto scale_of = [&](int expert) { return expert >= 0 ? routing->output_scale[expert] : 0.0f; };
  const auto factor_of = [&](int slot) {
    return slots.weight[first_slot + slot] * scale_of(expert_of(slot));
  };
  const auto output_of = [&](int slot) -> const float* {
    if (scale_of(expert_of(slot)) == 0.0f) return nullptr;
    return output +
           static_cast<std::size_t>(sorted.row_of_slot[first_slot + slot]) * static_cast<std::size_t>(width);
  };
  const float whole =
      capture.contribution != nullptr ? sum_norm(step->slots, width, total, output_of, factor_of) : 0.0f;
  float* row = hidden + static_cast<std::size_t>(token) * static_cast<std::size_t>(width);
  for (int i = static_cast<int>(threadIdx.x); i < width; i += kRowThreads)
    sums[i] = row[i];
  for (int first = 0; first < step->slots; first += kMeasuredSlots) {
    const int end = min(first + kMeasuredSlots, step->slots);
    for (int slot = first; slot < end; ++slot) {
      if (const float* from = output_of(slot); from != nullptr)
        add_output(from, factor_of(slot), width, sums, slot - first, parts, measured);
    }
    if (!measured) continue;
    __syncthreads();
    for (int slot = first + warp_index(); slot < end; slot += warps_per_block()) {
      const int expert = expert_of(slot);
      const std::size_t to = (static_cast<std::size_t>(moe_layer) * static_cast<std::size_t>(step->tokens) +
                              static_cast<std::size_t>(token)) *
                                 static_cast<std::size_t>(step->slots) +
                             static_cast<std::size_t>(slot);
      store_output(OutputProbe::routed(capture), parts, slot - first, expert, scale_of(expert), to);
      if (capture.contribution != nullptr)
        store_share(capture.contribution, parts, slot - first, expert >= 0 ? factor_of(slot) : 0.0f, whole,
                    to);
    }
    __syncthreads();
  }
  for (int i = static_cast<int>(threadIdx.x); i < width; i += kRowThreads)
    row[i] = sums[i];
  if (capture.hidden_max == nullptr) return;
  const int at = layer * step->tokens + token;
  measure_row(sums, width, peaks, capture.hidden_max + at, capture.hidden_channel + at);
}

/// hidden[token] += weight[token] * output[token] of the shared expert, whose output and what it makes of the
/// hidden state are measured on the way. `weight` null: 1. Blocks: tokens.
__global__ void __launch_bounds__(kRowThreads)
    combine_shared(const DeviceStep* step, const float* weight, const float* output, int width, int layer,
                   int moe_layer, float* hidden) {
  __shared__ float squares[1][kPartsOfASlot];
  __shared__ Peak peak[1][kPartsOfASlot];
  __shared__ Peak peaks[kPartsOfASlot];
  const WarpParts parts{squares, peak};
  const int token = static_cast<int>(blockIdx.x);
  if (token >= step->tokens) return;
  const DeviceCapture& capture = step->capture;
  const bool measured = capture.shared_norm != nullptr;
  const std::size_t first = static_cast<std::size_t>(token) * static_cast<std::size_t>(width);
  float* row = hidden + first;
  add_output(output + first, weight != nullptr ? weight[token] : 1.0f, width, row, 0, parts, measured);
  __syncthreads();
  if (measured && warp_index() == 0) {
    const std::size_t to = static_cast<std::size_t>(moe_layer) * static_cast<std::size_t>(step->tokens) +
                           static_cast<std::size_t>(token);
    store_output(OutputProbe::shared(capture), parts, 0, 0, 1.0f, to);
  }
  if (capture.hidden_max == nullptr) return;
  const int at = layer * step->tokens + token;
  measure_row(row, width, peaks, capture.hidden_max + at, capture.hidden_channel + at);
}

}  // namespace expertscope::cuda
