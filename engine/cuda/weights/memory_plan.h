// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "engine/backend/backend.h"
#include "engine/backend/backend_info.h"
#include "engine/cuda/runtime/device.h"
#include "engine/cuda/weights/weight_layout.h"
#include "engine/model/config.h"

namespace expertscope::cuda {

/// Whether the kernels have a form for the model; the error names the field of config.json and its value.
Status check_supported(const ModelConfig& config, const DeviceLimits& limits);

/// The largest step of few tokens (ForwardContext::few) whose rows a block has shared memory for:
/// kDecodeTokens, 2, 1, or 0 where larger steps have to do.
int most_few_tokens(const WeightLayout& layout, const ModelConfig& config, MathMode math,
                    const DeviceLimits& limits);

/// Where every byte of a run goes on a device with `free` bytes. Experts that do not fit stay on the host,
/// and each MoE layer keeps as many on the device as there is room for. Fails with out_of_memory, saying what
/// is needed and what is free, when there is no room for one.
Result<MemoryPlan> plan(const WeightLayout& layout, const ModelConfig& config, const BackendOptions& options,
                        const DeviceLimits& limits, std::int64_t free);

/// Bytes left to the driver and to what it allocates behind our back.
inline constexpr std::int64_t kReservedBytes = std::int64_t{192} << 20;

}  // namespace expertscope::cuda
