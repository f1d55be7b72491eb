// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <filesystem>
#include <stop_token>
#include <vector>

#include "engine/error.h"
#include "engine/formats/tensor_source.h"

namespace expertscope {

/// The tensors of a Hugging Face model folder, mapped: those of model.safetensors, or else those that
/// model.safetensors.index.json lists in its shards.
///
/// Errors name a shard that is missing, a tensor that the index promises and its shard lacks, a shard name
/// that points outside the folder, and what a folder without safetensors holds instead. Links are followed
/// but not resolved: in a Hugging Face cache every file is a link to a blob whose name says nothing.
Result<TensorSource> open_safetensors_folder(const std::filesystem::path& folder,
                                             const ShardProgress& progress = {},
                                             const std::stop_token& stop = {});

/// Every safetensors file of a folder; none where it cannot be listed.
std::vector<std::filesystem::path> safetensors_in(const std::filesystem::path& folder);

}  // namespace expertscope
