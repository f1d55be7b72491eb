// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "engine/error.h"
#include "probes/store/database.h"

namespace expertscope {

/// Gives an older trace the columns that came with later versions, and the version of this program; what was
/// recorded stays as it is. Within the caller's transaction. Does nothing for a trace of this version.
Status upgrade_trace(Database& database);

/// The columns that `table` got after version 1, as ALTER TABLE writes them down: "device_memory INTEGER".
std::vector<std::string> added_columns(std::string_view table);

/// Lets queries of this version read an older trace without changing it: temporary views of this connection
/// stand before the tables and answer for the missing columns. Only main.run and so on can be written then.
Status read_as_newest(Database& database);

}  // namespace expertscope
