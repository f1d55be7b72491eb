// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <span>

#include "engine/backend/backend.h"

namespace expertscope {

/// The `count` largest of `logits` [vocab] (all of them when there are fewer) with every token that equals
/// the last of them, and the normaliser of all: what LogitsWanted::candidates gives. Logits are finite.
void select_candidates(std::span<const float> logits, int count, TokenCandidates& result);

/// Log-probability in nats of `token`; NaN when it is not among the candidates.
double log_probability(const TokenCandidates& candidates, std::int32_t token);

}  // namespace expertscope
