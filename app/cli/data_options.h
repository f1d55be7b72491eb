// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "app/cli/arguments.h"
#include "engine/error.h"
#include "engine/text/dataset.h"

namespace expertscope::cli {

/// The data that a command measures.
struct DataOptions {
  std::string file;
  bool skip_bad_lines = false;
};

/// --data and --skip-bad-lines.
void add_data_options(Arguments& options, DataOptions& data);

/// Reads the data; a note says what was left out.
Result<Dataset> open_data(const DataOptions& options);

/// "data", "data_format", "documents" and "skipped_documents".
void add_data(nlohmann::ordered_json& json, const Dataset& data);

}  // namespace expertscope::cli
