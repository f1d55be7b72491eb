// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/cpu/reference_attention.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace expertscope::cpu {
namespace {

NormSpec latent_norm(const LayerSpec& spec) {
  NormSpec norm = spec.norm;
  norm.eps = spec.attention.latent.eps;
  return norm;
}

/// Columns [first, first + count) of every row.
Rows columns(const Rows& x, std::size_t first, std::size_t count) {
  Rows part(x.count, count);
  for (std::size_t row = 0; row < x.count; ++row)
    std::copy_n(x[row].begin() + static_cast<std::ptrdiff_t>(first), count, part[row].begin());
  return part;
}

}  // namespace

float attend(const AttentionSpec& spec, float sink, std::size_t position, std::span<const float> q,
             const HeadRows& keys, const HeadRows& values, std::span<float> out) {
  const std::size_t seen = position + 1;
  const auto window = static_cast<std::size_t>(spec.window);
  const std::size_t begin = window > 0 && seen > window ? seen - window : 0;
  std::vector<float> weights;
  for (std::size_t at = begin; at < seen; ++at) {
    const float score = dot(q, keys.at(at, q.size())) * spec.score_scale();
    weights.push_back(spec.soft_cap > 0 ? spec.soft_cap * std::tanh(score / spec.soft_cap) : score);
  }
  float most = *std::max_element(weights.begin(), weights.end());
  if (spec.sinks) most = std::max(most, sink);
  float sum = spec.sinks ? std::exp(sink - most) : 0.0f;
  for (float& weight : weights)
    sum += weight = std::exp(weight - most);
  for (std::size_t at = begin; at < seen; ++at)
    add(weights[at - begin] / sum, values.at(at, out.size()), out);
  return begin == 0 ? weights.front() / sum : 0.0f;
}

LatentQueries latent_queries(const LayerSpec& spec, const LayerWeights& weights, const Rows& x) {
  if (spec.attention.latent.q_rank == 0) return {Rows(0, 0), product(weights.q_proj, {}, x)};
  Rows latent = norm(latent_norm(spec), weights.q_a_norm, {}, product(weights.q_a_proj, weights.q_a_bias, x));
  Rows q = product(weights.q_b_proj, {}, latent);
  return {std::move(latent), std::move(q)};
}

Rows latent_cache_rows(const LayerSpec& spec, const LayerWeights& weights, const Rows& x) {
  const auto rank = static_cast<std::size_t>(spec.attention.latent.rank);
  const auto turning = static_cast<std::size_t>(spec.attention.rotary.width);
  const Rows both = product(weights.kv_a_proj, weights.kv_a_bias, x);  // the latent first
  const Rows latent = norm(latent_norm(spec), weights.kv_a_norm, {}, columns(both, 0, rank));
  Rows rows(x.count, turning + rank);
  for (std::size_t row = 0; row < x.count; ++row) {
    std::copy_n(both[row].begin() + static_cast<std::ptrdiff_t>(rank), turning, rows[row].begin());
    std::copy_n(latent[row].begin(), rank, rows[row].begin() + static_cast<std::ptrdiff_t>(turning));
  }
  return rows;
}

Rows expand_latents(const LayerSpec& spec, const LayerWeights& weights, std::span<const float> cached) {
  const auto rank = static_cast<std::size_t>(spec.attention.latent.rank);
  const auto width = static_cast<std::size_t>(spec.attention.head_dim);
  Rows rows(cached.size() / width, width);
  std::copy(cached.begin(), cached.end(), rows.values.begin());
  return product(weights.kv_b_proj, {}, columns(rows, width - rank, rank));
}

}  // namespace expertscope::cpu
