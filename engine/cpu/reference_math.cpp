// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/cpu/reference_math.h"

#include <algorithm>
#include <cmath>

namespace expertscope::cpu {

float dot(std::span<const float> a, std::span<const float> b) {
  float sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    sum += a[i] * b[i];
  return sum;
}

void add(float a, std::span<const float> x, std::span<float> y) {
  for (std::size_t i = 0; i < x.size(); ++i)
    y[i] += a * x[i];
}

void append(const Rows& x, Rows& y) {
  y.values.insert(y.values.end(), x.values.begin(), x.values.end());
  y.count += x.count;
  y.columns = x.columns;
}

Rows product(const Matrix& w, const Vector& bias, const Rows& x) {
  Rows y(x.count, static_cast<std::size_t>(w.rows));
  std::vector<float> row(x.columns);
  for (std::size_t n = 0; n < y.columns; ++n) {
    w.dequantise(static_cast<std::int64_t>(n), 0, w.cols, row.data());
    for (std::size_t m = 0; m < x.count; ++m)
      y[m][n] = dot(x[m], row) + (bias.empty() ? 0.0f : bias[n]);
  }
  return y;
}

Rows norm(const NormSpec& spec, const Vector& weight, const Vector& bias, Rows x) {
  const std::size_t width = weight.size();
  for (std::size_t first = 0; first < x.values.size(); first += width) {
    const std::span<float> piece(x.values.data() + first, width);
    float mean = 0;
    for (const float value : piece)
      mean += spec.kind == NormSpec::Kind::layer ? value / static_cast<float>(width) : 0.0f;
    float squares = 0;
    for (const float value : piece)
      squares += (value - mean) * (value - mean);
    const float scale = 1.0f / std::sqrt(squares / static_cast<float>(width) + spec.eps);
    for (std::size_t i = 0; i < width; ++i)
      piece[i] = weight[i] * ((piece[i] - mean) * scale) + (bias.empty() ? 0.0f : bias[i]);
  }
  return x;
}

void turn(std::span<float> head, std::span<const float> cosine, const float* sine, bool interleaved) {
  const std::size_t half = cosine.size();
  for (std::size_t i = 0; i < half; ++i) {
    float& a = head[interleaved ? 2 * i : i];
    float& b = head[interleaved ? 2 * i + 1 : i + half];
    const float turned = a * cosine[i] - b * sine[i];
    b = b * cosine[i] + a * sine[i];
    a = turned;
  }
}

float sigmoid(float x) {
  return 1.0f / (1.0f + std::exp(-x));
}

Rows sigmoid(Rows x) {
  for (float& value : x.values)
    value = sigmoid(value);
  return x;
}

bool all_finite(const Rows& x) {
  return std::all_of(x.values.begin(), x.values.end(), [](float value) { return std::isfinite(value); });
}

std::pair<float, std::int32_t> largest(std::span<const float> x) {
  const auto at =
      std::max_element(x.begin(), x.end(), [](float a, float b) { return std::abs(a) < std::abs(b); });
  return {std::abs(*at), static_cast<std::int32_t>(at - x.begin())};
}
}  // namespace expertscope::cpu
