// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/cpu/reference_delta_net.h"

#include <cmath>
#include <span>
#include <utility>

#include "engine/backend/activation.h"
#include "engine/backend/delta_rule.h"

namespace expertscope::cpu {
namespace {

/// What the projections give of every token.
struct Projected {
  Rows qkv;   ///< [tokens, channels] queries, keys, values of all heads
  Rows z;     ///< [tokens, values]
  Rows b, a;  ///< [tokens, value_heads]
};

/// Copies the next columns of `from`, behind `at`, to columns [begin, begin + count) of `to`.
void take(const Rows& from, std::size_t& at, std::size_t begin, std::size_t count, Rows& to) {
  for (std::size_t t = 0; t < from.count; ++t)
    add(1.0f, from[t].subspan(at, count), to[t].subspan(begin, count));
  at += count;
}

/// A key head's q, k, v and z stand together, and its b and a.
Projected ungroup(const DeltaNetSpec& spec, const Rows& qkvz, const Rows& ba) {
  const auto heads = static_cast<std::size_t>(spec.value_heads);
  Projected all{Rows(qkvz.count, static_cast<std::size_t>(spec.channels())),
                Rows(qkvz.count, static_cast<std::size_t>(spec.values())), Rows(qkvz.count, heads),
                Rows(qkvz.count, heads)};
  const auto keys = static_cast<std::size_t>(spec.keys());
  const auto key_dim = static_cast<std::size_t>(spec.key_dim);
  const auto group = static_cast<std::size_t>(spec.group());
  const auto width = group * static_cast<std::size_t>(spec.value_dim);
  std::size_t at = 0;
  std::size_t of_ba = 0;
  for (std::size_t h = 0; h < static_cast<std::size_t>(spec.key_heads); ++h) {
    take(qkvz, at, h * key_dim, key_dim, all.qkv);
    take(qkvz, at, keys + h * key_dim, key_dim, all.qkv);
    take(qkvz, at, 2 * keys + h * width, width, all.qkv);
    take(qkvz, at, h * width, width, all.z);
    take(ba, of_ba, h * group, group, all.b);
    take(ba, of_ba, h * group, group, all.a);
  }
  return all;
}

Projected project(const DeltaNetSpec& spec, const LayerWeights& weights, const Rows& x) {
  if (spec.grouped)
    return ungroup(spec, product(weights.delta_qkvz, {}, x), product(weights.delta_ba, {}, x));
  return {product(weights.delta_qkv, {}, x), product(weights.delta_z, {}, x), product(weights.delta_b, {}, x),
          product(weights.delta_a, {}, x)};
}

/// silu(sum over the taps of weight * input), and the last inputs for the tokens to come.
Rows convolve(const DeltaNetSpec& spec, const Vector& taps, const Rows& x, std::vector<float>& last) {
  const auto count = static_cast<std::size_t>(spec.taps);
  std::vector<float> inputs = last;  // those of the tokens before, then those of the chunk
  inputs.insert(inputs.end(), x.values.begin(), x.values.end());
  Rows y(x.count, x.columns);
  for (std::size_t t = 0; t < x.count; ++t)
    for (std::size_t c = 0; c < x.columns; ++c) {
      float sum = 0;
      for (std::size_t tap = 0; tap < count; ++tap)
        sum += taps[c * count + tap] * inputs[(t + tap) * x.columns + c];
      y[t][c] = rules::silu(sum);
    }
  last.assign(inputs.end() - static_cast<std::ptrdiff_t>(last.size()), inputs.end());
  return y;
}

/// x / sqrt(sum x^2 + eps) * scale
std::vector<float> unit(std::span<const float> x, float scale) {
  std::vector<float> y(x.size());
  add(scale / std::sqrt(dot(x, x) + rules::kDeltaNormEps), x, y);
  return y;
}

/// One token of one value head.
void step(std::span<const float> q, std::span<const float> k, std::span<const float> v, float decay,
          float beta, std::span<float> state, std::span<float> out) {
  const auto row = [&](std::size_t i) { return state.subspan(i * v.size(), v.size()); };
  for (float& value : state)
    value *= decay;
  std::vector<float> delta(v.size());
  for (std::size_t i = 0; i < k.size(); ++i)
    add(-beta * k[i], row(i), delta);
  add(beta, v, delta);
  for (std::size_t i = 0; i < k.size(); ++i) {
    add(k[i], delta, row(i));
    add(q[i], row(i), out);
  }
}

}  // namespace

DeltaRows delta_net(const LayerSpec& layer, const LayerWeights& weights, const Rows& x,
                    const SequenceChunk& chunk, DeltaState& state) {
  const DeltaNetSpec& spec = layer.delta_net;
  const auto channels = static_cast<std::size_t>(spec.channels());
  const auto keys = static_cast<std::size_t>(spec.keys());
  const auto key_dim = static_cast<std::size_t>(spec.key_dim);
  const auto value_dim = static_cast<std::size_t>(spec.value_dim);
  if (chunk.start == 0) {
    state.inputs.assign(channels * static_cast<std::size_t>(spec.taps - 1), 0.0f);
    state.state.assign(static_cast<std::size_t>(spec.values()) * key_dim, 0.0f);
  }
  Projected in = project(spec, weights, x);
  Rows qkv = convolve(spec, weights.delta_conv, in.qkv, state.inputs);
  Rows decay = in.a;
  Rows heads(x.count, static_cast<std::size_t>(spec.values()));
  Rows beta = sigmoid(in.b);
  for (std::size_t t = 0; t < x.count; ++t)
    for (std::size_t h = 0; h < static_cast<std::size_t>(spec.value_heads); ++h) {
      decay[t][h] = rules::delta_decay(weights.delta_a_log[h], weights.delta_dt_bias[h], in.a[t][h]);
      const std::size_t key_head = h / static_cast<std::size_t>(spec.group());
      const auto q =
          unit(qkv[t].subspan(key_head * key_dim, key_dim), 1.0f / std::sqrt(static_cast<float>(key_dim)));
      const auto k = unit(qkv[t].subspan(keys + key_head * key_dim, key_dim), 1.0f);
      step(q, k, qkv[t].subspan(2 * keys + h * value_dim, value_dim), decay[t][h], beta[t][h],
           std::span(state.state).subspan(h * key_dim * value_dim, key_dim * value_dim),
           heads[t].subspan(h * value_dim, value_dim));
    }
  Rows gated = norm({.eps = layer.norm.eps}, weights.delta_norm, {}, heads);
  for (std::size_t i = 0; i < gated.values.size(); ++i)
    gated.values[i] *= rules::silu(in.z.values[i]);
  return {std::move(qkv), std::move(decay), std::move(beta), std::move(heads),
          product(weights.delta_out, {}, gated)};
}

}  // namespace expertscope::cpu
