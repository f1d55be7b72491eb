// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/backend/control_group.h"

#include <fstream>
#include <iterator>
#include <sstream>

namespace expertscope {
namespace {

constexpr const char* kRoot = "/sys/fs/cgroup";

/// "cpu" is one of "cpu,cpuacct".
bool names(const std::string& controllers, std::string_view controller) {
  std::istringstream in(controllers);
  for (std::string name; std::getline(in, name, ',');)
    if (name == controller) return true;
  return false;
}

}  // namespace

std::string read_text(const std::string& file) {
  std::ifstream in(file);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

std::vector<ControlGroup> control_groups(const std::string& groups, std::string_view controller) {
  std::vector<ControlGroup> found;
  std::istringstream lines(groups);
  for (std::string line; std::getline(lines, line);) {  // "NUMBER:CONTROLLERS:PATH"
    const auto first = line.find(':');
    const auto second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos || line.compare(second + 1, 1, "/") != 0) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    if (!controllers.empty() && !names(controllers, controller)) continue;
    const int version = controllers.empty() ? 2 : 1;
    const std::string mount = version == 2 ? kRoot : std::string(kRoot) + "/" + controllers;
    std::string path = line.substr(second + 1);
    for (; !path.empty() && path != "/"; path.resize(path.find_last_of('/')))
      found.push_back({version, mount + path});
    found.push_back({version, mount});
  }
  return found;
}

}  // namespace expertscope
