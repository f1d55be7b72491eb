// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "engine/cuda/plain/kernels.cuh"

/// What attention does between its products; one kernel an operation, as in kernels.cuh.
namespace expertscope::cuda::plain {

/// Turns every head of x [tokens, heads, head_dim] to its position. `rope` is a table of
/// engine/cuda/rope_table.h. A thread a pair.
__global__ void rotate(std::size_t count, AttentionSpec spec, int heads, const float* rope,
                       const std::int32_t* position, float* x) {
  const std::size_t index = this_thread();
  if (index >= count) return;
  const int half = spec.rotary.width / 2;
  const bool interleaved = spec.rotary.interleaved;
  const auto i = static_cast<int>(index % static_cast<std::size_t>(half));
  const std::size_t head = index / static_cast<std::size_t>(half);
  const int row = spec.head_dim / 2;  // of cosines, and of sines
  const float* cosine =
      rope + at(static_cast<std::size_t>(position[head / static_cast<std::size_t>(heads)]), 2 * row);
  float& a = x[at(head, spec.head_dim) + static_cast<std::size_t>(interleaved ? 2 * i : i)];
  float& b = x[at(head, spec.head_dim) + static_cast<std::size_t>(interleaved ? 2 * i + 1 : i + half)];
  const float turned = a * cosine[i] - b * cosine[row + i];
  b = b * cosine[i] + a * cosine[row + i];
  a = turned;
}

/// Where attention reads and writes; arrays of all tokens of the batch.
struct AttentionRows {
  const std::int32_t* position = nullptr;
  const std::int32_t* sequence = nullptr;
  const float* q = nullptr;      ///< [tokens, heads * head_dim]
  const float* sinks = nullptr;  ///< [heads], or null
  float* scores = nullptr;       ///< scratch [tokens at a time, heads, positions of the cache]
  float* heads = nullptr;        ///< [tokens, heads * cached_value_dim]
  float* first_token = nullptr;  ///< [tokens, heads] weight of position 0
  float scale = 1;               ///< of the scores
};
/// Keys and values [tokens, kv_heads * head_dim] go to their places in the cache, which is f32; with a
/// latent, keys alone.
__global__ void remember(std::size_t count, AttentionSpec spec, DeviceCache cache, int layer,
                         AttentionRows rows, const float* k, const float* v) {
  const std::size_t i = this_thread();
  if (i >= count) return;
  const std::size_t head = i / static_cast<std::size_t>(spec.head_dim);
  const std::size_t token = head / static_cast<std::size_t>(spec.kv_heads);
  const auto kv_head = static_cast<int>(head % static_cast<std::size_t>(spec.kv_heads));
  const std::size_t place = at(static_cast<std::size_t>(rows.position[token]), cache.stride) +
                            i % static_cast<std::size_t>(spec.head_dim);
  auto* all = static_cast<float*>(cache.data);
  all[cache.head(rows.sequence[token], layer, 0, kv_head) + place] = k[i];
  if (!spec.has_latent()) all[cache.head(rows.sequence[token], layer, 1, kv_head) + place] = v[i];
}

/// heads = softmax(scores) values over what each head sees, from token `first` on. A warp a head of a token.
__global__ void attend(std::size_t count, AttentionSpec spec, DeviceCache cache, int layer,
                       AttentionRows rows, int first) {
  const std::size_t here = this_warp();
  if (here >= count) return;
  const auto heads = static_cast<std::size_t>(spec.heads);
  const auto head = static_cast<int>(here % heads);
  const std::size_t token = static_cast<std::size_t>(first) + here / heads;
  const std::size_t row = token * heads + static_cast<std::size_t>(head);
  const int seen = rows.position[token] + 1;
  const int begin = spec.window > 0 && seen > spec.window ? seen - spec.window : 0;
  const int group = spec.heads / spec.kv_heads;
  const auto* all = static_cast<const float*>(cache.data);
  const float* keys = all + cache.head(rows.sequence[token], layer, 0, head / group);
  const float* values = spec.has_latent() ? keys + spec.rotary.width
                                          : all + cache.head(rows.sequence[token], layer, 1, head / group);
  const float* q = rows.q + at(row, spec.head_dim);
  float* weights = rows.scores + at(here, cache.positions);
  for (int p = begin; p < seen; ++p) {
    float sum = 0;
    for (int d = lane_index(); d < spec.head_dim; d += kWarp)
      sum += q[d] * keys[at(static_cast<std::size_t>(p), cache.stride) + static_cast<std::size_t>(d)];
    const float score = warp_sum(sum) * rows.scale;
    if (lane_index() == 0)
      weights[p] = spec.soft_cap > 0 ? spec.soft_cap * tanhf(score / spec.soft_cap) : score;
  }
  __syncwarp();
  float most = rows.sinks != nullptr ? rows.sinks[head] : -INFINITY;
  for (int p = begin + lane_index(); p < seen; p += kWarp)
    most = fmaxf(most, weights[p]);
  most = warp_max(most);
  float sum = 0;
  for (int p = begin + lane_index(); p < seen; p += kWarp)
    sum += weights[p] = expf(weights[p] - most);
  sum = warp_sum(sum) + (rows.sinks != nullptr ? expf(rows.sinks[head] - most) : 0.0f);
  __syncwarp();
  const int value_dim = spec.cached_value_dim();
  for (int d = lane_index(); d < value_dim; d += kWarp) {
    float mean = 0;
    for (int p = begin; p < seen; ++p)
      mean += weights[p] / sum *
              values[at(static_cast<std::size_t>(p), cache.stride) + static_cast<std::size_t>(d)];
    rows.heads[at(row, value_dim) + static_cast<std::size_t>(d)] = mean;
  }
  if (lane_index() == 0) rows.first_token[row] = begin == 0 ? weights[0] / sum : 0.0f;
}

/// to[t] = the mean of x[t].
__global__ void mean(std::size_t count, const float* x, int columns, float* to) {
  const std::size_t t = this_thread();
  if (t >= count) return;
  float sum = 0;
  for (int i = 0; i < columns; ++i)
    sum += x[at(t, columns) + static_cast<std::size_t>(i)];
  to[t] = sum / static_cast<float>(columns);
}

}  // namespace expertscope::cuda::plain
