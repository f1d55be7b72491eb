// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>

#include "engine/backend/backend.h"
#include "engine/backend/memory.h"
#include "engine/error.h"

namespace expertscope {

/// The reference (engine/cpu/reference.h) as a backend: f32 on one thread whatever the options say. Fails as
/// make_cpu_backend does.
Result<std::unique_ptr<Backend>> make_reference_backend(std::shared_ptr<const Model> model,
                                                        const BackendOptions& options,
                                                        std::string reason = "asked for");

namespace cpu {

/// What the reference takes for the model: as plan_memory, with keys and values in f32.
MemoryPlan plan_reference_memory(const Model& model, const BackendOptions& options,
                                 const std::optional<std::size_t>& available = available_memory());

}  // namespace cpu
}  // namespace expertscope
