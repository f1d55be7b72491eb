// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/backend/memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <limits>
#include <sstream>
#include <string>

namespace expertscope {
namespace {

constexpr std::size_t kCacheLine = 64;
constexpr std::size_t kHugePage = std::size_t{2} << 20;

/// The number that follows `key` at the beginning of a line.
std::optional<std::size_t> number_of(const std::string& text, const std::string& key) {
  std::istringstream in(text);
  std::string name;
  std::size_t value = 0;
  std::string rest;
  while (in >> name >> value) {
    if (name == key) return value;
    std::getline(in, rest);
  }
  return std::nullopt;
}

/// The number a text consists of ("max" and an empty text have none).
std::optional<std::size_t> whole_number(const std::string& text) {
  std::istringstream in(text);
  std::size_t value = 0;
  if (in >> value) return value;
  return std::nullopt;
}

/// The files of a group's limit, of what is used, and the names of the page cache in memory.stat, which count
/// the groups below as well.
struct MemoryFiles {
  const char* limit;
  const char* used;
  std::array<const char*, 2> cache;
};
constexpr MemoryFiles kVersion1 = {
    "/memory.limit_in_bytes", "/memory.usage_in_bytes", {"total_inactive_file", "total_active_file"}};
constexpr MemoryFiles kVersion2 = {"/memory.max", "/memory.current", {"inactive_file", "active_file"}};

std::optional<std::size_t> left_in(const ControlGroup& group, const FileReader& read) {
  constexpr std::size_t kNoLimit = std::size_t{1} << 62;  // version 1 writes all pages there could be
  const auto& files = group.version == 1 ? kVersion1 : kVersion2;
  const auto limit = whole_number(read(group.folder + files.limit));
  const auto used = whole_number(read(group.folder + files.used));
  if (!limit || !used || *limit >= kNoLimit) return std::nullopt;
  const std::string stat = read(group.folder + "/memory.stat");
  std::size_t cache = 0;
  for (const char* name : files.cache)
    cache += number_of(stat, name).value_or(0);
  // The three files are not read at one moment: nothing may wrap around.
  const std::size_t kept = *used - std::min(*used, cache);
  return *limit - std::min(*limit, kept);
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

std::optional<std::size_t> machine_available(const std::string& meminfo) {
  const auto kib = number_of(meminfo, "MemAvailable:");
  if (!kib) return std::nullopt;
  return *kib * 1024;
}

std::optional<std::size_t> group_available(const std::string& groups, const FileReader& read) {
  std::optional<std::size_t> least;
  for (const auto& group : control_groups(groups, "memory")) {
    const auto left = left_in(group, read);
    if (left && (!least || *left < *least)) least = left;
  }
  return least;
}

std::optional<std::size_t> available_memory() {
  const auto machine = machine_available(read_text("/proc/meminfo"));
  const auto group = group_available(read_text("/proc/self/cgroup"), read_text);
  if (!machine) return group;
  return group ? std::min(*machine, *group) : *machine;
}

}  // namespace expertscope
