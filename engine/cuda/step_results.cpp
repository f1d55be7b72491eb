// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/cuda/step_results.h"

#include <algorithm>

#include "engine/backend/candidates.h"

namespace expertscope::cuda {

Status StepResults::allocate(const Workspace& work, int max_batch) {
  const char* purpose = "the result of a step";
  if (auto ok = not_finite_.allocate(2, purpose); !ok) return ok;
  if (auto ok = layer_begun_.allocate(1, purpose); !ok) return ok;
  layer_begun_[0] = -1;
  if (auto ok = log_probs_.allocate(static_cast<std::size_t>(max_batch), purpose); !ok) return ok;
  return candidates_.allocate(static_cast<std::size_t>(work.head_rows), "candidates");
}

Result<std::int32_t*> StepResults::layer_begun() const {
  return layer_begun_.on_device();
}

void StepResults::begin(const Workspace& work, Queue& queue) {
  pending_rows_ = 0;
  layer_begun_[0] = -1;
  queue.clear(work.not_finite, not_finite_.bytes());
}

void StepResults::queue_rows(ForwardContext& context, const Batch& batch, int first, int rows,
                             StepOutput& output) {
  const Workspace& work = context.work;
  const auto count = static_cast<std::size_t>(rows);
  if (batch.logits == LogitsWanted::log_probs) return score(context, first, rows);
  if (batch.logits == LogitsWanted::candidates) {
    context.queue.enter("choosing tokens");
    pending_first_ = first;
    pending_rows_ = rows;
    if (batch.candidates <= kMostCandidates)
      context.queue.copy(candidates_.data(), work.candidates, count * sizeof(RowCandidates),
                         cudaMemcpyDeviceToHost);
    return;
  }
  context.queue.enter("copying the logits");
  const auto vocab = static_cast<std::size_t>(context.config.vocab_size);
  context.queue.copy(output.logits.data() + static_cast<std::size_t>(first) * vocab, work.logits,
                     count * vocab * sizeof(float), cudaMemcpyDeviceToHost);
}

/// Logits of one row, for the host to choose among: more candidates were wanted, or equal ones, than the
/// device has room for.
void StepResults::choose_on_host(ForwardContext& context, int row, int wanted, TokenCandidates& result) {
  const auto vocab = static_cast<std::size_t>(context.config.vocab_size);
  logits_.resize(vocab);
  context.queue.copy(logits_.data(), context.work.logits + static_cast<std::size_t>(row) * vocab,
                     vocab * sizeof(float), cudaMemcpyDeviceToHost);
  context.queue.wait();
  if (context.queue.ok()) select_candidates(logits_, wanted, result);
}

void StepResults::take_candidates(ForwardContext& context, int row, int wanted, TokenCandidates& result) {
  const RowCandidates& found = candidates_[static_cast<std::size_t>(row)];
  if (wanted > kMostCandidates || found.count > kCandidateRoom)
    return choose_on_host(context, row, wanted, result);
  result.best.clear();
  for (int i = 0; i < found.count; ++i)
    result.best.push_back({found.candidate[i].id, found.candidate[i].logit});
  std::sort(result.best.begin(), result.best.end(), [](const Candidate& a, const Candidate& b) {
    return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
  });
  result.log_sum_exp = found.log_sum_exp;
}

void StepResults::settle(ForwardContext& context, const Batch& batch, StepOutput& output) {
  const int rows = std::exchange(pending_rows_, 0);
  if (rows == 0) return;
  context.queue.wait();
  for (int r = 0; r < rows && context.queue.ok(); ++r)
    take_candidates(context, r, batch.candidates,
                    output.candidates[static_cast<std::size_t>(pending_first_ + r)]);
}

void StepResults::queue_flags(const Workspace& work, Queue& queue) {
  queue.copy(not_finite_.data(), work.not_finite, not_finite_.bytes(), cudaMemcpyDeviceToHost);
}

void StepResults::queue_end(ForwardContext& context, const Batch& batch) {
  context.queue.enter("finishing the step");
  queue_flags(context.work, context.queue);
  if (batch.logits != LogitsWanted::log_probs) return;
  const auto rows = static_cast<std::size_t>(context.input.host().output_rows);
  context.queue.copy(log_probs_.data(), context.work.log_probs, rows * sizeof(float), cudaMemcpyDeviceToHost);
}

void StepResults::read(ForwardContext& context, const Batch& batch, StepOutput& output) {
  settle(context, batch, output);
  if (batch.logits != LogitsWanted::log_probs) return;
  for (int i = 0; i < context.input.host().output_rows; ++i)
    output.log_probs[static_cast<std::size_t>(context.input.host_output_row(i))] =
        log_probs_[static_cast<std::size_t>(i)];
}

std::string StepResults::reached(const Error& error) const {
  const bool named = error.message.starts_with("layer ");
  const int layer = layer_begun_[0];
  if (error.code != ErrorCode::device || named || layer < 0) return {};
  return fmt::format(" (it had begun layer {})", layer);
}

}  // namespace expertscope::cuda
