// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace expertscope {

/// The text of a file, empty where there is none.
using FileReader = std::function<std::string(const std::string& file)>;
std::string read_text(const std::string& file);

/// The folder of a control group, with the files of that version (1 or 2).
struct ControlGroup {
  int version = 2;
  std::string folder;
};

/// The control groups that bind a process for a controller ("cpu", "memory"): its own, and those above it up
/// to the root. In a container the path may be that of the host while the container's own group is mounted
/// as the root: a folder need not be there. `groups`: the text of /proc/self/cgroup.
std::vector<ControlGroup> control_groups(const std::string& groups, std::string_view controller);

}  // namespace expertscope
