// SPDX-License-Identifier: GPL-3.0-or-later
// The specification of every kernel, in the plainest form that computes it.
#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <numeric>

#include "engine/backend/activation.h"
#include "engine/cpu/kernels/levels.h"
#include "engine/half.h"

namespace expertscope::cpu {
namespace {

/// Element `i` of keys or values.
float element(const void* data, bool bf16, std::int64_t i) {
  return bf16 ? bf16_to_f32(static_cast<const std::uint16_t*>(data)[i]) : static_cast<const float*>(data)[i];
}

PackLayout layout(Arithmetic, std::int64_t) {
  return PackLayout::f32_rows;
}

void pack(const ActivationRows& x, const PackedActivations& out, std::int64_t m0, std::int64_t m1) {
  for (std::int64_t m = m0; m < m1; ++m) {
    const float* from = x.row(m);
    float* to = static_cast<float*>(out.memory) + m * out.stride;
    for (std::int64_t k = 0; k < x.cols; ++k)
      to[k] = out.arithmetic == Arithmetic::bf16 ? bf16_to_f32(f32_to_bf16(from[k])) : from[k];
    std::fill(to + x.cols, to + out.stride, 0.0f);
  }
}

void dequantise(const Matrix& w, std::int64_t row, std::int64_t first, std::int64_t count, float* y) {
  w.dequantise(row, first, count, y);
}

/// The sums grow block by block, and run on from one piece of a row to the next.
void matmul(const Matrix& w, const PackedActivations& x, std::int64_t n0, std::int64_t n1, float* y,
            std::int64_t y_stride) {
  float piece[256];  // as large as the largest block
  for (std::int64_t n = n0; n < n1; ++n) {
    for (std::int64_t m = 0; m < x.rows; ++m)
      y[m * y_stride + n] = 0;
    for (std::int64_t k = 0; k < x.cols; k += std::ssize(piece)) {
      const std::int64_t count = std::min(std::ssize(piece), x.cols - k);
      w.dequantise(n, k, count, piece);
      for (std::int64_t m = 0; m < x.rows; ++m) {
        const float* row = static_cast<const float*>(x.memory) + m * x.stride + k;
        y[m * y_stride + n] = std::inner_product(row, row + count, piece, y[m * y_stride + n]);
      }
    }
  }
}

void to_bf16(const float* x, std::int64_t n, std::uint16_t* y) {
  for (std::int64_t i = 0; i < n; ++i)
    y[i] = f32_to_bf16(x[i]);
}

void rms_norm(const float* x, const float* weight, std::int64_t n, float eps, float* y) {
  float sum = 0;
  for (std::int64_t i = 0; i < n; ++i)
    sum += x[i] * x[i];
  const float scale = 1.0f / std::sqrt(sum / static_cast<float>(n) + eps);
  for (std::int64_t i = 0; i < n; ++i)
    y[i] = weight[i] * (x[i] * scale);
}

void rope(float* x, const float* cosine, const float* sine, std::int64_t head_dim) {
  const std::int64_t half = head_dim / 2;
  for (std::int64_t i = 0; i < half; ++i) {
    const float a = x[i];
    const float b = x[i + half];
    x[i] = a * cosine[i] - b * sine[i];
    x[i + half] = b * cosine[i] + a * sine[i];
  }
}

void swiglu(const MlpSpec& mlp, const float* gate, const float* up, std::int64_t n, float* out) {
  for (std::int64_t i = 0; i < n; ++i)
    out[i] = rules::inner_of(mlp, gate[i], up[i]);
}

void axpy(float a, const float* x, std::int64_t n, float* y) {
  for (std::int64_t i = 0; i < n; ++i)
    y[i] += a * x[i];
}

RowStats row_stats(const float* x, std::int64_t n) {
  RowStats stats;
  float sum = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    sum += x[i] * x[i];
    const float magnitude = std::fabs(x[i]);
    if (magnitude > stats.max_abs || (std::isnan(magnitude) && !std::isnan(stats.max_abs))) {
      stats.max_abs = magnitude;
      stats.channel = static_cast<std::int32_t>(i);
    }
  }
  stats.norm = std::sqrt(sum);
  return stats;
}

/// The first key that a token sees of `end` keys.
std::int64_t first_key(const AttentionTask& task, std::int64_t end) {
  return task.window > 0 ? std::max<std::int64_t>(0, end - task.window) : 0;
}

/// One query row over keys first .. last: scores, softmax and weighted sum in one pass (online softmax).
/// Returns the softmax weight of position 0.
float attend(const AttentionTask& task, const float* q, int head, std::int64_t last, float* out) {
  std::fill(out, out + task.value_dim, 0.0f);
  const bool sink = task.sinks != nullptr;
  float largest = sink ? task.sinks[head] : -std::numeric_limits<float>::infinity();
  float sum = sink ? 1 : 0;
  float first = 0;
  for (std::int64_t t = first_key(task, last + 1); t <= last; ++t) {
    float score = 0;
    for (int d = 0; d < task.head_dim; ++d)
      score += q[d] * element(task.k, task.kv_bf16, t * task.kv_stride + d);
    score *= task.scale;
    const float new_largest = std::max(largest, score);
    const float rescale = std::exp(largest - new_largest);
    const float weight = std::exp(score - new_largest);
    largest = new_largest;
    sum = sum * rescale + weight;
    first = t == 0 ? weight : first * rescale;  // 0 where a window hides it
    for (int d = 0; d < task.value_dim; ++d)
      out[d] = out[d] * rescale + weight * element(task.v, task.kv_bf16, t * task.kv_stride + d);
  }
  for (int d = 0; d < task.value_dim; ++d)
    out[d] /= sum;
  return first / sum;
}

void attention(const AttentionTask& task) {
  for (std::int64_t t = 0; t < task.tokens; ++t)
    for (int h = 0; h < task.group; ++h) {
      const float first = attend(task, task.q + t * task.q_stride + h * task.head_dim, h, task.position + t,
                                 task.out + t * task.out_stride + h * task.value_dim);
      if (task.first != nullptr) task.first[t * task.first_stride + h] = first;
    }
}

void convolve(const float* const* rows, const float* weights, int taps, std::int64_t n, float* y) {
  for (std::int64_t i = 0; i < n; ++i) {
    float sum = 0;
    for (int tap = 0; tap < taps; ++tap)
      sum += weights[tap * n + i] * rows[tap][i];
    y[i] = sum / (1.0f + std::exp(-sum));
  }
}

void delta_step(const DeltaStep& step) {
  for (std::int64_t j = 0; j < step.value_dim; ++j) {
    float* column = step.state + j;
    float known = 0;
    for (std::int64_t i = 0; i < step.key_dim; ++i)
      known += step.k[i] * column[i * step.value_dim];
    const float delta = step.beta * (step.v[j] - step.decay * known);
    float answer = 0;
    for (std::int64_t i = 0; i < step.key_dim; ++i) {
      float& value = column[i * step.value_dim];
      value = step.decay * value + step.k[i] * delta;
      answer += step.q[i] * value;
    }
    step.out[j] = answer;
  }
}

constexpr Kernels kScalar = {CpuLevel::scalar, layout,    pack,     matmul,    dequantise,
                             to_bf16,          rms_norm,  rope,     swiglu,    axpy,
                             row_stats,        attention, convolve, delta_step};

}  // namespace

const Kernels& scalar_kernels() {
  return kScalar;
}

}  // namespace expertscope::cpu
