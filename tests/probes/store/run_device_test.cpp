// SPDX-License-Identifier: GPL-3.0-or-later
#include <gtest/gtest.h>

#include "probes/store/database.h"
#include "probes/store/schema.h"
#include "tests/probes/synthetic.h"

namespace expertscope::testing {
namespace {

TEST(RunDevice, IsRecorded) {
  const TemporaryFolder folder;
  RunInfo info = run_info(Shape());
  info.device = "NVIDIA H200";
  info.device_uuid = "GPU-5e3f";
  info.driver = "580.159.04, CUDA 13.0";
  info.device_memory = 150'000'000'000;
  auto recorder = value_of(Recorder::start(folder / "t.db", info));
  EXPECT_OK(recorder->finish("finished"));
  const RunInfo run = value_of(open_trace(folder / "t.db")->run(1));
  EXPECT_EQ(run.device, "NVIDIA H200");
  EXPECT_EQ(run.device_uuid, "GPU-5e3f");
  EXPECT_EQ(run.driver, "580.159.04, CUDA 13.0");
  EXPECT_EQ(run.device_memory, 150'000'000'000);
}

TEST(RunDevice, WithoutADeviceThereIsNoMemory) {
  const TemporaryFolder folder;
  auto recorder = value_of(Recorder::start(folder / "t.db", run_info(Shape())));
  EXPECT_OK(recorder->finish("finished"));
  const auto database = value_of(open_trace_for_reading(folder / "t.db"));
  auto query = value_of(database->prepare("SELECT device, device_memory FROM run"));
  ASSERT_TRUE(value_of(query.step()));
  EXPECT_EQ(query.text(0), "");
  EXPECT_TRUE(query.is_null(1));
}

}  // namespace
}  // namespace expertscope::testing
