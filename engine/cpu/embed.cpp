// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/cpu/forward.h"

#include <algorithm>

namespace expertscope::cpu {

void embed(ForwardContext& context) {
  const Matrix& table = context.weights.embed_tokens;
  const std::int64_t width = table.cols;
  for_ranges(context.pool, context.tokens, 16, width, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t t = begin; t < end; ++t) {
      const std::int32_t id = context.batch.tokens[t];
      float* row = context.work.hidden.data() + t * width;
      context.kernels.dequantise(table, id, 0, width, row);
      if (context.config.embedding_scale != 1) scale_row(row, width, context.config.embedding_scale);
    }
  });
}

void norm_tokens(ForwardContext& context, const NormSpec& norm, const Vector& weight) {
  const std::int64_t width = context.config.hidden_size;
  for_ranges(context.pool, context.tokens, 16, width, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t t = begin; t < end; ++t) {
      context.kernels.rms_norm(context.work.hidden.data() + t * width, weight.data(), width, norm.eps,
                               context.work.normed.data() + t * width);
    }
  });
}

void take_input(ForwardContext& context, int layer, const Vector& weight) {
  const LayerSpec& spec = context.config.layer(layer);
  if (spec.norm_before) return norm_tokens(context, spec.norm, weight);
  std::copy_n(context.work.hidden.data(), context.tokens * context.config.hidden_size,
              context.work.normed.data());
}

void norm_rows(ForwardContext& context, const NormSpec& norm, const Vector& weight, float* rows) {
  const std::int64_t width = context.config.hidden_size;
  for_ranges(context.pool, context.tokens, 16, width, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t t = begin; t < end; ++t)
      context.kernels.rms_norm(rows + t * width, weight.data(), width, norm.eps, rows + t * width);
  });
}

void scale_row(float* row, std::int64_t width, float factor) {
  for (std::int64_t i = 0; i < width; ++i)
    row[i] *= factor;
}

Arithmetic shared_arithmetic(const ForwardContext& context, std::initializer_list<const Matrix*> weights) {
  for (const Matrix* matrix : weights) {
    if (arithmetic_for(context.bf16, *matrix) == Arithmetic::f32) return Arithmetic::f32;
  }
  return Arithmetic::bf16;
}

PackedActivations pack_rows(ForwardContext& context, const float* x, std::int64_t rows, std::int64_t cols,
                            Arithmetic arithmetic) {
  const ActivationRows source{.data = x, .stride = cols, .rows = rows, .cols = cols};
  const auto packed = plan_activations(context.kernels, arithmetic, rows, cols, context.work.packed.data());
  const std::int64_t blocks = (rows + kPackRows - 1) / kPackRows;
  for_ranges(context.pool, blocks, 1, kPackRows * cols, [&](std::int64_t begin, std::int64_t end) {
    context.kernels.pack(source, packed, begin * kPackRows, std::min(end * kPackRows, rows));
  });
  return packed;
}

void add_bias(const ForwardContext& context, const Vector& bias, float* row) {
  if (!bias.empty()) context.kernels.axpy(1.0f, bias.data(), static_cast<std::int64_t>(bias.size()), row);
}

bool all_finite(const float* values, std::int64_t count) {
  // x * 0 is 0 for every finite x and NaN for the others; sums in lanes, so that the loop vectorises.
  float lanes[16] = {};
  std::int64_t i = 0;
  for (; i + 16 <= count; i += 16) {
    for (int j = 0; j < 16; ++j)
      lanes[j] += values[i + j] * 0.0f;
  }
  for (; i < count; ++i)
    lanes[0] += values[i] * 0.0f;
  for (int j = 1; j < 16; ++j)
    lanes[0] += lanes[j];
  return lanes[0] == 0.0f;
}

void capture_hidden(const ForwardContext& context, int layer, std::int64_t token) {
  if (context.capture == nullptr || !context.capture->request.hidden) return;
  const std::int64_t width = context.config.hidden_size;
  const RowStats stats = context.kernels.row_stats(context.work.hidden.data() + token * width, width);
  const auto at = static_cast<std::size_t>(layer * context.tokens + token);
  context.capture->hidden_max[at] = stats.max_abs;
  context.capture->hidden_channel[at] = stats.channel;
}

}  // namespace expertscope::cpu
