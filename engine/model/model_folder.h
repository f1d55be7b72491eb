// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <filesystem>

#include "engine/error.h"

namespace expertscope {

/// The GGUF file that was named, or the folder that holds a model's files: the one that was named or, for the
/// entry of a repository in a Hugging Face cache (models--org--repo), the snapshot that it stands for: the
/// one of refs/main, or the only one. Where nothing of this name is there, it may be that of a model in the
/// cache, "org/name" or "org/name@revision". Errors say what is there instead of a model (another file, an
/// adapter, a cache, a folder of GGUF files) and what to open.
Result<std::filesystem::path> find_model(const std::filesystem::path& named);

}  // namespace expertscope
