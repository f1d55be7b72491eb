// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <optional>
#include <string>

#include "engine/backend/control_group.h"

namespace expertscope::cpu {

/// Whole processors whose time a process may use by the quotas of its control groups (version 1 or 2) and of
/// those above them, at least 1; empty: no quota. Rounded down: a thread that is stopped in the middle of a
/// loop, because the quota of a period is used up, is one that all others wait for. `groups`: the text of
/// /proc/self/cgroup.
std::optional<int> quota_threads(const std::string& groups, const FileReader& read);

/// That of this process.
std::optional<int> quota_threads();

}  // namespace expertscope::cpu
