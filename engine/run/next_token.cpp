// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/run/next_token.h"

#include <algorithm>
#include <span>
#include <utility>

#include "engine/backend/backend_checks.h"
#include "engine/backend/candidates.h"
#include "engine/backend/log_prob.h"

namespace expertscope {

float NextTokenScores::log_prob(int sequence, std::int32_t token, const StepOutput& output) const {
  const State& state = states_[static_cast<std::size_t>(sequence)];
  switch (state.told) {
    case Told::one:
      if (state.target == token) return state.log_prob;
      break;
    case Told::row:
      return static_cast<float>(
          log_probability(std::span(output.logits).subspan(state.row * vocab_, vocab_), token));
    case Told::candidates:
      return static_cast<float>(log_probability(output.candidates[state.row], token));
    case Told::kept_row:
      return static_cast<float>(log_probability(state.logits, token));
    case Told::kept_choice:
      return static_cast<float>(log_probability(state.choice, token));
    case Told::nothing:
      break;
  }
  return std::numeric_limits<float>::quiet_NaN();
}

void NextTokenScores::before_step(const Batch& batch, StepOutput& output, bool keep) {
  for (std::size_t sequence = 0; sequence < states_.size(); ++sequence) {
    State& state = states_[sequence];
    if (state.told != Told::row && state.told != Told::candidates) continue;
    const bool comes = std::any_of(batch.chunks.begin(), batch.chunks.end(), [&](const SequenceChunk& chunk) {
      return static_cast<std::size_t>(chunk.sequence) == sequence;
    });
    if (comes || !keep) {
      state.told = Told::nothing;
    } else if (state.told == Told::row) {
      const auto row = std::span(output.logits).subspan(state.row * vocab_, vocab_);
      state.logits.assign(row.begin(), row.end());
      state.told = Told::kept_row;
    } else {
      state.choice = std::move(output.candidates[state.row]);
      state.told = Told::kept_choice;
    }
  }
}

void NextTokenScores::after_step(const Batch& batch, const StepOutput& output) {
  const auto rows = static_cast<std::size_t>(head_rows(batch));
  if (!output.logits.empty() && rows > 0) vocab_ = output.logits.size() / rows;
  std::size_t end = 0;  // of the chunk's tokens
  for (std::size_t c = 0; c < batch.chunks.size(); ++c) {
    State& state = states_[static_cast<std::size_t>(batch.chunks[c].sequence)];
    end += static_cast<std::size_t>(batch.chunks[c].count);
    switch (batch.logits) {
      case LogitsWanted::none:
        state.told = Told::nothing;
        break;
      case LogitsWanted::last_of_each_chunk:
      case LogitsWanted::all:
        state.told = Told::row;
        state.row = batch.logits == LogitsWanted::all ? end - 1 : c;
        break;
      case LogitsWanted::log_probs:
        state.told = Told::one;
        state.target = batch.targets[end - 1];
        state.log_prob = output.log_probs[end - 1];
        break;
      case LogitsWanted::candidates:
        state.told = Told::candidates;
        state.row = c;
        break;
    }
  }
}

}  // namespace expertscope
