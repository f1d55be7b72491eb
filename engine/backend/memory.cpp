// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/backend/memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <limits>
#include <sstream>
#include <string>

namespace expertscope {
namespace {

constexpr std::size_t kCacheLine = 64;
constexpr std::size_t kHugePage = std::size_t{2} << 20;

std::string read_whole(const char* path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

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

std::optional<std::size_t> group_available(const std::string& max, const std::string& current,
                                           const std::string& stat) {
  const auto limit = whole_number(max);
  const auto used = whole_number(current);
  if (!limit || !used) return std::nullopt;
  // The three files are not read at one moment: nothing may wrap around.
  const std::size_t cache =
      number_of(stat, "inactive_file").value_or(0) + number_of(stat, "active_file").value_or(0);
  const std::size_t kept = *used - std::min(*used, cache);
  return *limit - std::min(*limit, kept);
}

std::optional<std::size_t> available_memory() {
  const auto machine = machine_available(read_whole("/proc/meminfo"));
  const auto group =
      group_available(read_whole("/sys/fs/cgroup/memory.max"), read_whole("/sys/fs/cgroup/memory.current"),
                      read_whole("/sys/fs/cgroup/memory.stat"));
  if (!machine) return group;
  return group ? std::min(*machine, *group) : *machine;
}

}  // namespace expertscope
