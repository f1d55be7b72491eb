// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "engine/backend/capture.h"
#include "probes/capture/recorder.h"
#include "probes/store/run_info.h"
#include "probes/store/trace_reader.h"
#include "tests/support/temporary_folder.h"

namespace expertscope::testing {

/// What the synthetic model looks like: 3 decoder layers, of which layer 1 is dense.
struct Shape {
  Shape();
  std::vector<std::uint8_t> moe_layer;     ///< 1, 0, 1
  std::vector<std::uint8_t> shared_layer;  ///< empty: no layer has a shared expert
  int experts = 6;
  int slots = 2;
  int hidden_size = 64;
  int moe_layers() const;
};

RunInfo run_info(const Shape& shape, const CaptureRequest& probes = CaptureRequest::standard());

/// A block whose every value follows from the token's number in the run, its layer and its slot, so that
/// tests can say what must come back. `first` numbers the block's first token; all tokens belong to
/// `sequence`, at positions `position`, position + 1, ...
struct BlockSpec {
  int first = 0;
  int tokens = 1;
  int sequence = 0;
  int position = 0;
};
std::unique_ptr<CaptureBlock> make_block(const Shape& shape, const CaptureRequest& probes,
                                         const BlockSpec& spec,
                                         std::unique_ptr<CaptureBlock> reuse = nullptr);

// The values make_block gives.
int expert_of(const Shape& shape, int token, int moe_layer, int slot);
float weight_of(int token, int moe_layer, int slot);
float probability_of(int token, int moe_layer, int slot);
float norm_of(int token, int moe_layer, int slot);
float output_max_of(int token, int moe_layer, int slot);
int channel_of(const Shape& shape, int token, int moe_layer, int slot);
float shared_norm_of(int token, int moe_layer);
float shared_max_of(int token, int moe_layer);
int shared_channel_of(const Shape& shape, int token, int moe_layer);
float entropy_of(int token, int moe_layer);
float hidden_max_of(int token, int layer);
float attention_of(int token, int layer);
float log_prob_of(int token);

/// A routing table that says no more than its policy.
std::shared_ptr<const RoutingTable> table_of(const std::string& policy_json);

std::unique_ptr<TraceReader> open_trace(const std::filesystem::path& file);

/// Unwraps a result in a test; a failure names the error and leaves a default value.
template <class T>
T value_of(Result<T> result) {
  if (!result) {
    ADD_FAILURE() << result.error().message;
    return T{};
  }
  return std::move(*result);
}
#define EXPECT_OK(expression)                                          \
  do {                                                                 \
    const auto& expect_ok_result = (expression);                       \
    EXPECT_TRUE(expect_ok_result) << expect_ok_result.error().message; \
  } while (false)
#define ASSERT_OK(expression)                                          \
  do {                                                                 \
    const auto& assert_ok_result = (expression);                       \
    ASSERT_TRUE(assert_ok_result) << assert_ok_result.error().message; \
  } while (false)

/// Whether two tables are equal to the last bit.
void expect_same_table(const ExpertTable& a, const ExpertTable& b);

}  // namespace expertscope::testing
