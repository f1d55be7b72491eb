// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <memory>
#include <stop_token>
#include <string>

#include "engine/backend/backend.h"
#include "engine/model/model.h"

namespace expertscope::cuda {

/// What make_cuda_backend would put where. Fails with out_of_memory when not even a few experts of a layer
/// fit beside everything else, or on the plain path not all weights.
Result<MemoryPlan> plan_memory(const Model& model, const BackendOptions& options);

/// The CUDA backend on device options.choice.device: the tuned path, or the plain one where that cannot run
/// the model, as the reason says then, or where the options ask for it. Checks and plans first: an error of
/// either comes before anything is on the device. `progress` hears of the weights on their way; a stop ends
/// the transfer.
Result<std::unique_ptr<Backend>> make_cuda_backend(std::shared_ptr<const Model> model,
                                                   const BackendOptions& options, std::string reason,
                                                   const OpenProgress& progress, const std::stop_token& stop);

}  // namespace expertscope::cuda
