// SPDX-License-Identifier: GPL-3.0-or-later
// How many threads the quota of a container allows, on the texts of the kernel.
#include "engine/cpu/kernels/cpu_quota.h"

#include <gtest/gtest.h>

#include <map>

namespace expertscope::cpu {
namespace {

using Files = std::map<std::string, std::string>;

std::optional<int> threads(const std::string& groups, const Files& files) {
  return quota_threads(groups, [&](const std::string& file) {
    const auto found = files.find(file);
    return found == files.end() ? std::string() : found->second;
  });
}

TEST(CpuQuota, OfVersion2IsTheTimeOfAPeriod) {
  EXPECT_EQ(threads("0::/\n", {{"/sys/fs/cgroup/cpu.max", "400000 100000\n"}}), 4);
  EXPECT_EQ(threads("0::/\n", {{"/sys/fs/cgroup/cpu.max", "100000 50000\n"}}), 2);
}

TEST(CpuQuota, IsRoundedDownToWholeThreadsAndNeverToNone) {
  EXPECT_EQ(threads("0::/\n", {{"/sys/fs/cgroup/cpu.max", "390000 100000\n"}}), 3);
  EXPECT_EQ(threads("0::/\n", {{"/sys/fs/cgroup/cpu.max", "20000 100000\n"}}), 1);
}

TEST(CpuQuota, OfAGroupIsBoundByThoseAboveIt) {
  const Files files = {{"/sys/fs/cgroup/user.slice/cpu.max", "200000 100000\n"},
                       {"/sys/fs/cgroup/user.slice/run.scope/cpu.max", "600000 100000\n"}};
  EXPECT_EQ(threads("0::/user.slice/run.scope\n", files), 2);
  EXPECT_EQ(threads("0::/user.slice\n", files), 2);
  EXPECT_EQ(threads("0::/system.slice\n", files), std::nullopt);
}

TEST(CpuQuota, OfVersion1IsInTwoFilesOfTheCpuController) {
  const std::string groups =
      "12:memory:/docker/4f\n4:cpu,cpuacct:/docker/4f\n3:cpuset:/docker/4f\n1:name=systemd:/docker/4f\n0::/"
      "\n";
  const std::string mount = "/sys/fs/cgroup/cpu,cpuacct";
  EXPECT_EQ(threads(groups, {{mount + "/docker/4f/cpu.cfs_quota_us", "300000\n"},
                             {mount + "/docker/4f/cpu.cfs_period_us", "100000\n"}}),
            3);
  EXPECT_EQ(threads(groups,
                    {{mount + "/cpu.cfs_quota_us", "200000\n"}, {mount + "/cpu.cfs_period_us", "100000\n"}}),
            2)
      << "a container that sees its own group as the root";
}

TEST(CpuQuota, IsNoneWhereNoneIsSet) {
  EXPECT_EQ(threads("0::/\n", {{"/sys/fs/cgroup/cpu.max", "max 100000\n"}}), std::nullopt);
  EXPECT_EQ(threads("2:cpu:/\n", {{"/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n"},
                                  {"/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"}}),
            std::nullopt);
  EXPECT_EQ(threads("", {}), std::nullopt);
  EXPECT_EQ(threads("0::/a\nnonsense\n:\n0:cpu\n", {{"/sys/fs/cgroup/a/cpu.max", "x y\n"}}), std::nullopt);
}

}  // namespace
}  // namespace expertscope::cpu
