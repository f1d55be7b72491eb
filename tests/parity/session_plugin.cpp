// SPDX-License-Identifier: GPL-3.0-or-later
// The CUDA backend of the plugin, on a GPU. This binary has its own main: without a GPU it says so and ends
// with the exit code that ctest takes for a skipped test, so that no test has to know.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include "tests/gpu/gpu.h"
#include "tests/parity/session.h"

namespace expertscope::parity {

Result<std::unique_ptr<Session>> open_session(std::shared_ptr<const Model> model,
                                              const BackendOptions& options) {
  return expertscope::testing::open_gpu_session(std::move(model), options);
}

bool is_emulated() {
  return false;
}

}  // namespace expertscope::parity

int main(int argc, char** argv) {
  testing::InitGoogleMock(&argc, argv);
  if (testing::GTEST_FLAG(list_tests)) return RUN_ALL_TESTS();
  constexpr int kSkipped = 77;
  const auto device = expertscope::testing::find_gpu();
  if (!device) {
    fmt::print("nothing was tested, the GPU cannot be used: {}\n", device.error().message);
    return kSkipped;
  }
  fmt::print("on {}, {}\n", device->name, device->driver);
  return RUN_ALL_TESTS();
}
