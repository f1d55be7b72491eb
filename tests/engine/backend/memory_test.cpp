// SPDX-License-Identifier: GPL-3.0-or-later
// What counts as free memory, on the texts of a machine and of a container with a limit.
#include "engine/backend/memory.h"

#include <gtest/gtest.h>

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

TEST(GroupMemory, IsTheLimitWithoutWhatIsUsed) {
  EXPECT_EQ(group_available(mebibytes(4096), mebibytes(100), stat(0, 0)), 3996 * kMiB);
  EXPECT_EQ(group_available(mebibytes(4096), mebibytes(100), ""), 3996 * kMiB) << "without memory.stat";
}

TEST(GroupMemory, CountsTheCacheOfMappedWeightsAsFree) {
  // A container of 4 GiB that has read a model of 3.9 GiB: all but 96 MiB of it can be had.
  EXPECT_EQ(group_available(mebibytes(4096), mebibytes(4076), stat(3000, 980)), 4000 * kMiB);
}

TEST(GroupMemory, NeverWrapsAround) {
  EXPECT_EQ(group_available(mebibytes(10), mebibytes(12), stat(0, 0)), 0u) << "over the limit";
  EXPECT_EQ(group_available(mebibytes(10), mebibytes(4), stat(3, 3)), 10 * kMiB) << "stat read later";
}

TEST(GroupMemory, HasNoLimitWhereNoneIsSet) {
  EXPECT_EQ(group_available("max\n", mebibytes(4), stat(1, 1)), std::nullopt);
  EXPECT_EQ(group_available("", "", ""), std::nullopt) << "the files of version 1, or of the root group";
}

}  // namespace
}  // namespace expertscope::cpu
