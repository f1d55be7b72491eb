// SPDX-License-Identifier: GPL-3.0-or-later
#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/engine/cpu/kernels/kernel_test_support.h"

namespace expertscope::cpu {
namespace {

class DispatchTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* value = std::getenv("EXPERTSCOPE_CPU");
    if (value != nullptr) before_ = value;
  }
  void TearDown() override {
    if (before_.empty()) {
      unsetenv("EXPERTSCOPE_CPU");
    } else {
      setenv("EXPERTSCOPE_CPU", before_.c_str(), 1);
    }
  }

 private:
  std::string before_;
};

TEST_F(DispatchTest, NamesOfLevelsAreReadBack) {
  for (const char* name : {"scalar", "avx2", "avx512", "avx512_bf16", "amx"}) {
    CpuLevel level = CpuLevel::scalar;
    ASSERT_TRUE(parse_cpu_level(name, level));
    EXPECT_STREQ(cpu_level_name(level), name);
  }
  CpuLevel level = CpuLevel::avx2;
  EXPECT_FALSE(parse_cpu_level("sse9", level));
  EXPECT_EQ(level, CpuLevel::avx2);
}

TEST_F(DispatchTest, EveryAvailableTableIsItsOwn) {
  for (const CpuLevel level : available_levels())
    EXPECT_EQ(kernels_for(level).level, level);
}

TEST_F(DispatchTest, TheEnvironmentLowersTheLevelAndNeverRaisesIt) {
  setenv("EXPERTSCOPE_CPU", "scalar", 1);
  EXPECT_EQ(choose_cpu_level(), CpuLevel::scalar);
  setenv("EXPERTSCOPE_CPU", "amx", 1);
  EXPECT_EQ(choose_cpu_level(), detect_cpu_level());
  setenv("EXPERTSCOPE_CPU", "nonsense", 1);
  EXPECT_EQ(choose_cpu_level(), detect_cpu_level());
  unsetenv("EXPERTSCOPE_CPU");
  EXPECT_EQ(choose_cpu_level(), detect_cpu_level());
}

}  // namespace
}  // namespace expertscope::cpu
