// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <string>

#include "engine/error.h"
#include "engine/model/config.h"

namespace expertscope {

/// Whether the fast path of the CPU and the tuned path of CUDA, which know the same features, compute every
/// layer of a model. The error says what they lack and where: "`path` has no sliding windows (layer 3)".
Status check_features(const ModelConfig& config, const std::string& path);

}  // namespace expertscope
