// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "engine/formats/safetensors_folder.h"
#include "engine/formats/tensor_store.h"

namespace expertscope::testing {

/// The tensors of the safetensors of a folder, by name.
inline Result<TensorStore> open_store(const std::filesystem::path& folder, const ShardProgress& progress = {},
                                      const std::stop_token& stop = {}) {
  auto source = open_safetensors_folder(folder, progress, stop);
  if (!source) return forward_error(source);
  return TensorStore(std::move(*source));
}

}  // namespace expertscope::testing
