// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/cpu/kernels/cpu_quota.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <limits>
#include <sstream>
#include <string_view>
#include <system_error>

namespace expertscope::cpu {
namespace {

using Reader = std::function<std::string(const std::string& file)>;
constexpr const char* kRoot = "/sys/fs/cgroup";

/// The whole number a text begins with; "max", "-1" and an empty text have no meaning as a quota.
std::optional<std::int64_t> positive(std::string_view text) {
  std::int64_t number = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  if (parsed.ec != std::errc{} || number <= 0) return std::nullopt;
  return number;
}

/// Microseconds of processor time in each period of so many.
std::optional<int> processors(std::string_view quota, std::string_view period) {
  const auto used = positive(quota);
  const auto length = positive(period);
  if (!used || !length) return std::nullopt;
  return static_cast<int>(std::clamp<std::int64_t>(*used / *length, 1, std::numeric_limits<int>::max()));
}

/// "150000 100000", or "max 100000".
std::optional<int> version_2(const std::string& folder, const Reader& read) {
  const std::string text = read(folder + "/cpu.max");
  const auto space = text.find(' ');
  if (space == std::string::npos) return std::nullopt;
  return processors(text, std::string_view(text).substr(space + 1));
}

std::optional<int> version_1(const std::string& folder, const Reader& read) {
  return processors(read(folder + "/cpu.cfs_quota_us"), read(folder + "/cpu.cfs_period_us"));
}

void lower(std::optional<int>& least, std::optional<int> other) {
  if (other && (!least || *other < *least)) least = other;
}

/// A group is bound by those above it. In a container the path may be that of the host while the container's
/// own group is mounted as the root: what is not there is passed over.
template <class Quota>
void lower_by_group(std::optional<int>& least, const std::string& mount, std::string path,
                    const Quota& quota) {
  while (!path.empty() && path != "/") {
    lower(least, quota(mount + path));
    path.resize(path.find_last_of('/'));
  }
  lower(least, quota(mount));
}

/// "cpu" is one of "cpu,cpuacct".
bool names_cpu(const std::string& controllers) {
  std::istringstream in(controllers);
  for (std::string name; std::getline(in, name, ',');)
    if (name == "cpu") return true;
  return false;
}

}  // namespace

std::optional<int> quota_threads(const std::string& groups, const Reader& read) {
  std::optional<int> least;
  std::istringstream lines(groups);
  for (std::string line; std::getline(lines, line);) {  // "NUMBER:CONTROLLERS:PATH"
    const auto first = line.find(':');
    const auto second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos || line.compare(second + 1, 1, "/") != 0) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string path = line.substr(second + 1);
    if (controllers.empty()) {
      lower_by_group(least, kRoot, path, [&](const std::string& folder) { return version_2(folder, read); });
    } else if (names_cpu(controllers)) {
      lower_by_group(least, std::string(kRoot) + "/" + controllers, path,
                     [&](const std::string& folder) { return version_1(folder, read); });
    }
  }
  return least;
}

std::optional<int> quota_threads() {
  const Reader read = [](const std::string& file) {
    std::ifstream in(file);
    return std::string(std::istreambuf_iterator<char>(in), {});
  };
  return quota_threads(read("/proc/self/cgroup"), read);
}

}  // namespace expertscope::cpu
