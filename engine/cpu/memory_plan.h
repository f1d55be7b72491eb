// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <optional>

#include "engine/backend/backend.h"
#include "engine/backend/backend_info.h"
#include "engine/backend/memory.h"
#include "engine/backend/sizes.h"
#include "engine/error.h"

namespace expertscope {
class Model;
}

namespace expertscope::cpu {

/// What the CPU backend takes for the model: the weights as they are mapped, the KV cache, and in `workspace`
/// everything else of a step. A size that no machine has reads as the largest number there is. `available` is
/// the memory there is for it, empty where that is not known.
MemoryPlan plan_memory(const Model& model, const BackendOptions& options,
                       const std::optional<std::size_t>& available = available_memory());

/// The same with a workspace of `workspace` bytes and the rotary tables.
MemoryPlan plan_with_workspace(const Model& model, const BackendOptions& options, CheckedSize workspace,
                               const std::optional<std::size_t>& available);

/// Refuses a plan that asks for more than is available, saying how much that is.
Status check_fits(const MemoryPlan& plan, const BackendOptions& options);
/// The error of a plan for which there was no memory.
tl::unexpected<Error> short_of_memory(const MemoryPlan& plan, const BackendOptions& options);

}  // namespace expertscope::cpu
