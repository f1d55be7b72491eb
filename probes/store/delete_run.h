// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

#include "engine/error.h"
#include "probes/store/database.h"

namespace expertscope {

/// Takes a run and all its rows out of a trace, in one transaction; waits for locks as a recording that
/// starts does. A run that is not there, or is still being recorded (also by this process), is
/// ErrorCode::invalid_argument. The file keeps its size: the next recording uses the room.
Status delete_run(const std::filesystem::path& file, std::int64_t run);

/// The id of the next run, behind those of all runs and of all deleted ones; empty where none was deleted, as
/// SQLite then finds it itself.
Result<std::optional<std::int64_t>> id_behind_deleted_runs(const Database& database);

}  // namespace expertscope
