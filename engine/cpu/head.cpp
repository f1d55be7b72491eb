// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/cpu/forward.h"

namespace expertscope::cpu {
namespace {

void norm_row(ForwardContext& context, std::int64_t from, std::int64_t to) {
  const std::int64_t width = context.config.hidden_size;
  context.kernels.rms_norm(context.work.hidden.data() + from * width, context.weights.norm.data(), width,
                           context.config.rms_norm_eps, context.work.normed.data() + to * width);
}

/// The rows wanted, normed, behind each other in work.normed.
void norm_wanted_rows(ForwardContext& context) {
  if (context.batch.logits == LogitsWanted::all) return norm_tokens(context, context.weights.norm);
  std::int64_t end = 0;
  std::int64_t row = 0;
  for (const SequenceChunk& chunk : context.batch.chunks) {
    end += chunk.count;
    norm_row(context, end - 1, row++);
  }
}

}  // namespace

std::int64_t head_rows(const Batch& batch) {
  switch (batch.logits) {
    case LogitsWanted::none:
      return 0;
    case LogitsWanted::last_of_each_chunk:
      return static_cast<std::int64_t>(batch.chunks.size());
    case LogitsWanted::all:
      return static_cast<std::int64_t>(batch.tokens.size());
  }
  return 0;
}

void head(ForwardContext& context, float* logits) {
  const Matrix& weights = context.weights.lm_head;
  norm_wanted_rows(context);
  const auto input = pack_rows(context, context.work.normed.data(), head_rows(context.batch), weights.cols,
                               shared_arithmetic(context, {&weights}));
  context.work.products.clear();
  context.work.products.add(weights, input, logits, weights.rows);
  context.work.products.run(context.kernels, context.pool);
}

}  // namespace expertscope::cpu
