// SPDX-License-Identifier: GPL-3.0-or-later
// What a function of the plugin throws comes out of it as an error.
#include "engine/cuda/guarded.h"

#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <string>

namespace expertscope::cuda {
namespace {

Result<std::unique_ptr<int>> keep(std::unique_ptr<int> value, const std::string& wanted) {
  if (wanted == "memory") throw std::bad_alloc();
  if (wanted == "exception") throw std::runtime_error("no such luck");
  if (wanted == "number") throw 7;
  if (wanted == "error") return fail(ErrorCode::io, "as it is");
  return value;
}

Error error_of(const std::string& wanted) {
  return guarded<&keep>(nullptr, wanted).error();
}

TEST(Guarded, PassesArgumentsAndResultsOn) {
  const Result<std::unique_ptr<int>> kept = guarded<&keep>(std::make_unique<int>(42), "nothing");
  ASSERT_TRUE(kept);
  EXPECT_EQ(**kept, 42);
  EXPECT_EQ(error_of("error").code, ErrorCode::io);
  EXPECT_EQ(error_of("error").message, "as it is");
}

TEST(Guarded, TurnsWhatIsThrownIntoAnError) {
  EXPECT_EQ(error_of("memory").code, ErrorCode::out_of_memory);
  EXPECT_EQ(error_of("memory").message, "the CUDA backend found no memory on the host");
  EXPECT_EQ(error_of("exception").code, ErrorCode::device);
  EXPECT_EQ(error_of("exception").message, "the CUDA backend failed: no such luck");
  EXPECT_EQ(error_of("number").message, "the CUDA backend failed");
}

}  // namespace
}  // namespace expertscope::cuda
