// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/cpu/kernels/cpu_quota.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <limits>
#include <string_view>
#include <system_error>

namespace expertscope::cpu {
namespace {

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
std::optional<int> version_2(const std::string& folder, const FileReader& read) {
  const std::string text = read(folder + "/cpu.max");
  const auto space = text.find(' ');
  if (space == std::string::npos) return std::nullopt;
  return processors(text, std::string_view(text).substr(space + 1));
}

std::optional<int> version_1(const std::string& folder, const FileReader& read) {
  return processors(read(folder + "/cpu.cfs_quota_us"), read(folder + "/cpu.cfs_period_us"));
}

}  // namespace

std::optional<int> quota_threads(const std::string& groups, const FileReader& read) {
  std::optional<int> least;
  for (const auto& group : control_groups(groups, "cpu")) {
    const auto threads = group.version == 2 ? version_2(group.folder, read) : version_1(group.folder, read);
    if (threads && (!least || *threads < *least)) least = threads;
  }
  return least;
}

std::optional<int> quota_threads() {
  return quota_threads(read_text("/proc/self/cgroup"), read_text);
}

}  // namespace expertscope::cpu
