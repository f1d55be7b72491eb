// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "engine/model/backend.h"
#include "engine/model/backend_info.h"

namespace expertscope {
class Model;
}

namespace expertscope::cpu {

/// What the CPU backend takes for the model: the weights as they are mapped, the KV cache, and in `workspace`
/// everything else of a step. A size that no machine has reads as the largest number there is.
MemoryPlan plan_memory(const Model& model, const BackendOptions& options);

}  // namespace expertscope::cpu
