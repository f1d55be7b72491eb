// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "engine/cpu/kernels/kernels.h"
#include "engine/cpu/kernels/simd_scaled.h"

/// Element-wise kernels of the SIMD levels over a policy V of the including file's unnamed namespace (see
/// levels.h): kWidth lanes, registers F; load, store (each also with a count for a partial register, missing
/// lanes zero), set, add, sub, mul, div, fma, max, round, scale_by_power_of_two, sum, largest.
namespace expertscope::cpu {

/// exp(x), within 2 units in the last place; 0 below -104, infinity above 88.7; NaN stays NaN.
/// Range reduction by ln 2 in two parts and the degree-5 polynomial of Cephes (Moshier), expf.c.
template <class V>
inline typename V::F exp_lanes(typename V::F x) {
  x = V::max(V::set(-110.0f), V::min(V::set(90.0f), x));
  const auto n = V::round(V::mul(x, V::set(1.44269504088896341f)));
  auto r = V::fma(n, V::set(-0.693359375f), x);
  r = V::fma(n, V::set(2.12194440e-4f), r);
  auto p = V::set(1.9875691500e-4f);
  p = V::fma(p, r, V::set(1.3981999507e-3f));
  p = V::fma(p, r, V::set(8.3334519073e-3f));
  p = V::fma(p, r, V::set(4.1665795894e-2f));
  p = V::fma(p, r, V::set(1.6666665459e-1f));
  p = V::fma(p, r, V::set(5.0000001201e-1f));
  p = V::fma(V::mul(r, r), p, V::add(r, V::set(1.0f)));
  return V::scale_by_power_of_two(p, n);
}

/// Calls full(i) for whole registers and partial(i, count) for what is left.
template <class V, class Full, class Partial>
inline void for_lanes(std::int64_t n, Full full, Partial partial) {
  std::int64_t i = 0;
  for (; i + V::kWidth <= n; i += V::kWidth)
    full(i);
  if (i < n) partial(i, static_cast<int>(n - i));
}

/// Elements [first, first + count) of a row of weights, widened as P loads them (see simd_tile.h).
template <class V, class P>
inline void widen_row(const Matrix& w, std::int64_t row, std::int64_t first, std::int64_t count, float* y) {
  const auto* from = static_cast<const std::uint8_t*>(w.data) + row * P::w_bytes(w.cols) + P::w_bytes(first);
  std::int64_t i = 0;
  for (; i + P::kStep <= count; i += P::kStep)
    P::store_w(P::load_w(from + P::w_bytes(i)), y + i);
  if constexpr (requires { P::load_w_tail(from, 1); }) {
    const auto left = static_cast<int>(count - i);
    if (left > 0) V::store(y + i, P::load_w_tail(from + P::w_bytes(i), left), left);
  }
}

/// Matrix::dequantise; Product<id> is the policy of each format that has one.
template <class V, template <FormatId> class Product>
inline void dequantise_any(const Matrix& w, std::int64_t row, std::int64_t first, std::int64_t count,
                           float* y) {
  switch (w.format->id) {
    case FormatId::f32:
      return widen_row<V, Product<FormatId::f32>>(w, row, first, count, y);
    case FormatId::f16:
      return widen_row<V, Product<FormatId::f16>>(w, row, first, count, y);
    case FormatId::bf16:
      return widen_row<V, Product<FormatId::bf16>>(w, row, first, count, y);
    case FormatId::q8_0:
      return widen_row<V, Product<FormatId::q8_0>>(w, row, first, count, y);
    case FormatId::f8_e4m3:
      return widen_scaled_row<V, Product<FormatId::f8_e4m3>>(w, row, first, count, y);
    case FormatId::mxfp4:
      return widen_row_of_blocks<Product<FormatId::mxfp4>>(w, row, first, count, y);
    case FormatId::int4_bf16:
      return widen_scaled_row<V, Product<FormatId::int4_bf16>>(w, row, first, count, y);
    case FormatId::int4_f16:
      return widen_scaled_row<V, Product<FormatId::int4_f16>>(w, row, first, count, y);
    case FormatId::int4_f32:
      return widen_scaled_row<V, Product<FormatId::int4_f32>>(w, row, first, count, y);
    case FormatId::nvfp4:
      return widen_scaled_row<V, Product<FormatId::nvfp4>>(w, row, first, count, y);
    case FormatId::other:
      return w.dequantise(row, first, count, y);
  }
}

template <class V>
inline void rms_norm_lanes(const float* x, const float* weight, std::int64_t n, float eps, float* y) {
  auto squares = V::set(0);
  const auto add = [&](typename V::F v) { squares = V::fma(v, v, squares); };
  for_lanes<V>(
      n, [&](std::int64_t i) { add(V::load(x + i)); },
      [&](std::int64_t i, int count) { add(V::load(x + i, count)); });
  const float mean = V::sum(squares) / static_cast<float>(n);
  const auto scale = V::set(1.0f / __builtin_sqrtf(mean + eps));
  for_lanes<V>(
      n, [&](std::int64_t i) { V::store(y + i, V::mul(V::load(weight + i), V::mul(V::load(x + i), scale))); },
      [&](std::int64_t i, int count) {
        V::store(y + i, V::mul(V::load(weight + i, count), V::mul(V::load(x + i, count), scale)), count);
      });
}

template <class V>
inline void rope_lanes(float* x, const float* cosine, const float* sine, std::int64_t head_dim) {
  const std::int64_t half = head_dim / 2;
  float* y = x + half;
  std::int64_t i = 0;
  for (; i + V::kWidth <= half; i += V::kWidth) {
    const auto a = V::load(x + i);
    const auto b = V::load(y + i);
    const auto c = V::load(cosine + i);
    const auto s = V::load(sine + i);
    V::store(x + i, V::sub(V::mul(a, c), V::mul(b, s)));
    V::store(y + i, V::fma(a, s, V::mul(b, c)));
  }
  for (; i < half; ++i) {
    const float a = x[i];
    const float b = y[i];
    x[i] = a * cosine[i] - b * sine[i];
    y[i] = b * cosine[i] + a * sine[i];
  }
}

/// Largest element; NaN elements may or may not count.
template <class V>
inline float largest_of(const float* x, std::int64_t n) {
  auto best = V::set(-__builtin_inff());
  std::int64_t i = 0;
  for (; i + V::kWidth <= n; i += V::kWidth)
    best = V::max(best, V::load(x + i));
  float largest = V::largest(best);
  for (; i < n; ++i)
    largest = x[i] > largest ? x[i] : largest;
  return largest;
}

/// x = exp(x - shift); returns the sum.
template <class V>
inline float exp_and_sum(float* x, std::int64_t n, float shift) {
  const auto offset = V::set(shift);
  auto total = V::set(0);
  float rest = 0;
  for_lanes<V>(
      n,
      [&](std::int64_t i) {
        const auto e = exp_lanes<V>(V::sub(V::load(x + i), offset));
        V::store(x + i, e);
        total = V::add(total, e);
      },
      [&](std::int64_t i, int count) {
        V::store(x + i, exp_lanes<V>(V::sub(V::load(x + i, count), offset)), count);
        for (int lane = 0; lane < count; ++lane)
          rest += x[i + lane];
      });
  return V::sum(total) + rest;
}

template <class V>
inline void scale_lanes(float* x, std::int64_t n, float factor) {
  const auto f = V::set(factor);
  for_lanes<V>(
      n, [&](std::int64_t i) { V::store(x + i, V::mul(V::load(x + i), f)); },
      [&](std::int64_t i, int count) { V::store(x + i, V::mul(V::load(x + i, count), f), count); });
}

template <class V>
inline void swiglu_lanes(const MlpSpec& mlp, const float* gate, const float* up, std::int64_t n, float* out) {
  const float limit = mlp.clamp > 0 ? mlp.clamp : __builtin_inff();
  const auto one = V::set(1.0f);
  // x * sigmoid(slope * x), of which GELU by tanh is the one whose slope grows: 0.5 (1 + tanh y) is the
  // sigmoid of 2 y.
  const bool gelu = mlp.activation == Activation::gelu_tanh;
  const auto slope = [&](typename V::F g) {
    constexpr float kTwiceRootOfTwoOverPi = 1.5957691216057308f;
    if (!gelu) return V::set(-mlp.alpha);
    return V::mul(V::set(-kTwiceRootOfTwoOverPi), V::add(one, V::mul(V::set(0.044715f), V::mul(g, g))));
  };
  // A NaN is the second of two.
  const auto act = [&](typename V::F g, typename V::F u) {
    g = V::min(V::set(limit), g);
    u = V::add(V::max(V::set(-limit), V::min(V::set(limit), u)), V::set(mlp.up_offset));
    return V::mul(V::div(g, V::add(one, exp_lanes<V>(V::mul(slope(g), g)))), u);
  };
  for_lanes<V>(
      n, [&](std::int64_t i) { V::store(out + i, act(V::load(gate + i), V::load(up + i))); },
      [&](std::int64_t i, int count) {
        V::store(out + i, act(V::load(gate + i, count), V::load(up + i, count)), count);
      });
}

template <class V>
inline void axpy_lanes(float a, const float* x, std::int64_t n, float* y) {
  const auto factor = V::set(a);
  for_lanes<V>(
      n, [&](std::int64_t i) { V::store(y + i, V::fma(factor, V::load(x + i), V::load(y + i))); },
      [&](std::int64_t i, int count) {
        V::store(y + i, V::fma(factor, V::load(x + i, count), V::load(y + i, count)), count);
      });
}

/// |x| is compared by its bits, where NaN is the largest of all.
template <class V>
inline RowStats row_stats_lanes(const float* x, std::int64_t n) {
  auto squares = V::set(0);
  auto best = V::no_magnitude();
  auto where = V::lane_ids();
  auto lanes = V::lane_ids();
  const auto visit = [&](typename V::F v) {
    squares = V::fma(v, v, squares);
    V::keep_larger(V::magnitude(v), lanes, best, where);
    lanes = V::next_lanes(lanes);
  };
  for_lanes<V>(
      n, [&](std::int64_t i) { visit(V::load(x + i)); },
      [&](std::int64_t i, int count) { visit(V::load(x + i, count)); });
  std::int32_t magnitudes[V::kWidth];
  std::int32_t channels[V::kWidth];
  V::store_ints(magnitudes, best);
  V::store_ints(channels, where);
  int lane = 0;
  for (int i = 1; i < V::kWidth; ++i) {
    const bool larger = magnitudes[i] > magnitudes[lane];
    const bool earlier = magnitudes[i] == magnitudes[lane] && channels[i] < channels[lane];
    if (larger || earlier) lane = i;
  }
  RowStats stats;
  std::memcpy(&stats.max_abs, &magnitudes[lane], sizeof(float));
  stats.channel = channels[lane];
  stats.norm = __builtin_sqrtf(V::sum(squares));
  return stats;
}

/// Fills rows of PackLayout::f32_rows, rounded by V::to_bf16 when the arithmetic is bf16.
template <class V>
inline void pack_f32_rows(const ActivationRows& x, const PackedActivations& out, std::int64_t m0,
                          std::int64_t m1) {
  const bool rounded = out.arithmetic == Arithmetic::bf16;
  for (std::int64_t m = m0; m < m1; ++m) {
    const float* from = x.data + x.stride * (x.index != nullptr ? x.index[m] : m);
    float* to = static_cast<float*>(out.memory) + m * out.stride;
    const auto copy = [&](std::int64_t i, typename V::F v) { V::store(to + i, rounded ? V::to_bf16(v) : v); };
    for (std::int64_t i = x.cols / V::kWidth * V::kWidth; i < out.stride; i += V::kWidth)
      V::store(to + i, V::set(0));
    for_lanes<V>(
        x.cols, [&](std::int64_t i) { copy(i, V::load(from + i)); },
        [&](std::int64_t i, int count) { copy(i, V::load(from + i, count)); });
  }
}

}  // namespace expertscope::cpu
