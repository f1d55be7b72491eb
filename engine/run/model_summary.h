// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <filesystem>
#include <stop_token>
#include <string>

#include "engine/error.h"

namespace expertscope {

/// What can be told of a model before it is opened.
struct ModelSummary {
  std::string family;      ///< model_type: "qwen3_moe"
  int layers = 0;          ///< decoder layers
  int experts = 0;         ///< of a MoE layer, the most of all
  int top_k = 0;           ///< experts a token
  std::string format;      ///< of most of its bytes: "BF16"; "packed" where bytes stand for smaller numbers
  std::int64_t bytes = 0;  ///< of its tensors
  std::int64_t kv_cache = 0;  ///< bytes, for the usual context on a CPU
};

/// Of a folder or file, as Model::open takes one: reads its config and the headers of its weights. The same
/// errors; tensors are not held against the config.
Result<ModelSummary> summarise_model(const std::filesystem::path& named, const std::stop_token& stop = {});

}  // namespace expertscope
