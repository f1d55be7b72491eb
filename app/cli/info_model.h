// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "engine/model/model.h"

namespace expertscope::cli {

/// What `info` says about a model: architecture, sizes, memory, tokenizer, warnings.
nlohmann::ordered_json model_json(const Model& model);
std::string model_text(const Model& model);

}  // namespace expertscope::cli
