// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <functional>
#include <optional>
#include <string>

namespace expertscope::cpu {

/// Whole processors whose time a process may use by the quotas of its control groups (version 1 or 2) and of
/// those above them, at least 1; empty: no quota. Rounded down: a thread that is stopped in the middle of a
/// loop, because the quota of a period is used up, is one that all others wait for. `groups`: the text of
/// /proc/self/cgroup; `read`: that of a file, empty where there is none.
std::optional<int> quota_threads(const std::string& groups,
                                 const std::function<std::string(const std::string& file)>& read);

/// That of this process.
std::optional<int> quota_threads();

}  // namespace expertscope::cpu
