// SPDX-License-Identifier: GPL-3.0-or-later
#include <algorithm>
#include <cmath>
#include <span>

#include "engine/backend/backend_checks.h"
#include "engine/backend/candidates.h"
#include "engine/backend/log_prob.h"
#include "engine/cpu/forward.h"

namespace expertscope::cpu {
namespace {

/// The rows wanted, normed, behind each other in work.normed.
void norm_wanted(ForwardContext& context) {
  const std::int64_t width = context.config.hidden_size;
  const auto& rows = context.work.head_tokens;
  for_ranges(context.pool, static_cast<std::int64_t>(rows.size()), 16, width,
             [&](std::int64_t begin, std::int64_t end) {
               for (std::int64_t r = begin; r < end; ++r) {
                 context.kernels.rms_norm(context.work.hidden.data() + rows[r] * width,
                                          context.weights.norm.data(), width, context.config.norm.eps,
                                          context.work.normed.data() + r * width);
               }
             });
}

/// logits [count, vocab] of the normed rows from `first` on; false when one is not finite.
bool compute_logits(ForwardContext& context, std::int64_t first, std::int64_t count, float* logits) {
  const Matrix& weights = context.weights.lm_head;
  const auto input = pack_rows(context, context.work.normed.data() + first * weights.cols, count,
                               weights.cols, shared_arithmetic(context, {&weights}));
  context.work.products.clear();
  context.work.products.add(weights, input, logits, weights.rows);
  context.work.products.run(context.kernels, context.pool);
  if (const float cap = context.config.logit_cap; cap > 0) {
    const std::int64_t all = count * weights.rows;
    for_ranges(context.pool, all, 1024, 16, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i)
        logits[i] = cap * std::tanh(logits[i] / cap);
    });
  }
  return all_finite(logits, count * weights.rows);
}

/// reduce(row, its logits) for every row, a few rows at a time, so that memory does not grow with the tokens.
template <class Reduce>
bool reduce_logits(ForwardContext& context, Reduce&& reduce) {
  const auto rows = static_cast<std::int64_t>(context.work.head_tokens.size());
  if (rows == 0) return true;
  // Slices of equal size: none is so small that it takes another path through the product.
  const std::int64_t slices = (rows + kHeadRows - 1) / kHeadRows;
  const std::int64_t most = (rows + slices - 1) / slices;
  const std::int64_t vocab = context.weights.lm_head.rows;
  float* logits = context.work.head_logits.data();
  for (std::int64_t first = 0; first < rows; first += most) {
    const std::int64_t count = std::min(most, rows - first);
    if (!compute_logits(context, first, count, logits)) return false;
    for_ranges(context.pool, count, 1, vocab, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t r = begin; r < end; ++r) {
        reduce(static_cast<std::size_t>(first + r),
               std::span<const float>(logits + r * vocab, static_cast<std::size_t>(vocab)));
      }
    });
  }
  return true;
}

}  // namespace

bool head(ForwardContext& context, StepOutput& output) {
  list_head_tokens(context.batch, context.work.head_tokens);
  norm_wanted(context);
  const Batch& batch = context.batch;
  const auto& rows = context.work.head_tokens;
  switch (batch.logits) {
    case LogitsWanted::none:
      return true;
    case LogitsWanted::last_of_each_chunk:
    case LogitsWanted::all:
      return compute_logits(context, 0, static_cast<std::int64_t>(rows.size()), output.logits.data());
    case LogitsWanted::log_probs:
      return reduce_logits(context, [&](std::size_t row, std::span<const float> logits) {
        const auto token = static_cast<std::size_t>(rows[row]);
        output.log_probs[token] = static_cast<float>(log_probability(logits, batch.targets[token]));
      });
    case LogitsWanted::candidates:
      return reduce_logits(context, [&](std::size_t row, std::span<const float> logits) {
        select_candidates(logits, batch.candidates, output.candidates[row]);
      });
  }
  return true;
}

}  // namespace expertscope::cpu
