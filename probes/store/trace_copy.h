// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <filesystem>

#include "engine/error.h"

namespace expertscope {

/// Copies a trace, also while a run is being recorded into it: everything committed by now is in the copy. An
/// existing `to` is replaced at the end, as a whole.
Status copy_trace(const std::filesystem::path& from, const std::filesystem::path& to);

}  // namespace expertscope
