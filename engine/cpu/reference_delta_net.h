// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <vector>

#include "engine/backend/backend.h"
#include "engine/cpu/reference_math.h"

namespace expertscope::cpu {

/// What a DeltaNet keeps of one sequence in one layer.
struct DeltaState {
  std::vector<float> inputs;  ///< [taps - 1, channels] of the convolution, the oldest first
  std::vector<float> state;   ///< [value_heads, key_dim, value_dim]
};

/// What comes of the tokens of a chunk on the way through a DeltaNet; names as in intermediates.h.
struct DeltaRows {
  Rows conv;         ///< [tokens, channels]
  Rows decay, beta;  ///< [tokens, value_heads]
  Rows heads;        ///< [tokens, values]
  Rows out;          ///< [tokens, hidden]
};

/// DeltaNetSpec over tokens `x` [tokens, hidden] of one chunk. A chunk that begins at position 0 begins with
/// an empty state.
DeltaRows delta_net(const LayerSpec& layer, const LayerWeights& weights, const Rows& x,
                    const SequenceChunk& chunk, DeltaState& state);

}  // namespace expertscope::cpu
