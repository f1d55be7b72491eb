// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <memory>
#include <stop_token>
#include <string>

#include "engine/backend/backend.h"
#include "engine/cuda/runtime/device.h"
#include "engine/model/model.h"

/// The plain path: the forward pass of every LayerSpec on a GPU, in f32, with one small kernel an operation.
/// It runs what the tuned path cannot, and is what the tuned path is compared with where there is a GPU.
namespace expertscope::cuda::plain {

/// As plan_memory() of engine/cuda/cuda_backend.h: all weights, or out_of_memory.
Result<MemoryPlan> plan_memory(const Model& model, const BackendOptions& options, std::int64_t free);

/// As make_cuda_backend(), on a device that was opened.
Result<std::unique_ptr<Backend>> make_backend(std::shared_ptr<const Model> model,
                                              const BackendOptions& options, OpenedDevice device,
                                              std::string reason, const OpenProgress& progress,
                                              const std::stop_token& stop);

}  // namespace expertscope::cuda::plain
