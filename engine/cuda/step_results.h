// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <vector>

#include "engine/backend/backend.h"
#include "engine/cuda/forward.h"
#include "engine/cuda/runtime/memory.h"

namespace expertscope::cuda {

/// What a step leaves for the host: logits, log-probabilities or candidates, whether all was finite, and how
/// far the device came. Copies are queued; what they bring is read once the queue was waited for.
class StepResults {
 public:
  Status allocate(const Workspace& work, int max_batch);

  /// Where the device writes the layer that it has begun.
  Result<std::int32_t*> layer_begun() const;

  /// Before the first kernel of a step.
  void begin(const Workspace& work, Queue& queue);
  /// What `batch` wants of output rows first .. first + rows - 1, whose logits are in work.logits. They must
  /// not be overwritten before settle().
  void queue_rows(ForwardContext& context, const Batch& batch, int first, int rows, StepOutput& output);
  /// Waits for the last rows where the host has to look at them, and looks.
  void settle(ForwardContext& context, const Batch& batch, StepOutput& output);
  /// After the last kernel.
  void queue_end(ForwardContext& context, const Batch& batch);
  /// After the wait: what belongs to the rows of `batch` goes where it asked for.
  void read(ForwardContext& context, const Batch& batch, StepOutput& output);

  bool hidden_is_finite() const { return not_finite_[0] == 0; }
  bool logits_are_finite() const { return not_finite_[1] == 0; }
  /// Queues the answer of check_hidden() for hidden_is_finite().
  void queue_flags(const Workspace& work, Queue& queue);

  /// " (it had begun layer 3)" after a failure that no operation can be named for, or nothing.
  std::string reached(const Error& error) const;

 private:
  void take_candidates(ForwardContext& context, int row, int wanted, TokenCandidates& result);
  void choose_on_host(ForwardContext& context, int row, int wanted, TokenCandidates& result);

  PinnedBuffer<unsigned> not_finite_;         ///< [2] hidden state, logits
  PinnedBuffer<std::int32_t> layer_begun_;    ///< [1] -1: none
  PinnedBuffer<RowCandidates> candidates_;    ///< [head_rows]
  PinnedBuffer<float> log_probs_;             ///< [max_batch]
  std::vector<float> logits_;                 ///< of one row
  int pending_first_ = 0, pending_rows_ = 0;  ///< whose candidates are on their way
};

}  // namespace expertscope::cuda
