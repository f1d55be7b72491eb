// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <functional>

#include "engine/backend/backend.h"
#include "engine/backend/backend_info.h"
#include "engine/cuda/runtime/device.h"
#include "engine/cuda/weights/weight_layout.h"
#include "engine/model/config.h"
#include "engine/model/model.h"

namespace expertscope::cuda {

/// Where every byte of a run goes on a device with `free` bytes. Experts that do not fit stay on the host,
/// and each MoE layer keeps as many on the device as there is room for. Fails with out_of_memory, saying what
/// is needed and what is free, when there is no room for one.
Result<MemoryPlan> plan(const WeightLayout& layout, const ModelConfig& config, const BackendOptions& options,
                        const DeviceLimits& limits, std::int64_t free);

// Shared by the plans of both paths.

/// The bytes, or a number larger than any device has where they overflow.
std::int64_t signed_bytes(const CheckedSize& size);
/// Adds what is no weight and no activation: KV cache, tables, the input of a step, its probes; and `free`.
void add_common(const ModelConfig& config, const BackendOptions& options, std::int64_t free,
                MemoryPlan& plan);
/// Refuses a plan that asks for more than is available, saying how much that is.
Status check_fits(const MemoryPlan& plan, const BackendOptions& options);

/// Tells `progress` the part of the weights that is there, with the plan in words.
std::function<void(double)> loading_progress(const BackendInfo& info, const OpenProgress& progress);

/// Bytes left to the driver and to what it allocates behind our back.
inline constexpr std::int64_t kReservedBytes = std::int64_t{192} << 20;

}  // namespace expertscope::cuda
