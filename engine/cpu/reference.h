// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/backend/backend.h"
#include "engine/backend/rope_table.h"
#include "engine/cpu/reference_delta_net.h"
#include "engine/cpu/reference_math.h"
#include "engine/model/model.h"

namespace expertscope::cpu {

/// What a layer keeps of one sequence.
struct LayerCache {
  std::vector<float> keys, values;  ///< [positions, kv_heads * head_dim], keys after norm and rotation; with
                                    ///< a latent, keys are [positions, what turns, rank]
  DeltaState delta_net;
};

/// What a step of the reference reads and writes.
struct ReferenceStep {
  const Model& model;
  const RopeTables& rope;
  std::vector<std::vector<LayerCache>>& cache;  ///< [sequence][layer]; grows with the text
  const Batch& batch;
  const RoutingTable& table;
  CaptureBlock* capture = nullptr;     ///< prepared; null: no probes
  TensorObserver* observer = nullptr;  ///< told every name of engine/backend/intermediates.h
};

/// The forward pass of any model whose layers are attention or a DeltaNet: the specification of what a
/// LayerSpec means, in f32 on one thread. Returns the logits [wanted, vocab] of the tokens `wanted` of the
/// batch. Fails where the residual stream or a logit is not finite, naming the layer and, where a weight is
/// to blame, the tensor.
Result<Rows> reference_forward(const ReferenceStep& step, std::span<const std::int32_t> wanted);

}  // namespace expertscope::cpu
