// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "engine/error.h"
#include "engine/model/config.h"

namespace expertscope::cpu {

/// Whether the fast path of the CPU runs every layer of a model; the error says what it lacks and where.
/// What it cannot run the reference does.
Status can_run(const ModelConfig& config);

}  // namespace expertscope::cpu
