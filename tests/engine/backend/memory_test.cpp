// SPDX-License-Identifier: GPL-3.0-or-later
// What counts as free memory, on the texts of a machine and of a container with a limit.
#include "engine/backend/memory.h"

#include <gtest/gtest.h>

#include <map>

namespace expertscope::cpu {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;

const char* const kMeminfo =
    "MemTotal:       32617228 kB\n"
    "MemFree:         1024000 kB\n"
    "MemAvailable:   20971520 kB\n"
    "HugePages_Total:       0\n";

std::string mebibytes(std::size_t count) {
  return std::to_string(count * kMiB) + "\n";
}

std::string stat(std::size_t inactive_file, std::size_t active_file) {
  return "anon " + mebibytes(100) + "file " + mebibytes(inactive_file + active_file) +
         "kernel_stack 16384\n" + "inactive_anon " + mebibytes(100) + "inactive_file " +
         mebibytes(inactive_file) + "active_file " + mebibytes(active_file) + "unevictable 0\n";
}

TEST(MachineMemory, IsWhatTheKernelSaysIsAvailable) {
  EXPECT_EQ(machine_available(kMeminfo), 20480 * kMiB);
  EXPECT_EQ(machine_available("MemTotal: 12 kB\n"), std::nullopt);
  EXPECT_EQ(machine_available(""), std::nullopt);
}

using Files = std::map<std::string, std::string>;

std::optional<std::size_t> available(const std::string& groups, const Files& files) {
  return group_available(groups, [&](const std::string& file) {
    const auto found = files.find(file);
    return found == files.end() ? std::string() : found->second;
  });
}

/// The files of one group of version 2.
Files group(const std::string& folder, const std::string& max, const std::string& current,
            const std::string& stat) {
  return {
      {folder + "/memory.max", max}, {folder + "/memory.current", current}, {folder + "/memory.stat", stat}};
}

std::optional<std::size_t> of_root(const std::string& max, const std::string& current,
                                   const std::string& stat) {
  return available("0::/\n", group("/sys/fs/cgroup", max, current, stat));
}

TEST(GroupMemory, IsTheLimitWithoutWhatIsUsed) {
  EXPECT_EQ(of_root(mebibytes(4096), mebibytes(100), stat(0, 0)), 3996 * kMiB);
  EXPECT_EQ(of_root(mebibytes(4096), mebibytes(100), ""), 3996 * kMiB) << "without memory.stat";
}

TEST(GroupMemory, CountsTheCacheOfMappedWeightsAsFree) {
  // A container of 4 GiB that has read a model of 3.9 GiB: all but 96 MiB of it can be had.
  EXPECT_EQ(of_root(mebibytes(4096), mebibytes(4076), stat(3000, 980)), 4000 * kMiB);
}

TEST(GroupMemory, NeverWrapsAround) {
  EXPECT_EQ(of_root(mebibytes(10), mebibytes(12), stat(0, 0)), 0u) << "over the limit";
  EXPECT_EQ(of_root(mebibytes(10), mebibytes(4), stat(3, 3)), 10 * kMiB) << "stat read later";
}

TEST(GroupMemory, HasNoLimitWhereNoneIsSet) {
  EXPECT_EQ(of_root("max\n", mebibytes(4), stat(1, 1)), std::nullopt);
  EXPECT_EQ(of_root("", "", ""), std::nullopt) << "the root group of a machine";
  EXPECT_EQ(available("", {}), std::nullopt) << "no control groups";
}

TEST(GroupMemory, OfAProcessIsBoundByItsOwnGroupAndThoseAboveIt) {
  Files files = group("/sys/fs/cgroup/user.slice/run.scope", mebibytes(300), mebibytes(100), "");
  EXPECT_EQ(available("0::/user.slice/run.scope\n", files), 200 * kMiB);
  files.merge(group("/sys/fs/cgroup/user.slice", mebibytes(500), mebibytes(450), ""));
  EXPECT_EQ(available("0::/user.slice/run.scope\n", files), 50 * kMiB);
  EXPECT_EQ(available("0::/system.slice\n", files), std::nullopt);
}

TEST(GroupMemory, OfVersion1IsInTheFilesOfTheMemoryController) {
  const std::string groups = "12:memory:/docker/4f\n4:cpu,cpuacct:/docker/4f\n0::/\n";
  const std::string mount = "/sys/fs/cgroup/memory";
  const auto files = [](const std::string& folder, const std::string& limit) {
    return Files{{folder + "/memory.limit_in_bytes", limit},
                 {folder + "/memory.usage_in_bytes", mebibytes(700)},
                 {folder + "/memory.stat", "inactive_file 0\nactive_file 0\ntotal_inactive_file " +
                                               mebibytes(500) + "total_active_file " + mebibytes(100)}};
  };
  EXPECT_EQ(available(groups, files(mount + "/docker/4f", mebibytes(1000))), 900 * kMiB);
  EXPECT_EQ(available(groups, files(mount, mebibytes(800))), 700 * kMiB)
      << "a container that sees its own group as the root";
  EXPECT_EQ(available(groups, files(mount, "9223372036854771712\n")), std::nullopt) << "no limit";
}

}  // namespace
}  // namespace expertscope::cpu
