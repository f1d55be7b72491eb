// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "engine/cuda/forward.h"

namespace expertscope::cuda {

/// down_proj(silu(gate_proj x) * (up_proj x)) of routed experts; x is work.normed.

/// Decoding: who runs, and where the probes of their outputs go.
struct FusedExperts {
  const DeviceExperts& experts;
  const DeviceRouting* routing = nullptr;
  DeviceSlots slots;
  int lanes = 1;  ///< slots at a time
  OutputParts parts;
};
/// The experts of the slots, summed into the hidden state in the order of the slots.
void run_fused(ForwardContext& context, const FusedExperts& what);

/// Rows of a tile for about `rows` sorted rows: as high as the rows of an expert usually are.
int expert_tile_rows(const ForwardContext& context, const DeviceExperts& experts, int rows);

/// The sorted rows of work.sorted (at most `rows`), into work.expert_output.
void run_many(ForwardContext& context, const DeviceExperts& experts, int rows, int tile_rows);

/// All tokens through one expert, the MLP of a dense layer or the shared expert: added to the hidden state,
/// or into work.expert_output.
void run_dense(ForwardContext& context, const DeviceExperts& experts, bool add);

}  // namespace expertscope::cuda
