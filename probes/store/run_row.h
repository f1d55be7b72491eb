// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/error.h"
#include "probes/store/database.h"
#include "probes/store/run_info.h"

namespace expertscope {

/// The names of the probes that are on, as the column `probes` has them.
std::string probes_text(const CaptureRequest& probes);

/// Adds a row with status "recording" and this thread as its writer; the id of the run.
Result<std::int64_t> insert_run_row(Database& database, const RunInfo& info);

/// Notes how far it is: its tokens, dropped tokens and probes.
Status update_run_row(Database& database, const RunInfo& run);

struct RunEnd {
  std::string status;
  std::string message;
  std::optional<std::string> text;  ///< unset: as it was
};
Status finish_run_row(Database& database, std::int64_t run, const RunEnd& end);

/// Runs whose writer is gone become "interrupted".
Status mark_interrupted_runs(Database& database);
/// Whether there is a run for mark_interrupted_runs to mark.
Result<bool> has_interrupted_runs(const Database& database);

/// All runs, or the one with that id, oldest first. Checks every field against the bounds of the format; a
/// run whose writer is gone reads as "interrupted".
Result<std::vector<RunInfo>> read_run_rows(const Database& database, std::optional<std::int64_t> id);

}  // namespace expertscope
