// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "engine/error.h"
#include "probes/store/trace_reader.h"

namespace expertscope::cli {

/// What `info` says about a trace: its runs, what they were made with, and the edits they recorded.
Result<nlohmann::ordered_json> trace_json(const TraceReader& trace);
Result<std::string> trace_text(const TraceReader& trace);

}  // namespace expertscope::cli
