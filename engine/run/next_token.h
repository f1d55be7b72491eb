// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/backend/backend.h"

namespace expertscope {

/// What the last step told about the token that follows each sequence, so that the first token of the next
/// step gets its log-probability. Logits stay where the step left them: they are copied only when a step of
/// other sequences is about to overwrite them, never in the decoding of one sequence.
class NextTokenScores {
 public:
  void resize(int sequences) { told_ = std::vector<Told>(sequences); }

  /// Log-probability in nats of `token` after the sequence; NaN where the last step did not tell.
  float log_prob(int sequence, std::int32_t token) const;
  /// Before a step that overwrites what the last one gave: what belongs to sequences it does not have is
  /// kept, or forgotten when nobody will ask for it.
  void before_step(const Batch& batch, bool keep);
  /// After a step: what it told about each of its sequences. `output` stays as it is until the next.
  void after_step(const Batch& batch, const StepOutput& output);
  void forget(int sequence) { told_[sequence].forget(); }

 private:
  /// One of three: all logits, the most probable, or the score of `target` alone; nothing at first.
  struct Told {
    std::span<const float> logits = {};
    const TokenCandidates* candidates = nullptr;
    std::int32_t target = -1;
    float log_prob = 0;
    // What the two above look at once the step's output is gone.
    std::vector<float> kept_logits = {};
    TokenCandidates kept_candidates = {};

    void forget();
    void keep();
  };

  std::vector<Told> told_;  ///< by sequence
};

}  // namespace expertscope
