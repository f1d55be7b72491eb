// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "engine/backend/backend.h"
#include "engine/cuda/runtime/device.h"
#include "engine/cuda/weights/weight_layout.h"
#include "engine/model/config.h"

namespace expertscope::cuda {

/// Whether the tuned path has a form for every layer of the model; the error says what it lacks, and in which
/// layer or for which value of config.json. The plain path runs what it cannot.
Status can_run(const ModelConfig& config, const DeviceLimits& limits);

/// The largest step that the fused decode (ForwardContext::fused) runs, whose rows a block has shared memory
/// for: kDecodeTokens, 2, 1, or 0 where larger steps have to do.
int most_fused_tokens(const WeightLayout& layout, const ModelConfig& config, MathMode math,
                      const DeviceLimits& limits);

}  // namespace expertscope::cuda
