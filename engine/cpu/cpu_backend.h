// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <memory>
#include <string>

#include "engine/backend/backend.h"
#include "engine/error.h"

namespace expertscope {

/// The CPU backend: the fast path, or for what that cannot run (cpu::can_run) the reference, whose reason
/// says what is lacking. Fails when memory for the KV cache and workspace is not there, saying how much was
/// needed. `reason` says why the CPU, for BackendInfo.
Result<std::unique_ptr<Backend>> make_cpu_backend(std::shared_ptr<const Model> model,
                                                  const BackendOptions& options,
                                                  std::string reason = "asked for");

}  // namespace expertscope
