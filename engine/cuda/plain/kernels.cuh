// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/backend/activation.h"
#include "engine/backend/route_token.h"
#include "engine/cuda/kernels/block.cuh"
#include "engine/cuda/plain/weights.h"
#include "engine/cuda/step/device_step.h"
#include "engine/model/layer_spec.h"

/// One kernel an operation: the arithmetic of engine/cpu/reference_math.h under the same names, in f32, with
/// sums whose order does not depend on the batch. Activations are [rows, columns] without padding. The first
/// argument of a kernel is how many threads, or warps where it says so, have something to do.
namespace expertscope::cuda::plain {

__device__ inline std::size_t this_thread() {
  return static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}
__device__ inline std::size_t this_warp() {
  return this_thread() / kWarp;
}
__device__ inline std::size_t at(std::size_t row, int columns) {
  return row * static_cast<std::size_t>(columns);
}

/// Which matrix of several a token takes: expert[token * stride], and none where that is negative. Without,
/// the first.
struct Choice {
  const std::int32_t* expert = nullptr;
  int stride = 0;
};

/// A factor a token, factor[token * stride]; without, 1.
struct Factors {
  const float* factor = nullptr;
  int stride = 0;
};

__device__ inline float element(const StoredMatrix& matrix, std::size_t index) {
  if (matrix.type == DeviceType::f32) return static_cast<const float*>(matrix.data)[index];
  const std::uint16_t half = static_cast<const std::uint16_t*>(matrix.data)[index];
  return matrix.type == DeviceType::bf16 ? __uint_as_float(static_cast<std::uint32_t>(half) << 16)
                                         : widen_f16(half);
}

__device__ inline int chosen(const Choice& choice, std::size_t token) {
  return choice.expert == nullptr ? 0 : choice.expert[at(token, choice.stride)];
}
__device__ inline float factor_of(const Factors& factors, std::size_t token) {
  return factors.factor == nullptr ? 1.0f : factors.factor[at(token, factors.stride)];
}

/// to[i] = row ids[i] of the table, a thread an element.
inline __global__ void embed(std::size_t count, Matrices table, const std::int32_t* ids, float* to) {
  const std::size_t i = this_thread();
  if (i >= count) return;
  const auto width = static_cast<std::size_t>(table.cols);
  to[i] = element(*table.stored, static_cast<std::size_t>(ids[i / width]) * width + i % width);
}

/// to[i] = row rows[i] of x, a thread an element.
inline __global__ void gather(std::size_t count, const float* x, const std::int32_t* rows, int columns,
                              float* to) {
  const std::size_t i = this_thread();
  if (i >= count) return;
  const auto width = static_cast<std::size_t>(columns);
  to[i] = x[static_cast<std::size_t>(rows[i / width]) * width + i % width];
}

/// y[t] = W x[t] + bias, W of the choice, and 0 where there is none. A warp an output of a token.
inline __global__ void product(std::size_t count, Matrices w, Choice choice, const float* x, float* y) {
  const std::size_t i = this_warp();
  if (i >= count) return;
  const std::size_t token = i / static_cast<std::size_t>(w.rows);
  const std::size_t row = i % static_cast<std::size_t>(w.rows);
  const int which = chosen(choice, token);
  float sum = 0;
  if (which >= 0) {
    const StoredMatrix matrix = w.stored[which];
    for (int c = lane_index(); c < w.cols; c += kWarp)
      sum += x[at(token, w.cols) + static_cast<std::size_t>(c)] *
             element(matrix, at(row, w.cols) + static_cast<std::size_t>(c));
    sum = warp_sum(sum) + (matrix.bias == nullptr ? 0.0f : matrix.bias[row]);
  }
  if (lane_index() == 0) y[i] = sum;
}

/// y = norm of every piece of x by itself; y may be x. Without data, a weight is 1. A warp a piece.
inline __global__ void norm(std::size_t count, NormSpec spec, StoredVector weight, StoredVector bias,
                            const float* x, float* y) {
  const std::size_t piece = this_warp();
  if (piece >= count) return;
  const int width = weight.size;
  x += at(piece, width);
  y += at(piece, width);
  float mean = 0;
  if (spec.kind == NormSpec::Kind::layer) {
    for (int i = lane_index(); i < width; i += kWarp)
      mean += x[i];
    mean = warp_sum(mean) / static_cast<float>(width);
  }
  float squares = 0;
  for (int i = lane_index(); i < width; i += kWarp)
    squares += (x[i] - mean) * (x[i] - mean);
  const float scale = 1.0f / sqrtf(warp_sum(squares) / static_cast<float>(width) + spec.eps);
  for (int i = lane_index(); i < width; i += kWarp)
    y[i] = (weight.data == nullptr ? 1.0f : weight.data[i]) * ((x[i] - mean) * scale) +
           (bias.data == nullptr ? 0.0f : bias.data[i]);
}

/// inner = activation(gate) * up, or activation(up) where the MLP has no gate; with the clamp.
inline __global__ void activate(std::size_t count, MlpSpec spec, const float* gate, const float* up,
                                float* inner) {
  const std::size_t i = this_thread();
  if (i < count) inner[i] = rules::inner_of(spec, spec.gated ? gate[i] : 0.0f, up[i]);
}

inline __global__ void sigmoid(std::size_t count, float* x) {
  const std::size_t i = this_thread();
  if (i < count) x[i] = 1.0f / (1.0f + expf(-x[i]));
}

/// x[i] *= factor[i / each]
inline __global__ void multiply(std::size_t count, const float* factor, std::size_t each, float* x) {
  const std::size_t i = this_thread();
  if (i < count) x[i] *= factor[i / each];
}

/// to[t] = factor * x[t]
inline __global__ void scale(std::size_t count, Factors factors, const float* x, int columns, float* to) {
  const std::size_t i = this_thread();
  if (i < count) to[i] = factor_of(factors, i / static_cast<std::size_t>(columns)) * x[i];
}

/// x *= factor, and the number at `learned` where there is one.
inline __global__ void multiply_all(std::size_t count, float factor, const float* learned, float* x) {
  const std::size_t i = this_thread();
  if (i < count) x[i] *= learned == nullptr ? factor : factor * *learned;
}

/// x = cap * tanh(x / cap)
inline __global__ void cap_all(std::size_t count, float cap, float* x) {
  const std::size_t i = this_thread();
  if (i < count) x[i] = cap * tanhf(x[i] / cap);
}

/// y[t] += factor * x[t]; a factor 0 adds nothing, whatever x is.
inline __global__ void add(std::size_t count, Factors factors, const float* x, int columns, float* y) {
  const std::size_t i = this_thread();
  if (i >= count) return;
  const float factor = factor_of(factors, i / static_cast<std::size_t>(columns));
  if (factor != 0.0f) y[i] += factor * x[i];
}

/// Router logits in, slots out.
struct RoutedRows {
  const float* logits = nullptr;   ///< [tokens, experts]
  float* scores = nullptr;         ///< [tokens, experts] of the edited logits
  RoutedSlot* scratch = nullptr;   ///< [tokens, top_k]
  std::int32_t* expert = nullptr;  ///< [tokens, slots] -1: none
  float* weight = nullptr;         ///< [tokens, top_k] combine weight
  float* factor = nullptr;         ///< [tokens, top_k] what f_e is multiplied by before it is added
  int experts = 0;
  int top_k = 0;
  int slots = 0;  ///< RoutingTable::max_top_k
};
/// Routes every token, a thread each.
inline __global__ void route(std::size_t count, const RouterRule* rule_at, RoutedRows rows) {
  const std::size_t t = this_thread();
  if (t >= count) return;
  const RouterRule& rule = *rule_at;
  RoutedSlot* slots = rows.scratch + at(t, rows.top_k);
  rules::route(rule, rows.logits + at(t, rows.experts), rows.scores + at(t, rows.experts), slots);
  for (int s = 0; s < rows.slots; ++s)
    rows.expert[at(t, rows.slots) + static_cast<std::size_t>(s)] = s < rows.top_k ? slots[s].expert : -1;
  for (int s = 0; s < rows.top_k; ++s) {
    const std::size_t slot = at(t, rows.top_k) + static_cast<std::size_t>(s);
    const int expert = slots[s].expert;
    rows.weight[slot] = expert >= 0 ? slots[s].weight : 0.0f;
    const float weight = rule.model.weighs_input ? 1.0f : slots[s].weight;
    rows.factor[slot] = expert >= 0 ? weight * rule.output_scale[expert] : 0.0f;
  }
}

/// What the probes ask of that. `row`: moe_layer * tokens.
inline __global__ void note_routing(std::size_t count, const RouterRule* rule, RoutedRows rows,
                                    std::size_t row, DeviceCapture capture) {
  const std::size_t t = this_thread();
  if (t >= count) return;
  const float* logits = rows.logits + at(t, rows.experts);
  for (int s = 0; s < rows.slots; ++s) {
    const std::size_t to = at(row + t, rows.slots) + static_cast<std::size_t>(s);
    const RoutedSlot slot =
        s < rows.top_k ? rows.scratch[at(t, rows.top_k) + static_cast<std::size_t>(s)] : RoutedSlot{};
    if (capture.expert != nullptr)
      capture.expert[to] = static_cast<std::uint16_t>(slot.expert);  // -1 is kNoExpert
    if (capture.probability == nullptr) continue;
    capture.probability[to] = slot.score;
    capture.weight[to] = slot.weight;
  }
  if (capture.entropy != nullptr)
    capture.entropy[row + t] = rules::entropy(rule->model.score, logits, rows.experts);
  if (capture.router_logits == nullptr) return;
  for (int e = 0; e < rows.experts; ++e)
    capture.router_logits[at(row + t, capture.experts) + static_cast<std::size_t>(e)] = logits[e];
}

/// Where a probe of rows writes: of token t at [t * stride]. `norm` may be null, and so may `most` with
/// `channel`.
struct Measures {
  float* norm = nullptr;
  float* most = nullptr;
  std::int32_t* channel = nullptr;
  int stride = 1;
};
/// ||x[t]||, max |x[t]| and its channel, times |output_scale| of the expert where there is a rule: 0, 0 and
/// channel 0 of a silenced expert, channel -1 where there is none. A warp a token.
inline __global__ void measure(std::size_t count, const float* x, int columns, Choice choice,
                               const RouterRule* rule, Measures to) {
  const std::size_t t = this_warp();
  if (t >= count) return;
  const int expert = chosen(choice, t);
  const float scale = expert < 0 ? 0.0f : rule == nullptr ? 1.0f : fabsf(rule->output_scale[expert]);
  float squares = 0;
  Peak peak{0.0f, expert < 0 ? -1 : 0};
  if (scale != 0) {
    peak = {0.0f, 0x7fffffff};
    for (int i = lane_index(); i < columns; i += kWarp) {
      const float value = x[at(t, columns) + static_cast<std::size_t>(i)];
      squares += value * value;
      const Peak now{fabsf(value), i};
      if (beats(now, peak)) peak = now;
    }
    squares = warp_sum(squares);
    peak = warp_peak(peak);
  }
  if (lane_index() != 0) return;
  const std::size_t place = at(t, to.stride);
  if (to.norm != nullptr) to.norm[place] = sqrtf(squares) * scale;
  if (to.most == nullptr) return;
  to.most[place] = peak.value * scale;
  to.channel[place] = peak.channel;
}

/// norm[t, slot] = norm of what the slot adds over that of the sum; a slot behind the layer's own adds
/// nothing. `factor`: [tokens, top_k].
inline __global__ void share(std::size_t count, const float* factor, int top_k, int slots, const float* whole,
                             float* norm) {
  const std::size_t i = this_thread();
  if (i >= count) return;
  const std::size_t t = i / static_cast<std::size_t>(slots);
  const int slot = static_cast<int>(i % static_cast<std::size_t>(slots));
  const float of = slot < top_k ? fabsf(factor[at(t, top_k) + static_cast<std::size_t>(slot)]) : 0.0f;
  norm[i] = whole[t] > 0 && of > 0 ? of * norm[i] / whole[t] : 0.0f;
}

/// Raises the flag when a value is NaN or infinite.
inline __global__ void check_finite(std::size_t count, const float* x, unsigned* flag) {
  const std::size_t i = this_thread();
  if (i < count && !isfinite(x[i])) atomicOr(flag, 1u);
}

}  // namespace expertscope::cuda::plain
