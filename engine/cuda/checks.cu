// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/cuda/forward.h"
#include "engine/cuda/kernels/checks.cuh"

namespace expertscope::cuda {

namespace {

/// Enough blocks for `count` values, and no more than keep a GPU busy.
dim3 check_blocks(std::size_t count) {
  constexpr std::size_t kMostBlocks = 128;
  constexpr std::size_t kOfABlock = std::size_t{4} * kRowThreads;
  return dim3(
      static_cast<unsigned>(std::clamp((count + kOfABlock - 1) / kOfABlock, std::size_t{1}, kMostBlocks)));
}

}  // namespace

void check_hidden(ForwardContext& context) {
  context.queue.enter("checking the hidden state");
  const std::size_t values =
      static_cast<std::size_t>(context.rows()) * static_cast<std::size_t>(context.config.hidden_size);
  context.queue.launch(&check_finite, {check_blocks(values), kRowThreads, 0}, context.work.hidden,
                       std::size_t{0}, &context.input.device()->tokens, context.config.hidden_size,
                       context.work.not_finite);
}

void check_logits(ForwardContext& context, int rows) {
  context.queue.enter("checking the logits");
  const int vocab = context.config.vocab_size;
  // A graph is made for more rows than a step may have.
  const std::int32_t* count = context.decoding() ? &context.input.device()->output_rows : nullptr;
  const std::size_t values = static_cast<std::size_t>(rows) * static_cast<std::size_t>(vocab);
  context.queue.launch(&check_finite, {check_blocks(values), kRowThreads, 0}, context.work.logits, values,
                       count, vocab, context.work.not_finite + 1);
}

}  // namespace expertscope::cuda
