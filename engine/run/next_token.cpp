// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/run/next_token.h"

#include <algorithm>
#include <limits>

#include "engine/backend/backend_checks.h"
#include "engine/backend/candidates.h"
#include "engine/backend/log_prob.h"

namespace expertscope {

void NextTokenScores::Told::forget() {
  logits = {};
  candidates = nullptr;
  target = -1;
}

void NextTokenScores::Told::keep() {
  if (!logits.empty() && logits.data() != kept_logits.data()) {
    kept_logits.assign(logits.begin(), logits.end());
    logits = kept_logits;
  }
  if (candidates != nullptr && candidates != &kept_candidates) {
    kept_candidates = *candidates;
    candidates = &kept_candidates;
  }
}

float NextTokenScores::log_prob(int sequence, std::int32_t token) const {
  const Told& told = told_[sequence];
  if (!told.logits.empty()) return static_cast<float>(log_probability(told.logits, token));
  if (told.candidates != nullptr) return static_cast<float>(log_probability(*told.candidates, token));
  return told.target == token ? told.log_prob : std::numeric_limits<float>::quiet_NaN();
}

void NextTokenScores::before_step(const Batch& batch, bool keep) {
  for (std::size_t sequence = 0; sequence < told_.size(); ++sequence) {
    const bool comes = std::any_of(batch.chunks.begin(), batch.chunks.end(), [&](const SequenceChunk& chunk) {
      return static_cast<std::size_t>(chunk.sequence) == sequence;
    });
    if (comes || !keep)
      told_[sequence].forget();
    else
      told_[sequence].keep();
  }
}

void NextTokenScores::after_step(const Batch& batch, const StepOutput& output) {
  const auto rows = static_cast<std::size_t>(head_rows(batch));
  const std::size_t vocab = rows > 0 ? output.logits.size() / rows : 0;
  std::size_t end = 0;  // of the chunk's tokens
  for (std::size_t c = 0; c < batch.chunks.size(); ++c) {
    Told& told = told_[batch.chunks[c].sequence];
    end += static_cast<std::size_t>(batch.chunks[c].count);
    told.forget();
    switch (batch.logits) {
      case LogitsWanted::none:
        break;
      case LogitsWanted::last_of_each_chunk:
      case LogitsWanted::all:
        told.logits = std::span(output.logits)
                          .subspan((batch.logits == LogitsWanted::all ? end - 1 : c) * vocab, vocab);
        break;
      case LogitsWanted::log_probs:
        told.target = batch.targets[end - 1];
        told.log_prob = output.log_probs[end - 1];
        break;
      case LogitsWanted::candidates:
        told.candidates = &output.candidates[c];
        break;
    }
  }
}

}  // namespace expertscope
