// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/model/log_prob.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>

namespace expertscope {
namespace {

constexpr std::size_t kLanes = 16;

/// exp(x) for x <= 0 without a call, so that the loop over a vocabulary vectorises: x = n ln 2 + r, a
/// polynomial for e^r (Cephes expf), 2^n through the exponent bits. Below -87 it is 0.
inline float exp_of_non_positive(float x) {
  const float clamped = std::max(x, -87.0f);
  const float scaled = clamped * 1.44269504088896341f;
  const auto n = static_cast<std::int32_t>(scaled - 0.5f);
  const auto whole = static_cast<float>(n);
  const float r = (clamped - whole * 0.693359375f) + whole * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  const float power = std::bit_cast<float>((n + 127) << 23);
  return x < -87.0f ? 0.0f : p * power;
}

}  // namespace

double log_sum_exp(std::span<const float> values) {
  if (values.empty()) return -std::numeric_limits<double>::infinity();
  std::array<float, kLanes> lane_max;
  lane_max.fill(values[0]);
  const std::size_t even = values.size() - values.size() % kLanes;
  for (std::size_t i = 0; i < even; i += kLanes) {
    for (std::size_t j = 0; j < kLanes; ++j)
      lane_max[j] = std::max(lane_max[j], values[i + j]);
  }
  float max = *std::max_element(lane_max.begin(), lane_max.end());
  for (std::size_t i = even; i < values.size(); ++i)
    max = std::max(max, values[i]);
  std::array<double, kLanes> sums{};
  for (std::size_t i = 0; i < even; i += kLanes) {
    for (std::size_t j = 0; j < kLanes; ++j) {
      sums[j] += static_cast<double>(exp_of_non_positive(values[i + j] - max));
    }
  }
  double sum = 0;
  for (const double lane : sums)
    sum += lane;
  for (std::size_t i = even; i < values.size(); ++i) {
    sum += static_cast<double>(exp_of_non_positive(values[i] - max));
  }
  return static_cast<double>(max) + std::log(sum);
}

double log_probability(std::span<const float> logits, std::int32_t token) {
  if (token < 0 || static_cast<std::size_t>(token) >= logits.size()) {
    return std::numeric_limits<double>::quiet_NaN();
  }
  return static_cast<double>(logits[static_cast<std::size_t>(token)]) - log_sum_exp(logits);
}

}  // namespace expertscope
