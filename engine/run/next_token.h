// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "engine/backend/backend.h"

namespace expertscope {

/// What the last step told about the token that follows each sequence, so that the first token of the next
/// step gets its log-probability. Logits stay where the step left them: they are copied only when a step of
/// other sequences is about to overwrite them, never in the decoding of one sequence.
class NextTokenScores {
 public:
  void resize(int sequences) { states_.assign(static_cast<std::size_t>(sequences), {}); }

  /// Log-probability in nats of `token` after the sequence; NaN where the last step did not tell. `output` is
  /// that of the last step.
  float log_prob(int sequence, std::int32_t token, const StepOutput& output) const;
  /// Before a step that overwrites `output`: what belongs to sequences it does not have is kept, or forgotten
  /// when nobody will ask for it.
  void before_step(const Batch& batch, StepOutput& output, bool keep);
  /// After a step: what it told about each of its sequences.
  void after_step(const Batch& batch, const StepOutput& output);
  void forget(int sequence) { states_[static_cast<std::size_t>(sequence)].told = Told::nothing; }

 private:
  enum class Told : std::uint8_t {
    nothing,
    one,          ///< log_prob of `target` alone
    row,          ///< row `row` of StepOutput::logits
    candidates,   ///< entry `row` of StepOutput::candidates
    kept_row,     ///< `logits`
    kept_choice,  ///< `choice`
  };
  struct State {
    Told told = Told::nothing;
    std::size_t row = 0;
    std::int32_t target = -1;
    float log_prob = std::numeric_limits<float>::quiet_NaN();
    std::vector<float> logits = {};
    TokenCandidates choice = {};
  };

  std::vector<State> states_;
  std::size_t vocab_ = 0;  ///< of the last step with logits
};

}  // namespace expertscope
