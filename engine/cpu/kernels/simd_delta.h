// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "engine/cpu/kernels/simd_ops.h"

/// The kernels of a DeltaNet (DeltaNetSpec) over a policy V, see simd_ops.h.
namespace expertscope::cpu {

template <class V>
inline void convolve_lanes(const float* const* rows, const float* weights, int taps, std::int64_t n,
                           float* y) {
  const auto one = V::set(1.0f);
  const auto silu = [&](typename V::F x) {
    return V::div(x, V::add(one, exp_lanes<V>(V::sub(V::set(0), x))));
  };
  for_lanes<V>(
      n,
      [&](std::int64_t i) {
        auto sum = V::set(0);
        for (int tap = 0; tap < taps; ++tap)
          sum = V::fma(V::load(weights + tap * n + i), V::load(rows[tap] + i), sum);
        V::store(y + i, silu(sum));
      },
      [&](std::int64_t i, int count) {
        auto sum = V::set(0);
        for (int tap = 0; tap < taps; ++tap)
          sum = V::fma(V::load(weights + tap * n + i, count), V::load(rows[tap] + i, count), sum);
        V::store(y + i, silu(sum), count);
      });
}

/// kRegisters registers of columns of the state, from `column` on; the last one has `count` of them.
template <class V, int kRegisters>
inline void delta_columns(const DeltaStep& step, std::int64_t column, int count) {
  using F = typename V::F;
  const auto load = [&](const float* at, int r) {
    return r + 1 < kRegisters ? V::load(at + r * V::kWidth) : V::load(at + r * V::kWidth, count);
  };
  const auto store = [&](float* at, int r, F value) {
    r + 1 < kRegisters ? V::store(at + r * V::kWidth, value) : V::store(at + r * V::kWidth, value, count);
  };
  F known[kRegisters];  // S^T k, then beta (v - decay S^T k)
  F answer[kRegisters];
  for (int r = 0; r < kRegisters; ++r)
    known[r] = answer[r] = V::set(0);
  float* row = step.state + column;
  for (std::int64_t i = 0; i < step.key_dim; ++i, row += step.value_dim)
    for (int r = 0; r < kRegisters; ++r)
      known[r] = V::fma(V::set(step.k[i]), load(row, r), known[r]);
  const F decay = V::set(step.decay);
  for (int r = 0; r < kRegisters; ++r)
    known[r] = V::mul(V::set(step.beta), V::sub(load(step.v + column, r), V::mul(decay, known[r])));
  row = step.state + column;
  for (std::int64_t i = 0; i < step.key_dim; ++i, row += step.value_dim)
    for (int r = 0; r < kRegisters; ++r) {
      const F kept = V::fma(V::set(step.k[i]), known[r], V::mul(decay, load(row, r)));
      store(row, r, kept);
      answer[r] = V::fma(V::set(step.q[i]), kept, answer[r]);
    }
  for (int r = 0; r < kRegisters; ++r)
    store(step.out + column, r, answer[r]);
}

template <class V>
inline void delta_step_lanes(const DeltaStep& step) {
  constexpr int kRegisters = 4;
  std::int64_t column = 0;
  for (; column + kRegisters * V::kWidth <= step.value_dim; column += kRegisters * V::kWidth)
    delta_columns<V, kRegisters>(step, column, V::kWidth);
  for (; column < step.value_dim; column += V::kWidth) {
    const std::int64_t left = step.value_dim - column;
    delta_columns<V, 1>(step, column, left < V::kWidth ? static_cast<int>(left) : V::kWidth);
  }
}

}  // namespace expertscope::cpu
