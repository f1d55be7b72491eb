// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/cpu/memory.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <fstream>
#include <string>

namespace expertscope::cpu {
namespace {

constexpr std::size_t kCacheLine = 64;
constexpr std::size_t kHugePage = std::size_t{2} << 20;

/// The number in a file that holds nothing else ("max" and missing files give none).
std::optional<std::size_t> read_number(const char* path) {
  std::ifstream in(path);
  std::size_t value = 0;
  if (in >> value) return value;
  return std::nullopt;
}

std::optional<std::size_t> mem_available() {
  std::ifstream in("/proc/meminfo");
  std::string key;
  std::size_t kib = 0;
  std::string unit;
  while (in >> key >> kib) {
    std::getline(in, unit);
    if (key == "MemAvailable:") return kib * 1024;
  }
  return std::nullopt;
}

/// What the control group (version 2) still allows; page cache it could give back is not counted.
std::optional<std::size_t> group_available() {
  const auto limit = read_number("/sys/fs/cgroup/memory.max");
  const auto used = read_number("/sys/fs/cgroup/memory.current");
  if (!limit || !used) return std::nullopt;
  return *limit > *used ? *limit - *used : 0;
}

}  // namespace

void* allocate_aligned(std::size_t bytes) {
  const bool large = bytes >= 2 * kHugePage;
  const std::size_t alignment = large ? kHugePage : kCacheLine;
  if (bytes > std::numeric_limits<std::size_t>::max() / 2) return nullptr;
  const std::size_t padded = std::max(alignment, (bytes + alignment - 1) / alignment * alignment);
  void* memory = std::aligned_alloc(alignment, padded);
  // Only a hint: without huge pages everything works, a little slower.
  if (memory != nullptr && large) madvise(memory, padded, MADV_HUGEPAGE);
  return memory;
}

std::optional<std::size_t> available_memory() {
  const auto machine = mem_available();
  const auto group = group_available();
  if (!machine) return group;
  return group ? std::min(*machine, *group) : *machine;
}

std::string format_bytes(std::size_t bytes) {
  constexpr double kMiB = 1024.0 * 1024.0;
  const auto mib = static_cast<double>(bytes) / kMiB;
  return mib >= 1024 ? fmt::format("{:.1f} GiB", mib / 1024) : fmt::format("{:.1f} MiB", mib);
}

}  // namespace expertscope::cpu
