// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/backend/log_prob.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

// Runs over the whole vocabulary at every token, so it is written in vectors, and compiled for the wider ones
// too. Which one runs is asked before main(), when the functions of a sanitizer do not work yet.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)
#define EXPERTSCOPE_WIDEST_VECTORS __attribute__((target_clones("default", "avx2", "avx512f")))
#else
#define EXPERTSCOPE_WIDEST_VECTORS
#endif

namespace expertscope {
namespace {

constexpr std::size_t kLanes = 16;
using Floats = float __attribute__((vector_size(kLanes * sizeof(float))));
using Ints = std::int32_t __attribute__((vector_size(kLanes * sizeof(float))));

/// Sums of exp(values[i] - max) for `blocks` blocks of kLanes; max is the largest of all values. exp(x) for
/// x <= 0 is 2^n times a polynomial for e^r, x = n ln 2 + r (Cephes, expf); below -87 it counts as 0. Lanes
/// are added up in f32 for a few blocks and then in double.
EXPERTSCOPE_WIDEST_VECTORS double sum_of_exp(const float* values, std::size_t blocks, float max) {
  constexpr std::size_t kBlocksPerSum = 16;
  double total = 0;
  for (std::size_t first = 0; first < blocks; first += kBlocksPerSum) {
    Floats sum = {};
    for (std::size_t block = first; block < std::min(blocks, first + kBlocksPerSum); ++block) {
      Floats x;
      std::memcpy(&x, values + block * kLanes, sizeof(x));
      x -= max;
      const Ints counts = x >= -87.0f;
      x = counts ? x : Floats{};
      const Ints n = __builtin_convertvector(x * 1.44269504088896341f - 0.5f, Ints);
      const Floats whole = __builtin_convertvector(n, Floats);
      const Floats r = (x - whole * 0.693359375f) + whole * 2.12194440e-4f;
      Floats p = r * 1.9875691500e-4f + 1.3981999507e-3f;
      p = p * r + 8.3334519073e-3f;
      p = p * r + 4.1665795894e-2f;
      p = p * r + 1.6666665459e-1f;
      p = p * r + 5.0000001201e-1f;
      p = p * r * r + r + 1.0f;
      const Ints exponent = (n + 127) << 23;
      Floats power;
      std::memcpy(&power, &exponent, sizeof(power));
      sum += counts ? p * power : Floats{};
    }
    for (std::size_t lane = 0; lane < kLanes; ++lane)
      total += static_cast<double>(sum[lane]);
  }
  return total;
}

EXPERTSCOPE_WIDEST_VECTORS float largest(const float* values, std::size_t blocks) {
  Floats max;
  std::memcpy(&max, values, sizeof(max));
  for (std::size_t block = 1; block < blocks; ++block) {
    Floats x;
    std::memcpy(&x, values + block * kLanes, sizeof(x));
    max = x > max ? x : max;
  }
  float result = max[0];
  for (std::size_t lane = 1; lane < kLanes; ++lane)
    result = std::max(result, max[lane]);
  return result;
}

}  // namespace

double log_sum_exp(std::span<const float> values) {
  if (values.empty()) return -std::numeric_limits<double>::infinity();
  const std::size_t blocks = values.size() / kLanes;
  const auto rest = values.subspan(blocks * kLanes);
  float max = blocks > 0 ? largest(values.data(), blocks) : values[0];
  for (const float value : rest)
    max = std::max(max, value);
  double sum = sum_of_exp(values.data(), blocks, max);
  for (const float value : rest)
    sum += std::exp(static_cast<double>(value) - static_cast<double>(max));
  return static_cast<double>(max) + std::log(sum);
}

double log_probability(std::span<const float> logits, std::int32_t token) {
  if (token < 0 || static_cast<std::size_t>(token) >= logits.size()) {
    return std::numeric_limits<double>::quiet_NaN();
  }
  return static_cast<double>(logits[token]) - log_sum_exp(logits);
}

}  // namespace expertscope
