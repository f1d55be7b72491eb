// SPDX-License-Identifier: GPL-3.0-or-later
// What a trace rounds, and what it does not: the same run recorded both ways.
#include <gtest/gtest.h>

#include <cmath>

#include "probes/store/column_codec.h"
#include "tests/probes/synthetic.h"

namespace expertscope::testing {
namespace {

// Blocks whose numbers have more bits than a trace keeps of them, recorded both ways.
std::unique_ptr<TraceReader> record_odd_numbers(const std::filesystem::path& file, bool full) {
  const Shape shape;
  RecorderOptions options;
  options.full = full;
  auto recorder = value_of(Recorder::start(file, run_info(shape), options));
  for (int first = 0; first < 700; first += 70) {
    auto block = make_block(shape, CaptureRequest::standard(), {first, 70, 0, first});
    for (auto* values : {&block->weight, &block->probability, &block->output_norm, &block->output_max,
                         &block->entropy, &block->hidden_max, &block->first_token_attention}) {
      for (float& value : *values)
        value *= 1.0f / 3;
    }
    EXPECT_OK(recorder->deliver(std::move(block)));
  }
  EXPECT_OK(recorder->finish("finished"));
  return open_trace(file);
}

// NaN is like NaN.
void expect_within(double rounded, double exact, double error) {
  EXPECT_EQ(std::isnan(rounded), std::isnan(exact));
  EXPECT_TRUE(std::isnan(exact) || std::abs(rounded - exact) <= error * std::abs(exact))
      << rounded << " instead of " << exact;
}

TEST(Rounding, ChangesNoStatisticNoIdAndNoCount) {
  const TemporaryFolder folder;
  const auto full = record_odd_numbers(folder / "full.db", true);
  const auto rounded = record_odd_numbers(folder / "rounded.db", false);
  expect_same_table(value_of(rounded->expert_table(1)), value_of(full->expert_table(1)));
  expect_same_table(value_of(full->expert_table(1)), value_of(full->expert_table(1, TokenRange{})));
  const auto a = value_of(rounded->layer_stats(1));
  const auto b = value_of(full->layer_stats(1));
  for (std::size_t layer = 0; layer < 3; ++layer) {
    EXPECT_EQ(a[layer].entropy_sum, b[layer].entropy_sum);
    EXPECT_EQ(a[layer].hidden_max, b[layer].hidden_max);
    EXPECT_EQ(a[layer].attention_max, b[layer].attention_max);
  }
  const ExpertTable part = value_of(rounded->expert_table(1, {100, 500}));
  const ExpertTable exact = value_of(full->expert_table(1, {100, 500}));
  for (int expert = 0; expert < 6; ++expert)
    EXPECT_EQ(part.at(2, expert).count, exact.at(2, expert).count);
  const auto rounded_tokens = value_of(rounded->tokens(1, {}));
  const auto full_tokens = value_of(full->tokens(1, {}));
  for (std::size_t t = 0; t < 700; ++t) {
    EXPECT_EQ(rounded_tokens[t].id, full_tokens[t].id);
    EXPECT_EQ(rounded_tokens[t].log_prob, full_tokens[t].log_prob);
  }
}

TEST(Rounding, LeavesSingleTokensWithinOnePartIn2048) {
  const TemporaryFolder folder;
  const auto full = record_odd_numbers(folder / "full.db", true);
  const auto rounded = record_odd_numbers(folder / "rounded.db", false);
  const ExpertTable part = value_of(rounded->expert_table(1, {100, 500}));
  const ExpertTable exact = value_of(full->expert_table(1, {100, 500}));
  for (int expert = 0; expert < 6; ++expert) {
    const ExpertStats& a = part.at(2, expert);
    const ExpertStats& b = exact.at(2, expert);
    expect_within(a.weight_sum, b.weight_sum, kRoundingError);
    expect_within(a.probability_sum, b.probability_sum, kRoundingError);
    expect_within(a.norm_sum, b.norm_sum, kRoundingError);
    expect_within(a.weighted_norm_sum, b.weighted_norm_sum,
                  2 * kRoundingError + kRoundingError * kRoundingError);
    expect_within(a.output_max, b.output_max, kRoundingError);
    expect_within(a.first_row_max, b.first_row_max, kRoundingError);
  }
  for (int token = 0; token < 700; token += 13) {
    const auto a = value_of(rounded->token_slots(1, token));
    const auto b = value_of(full->token_slots(1, token));
    ASSERT_EQ(a.size(), b.size());
    for (std::size_t i = 0; i < a.size(); ++i) {
      EXPECT_EQ(a[i].expert, b[i].expert);
      EXPECT_EQ(a[i].output_channel, b[i].output_channel);
      expect_within(a[i].weight, b[i].weight, kRoundingError);
      expect_within(a[i].output_norm, b[i].output_norm, kRoundingError);
    }
  }
  for (int layer = 0; layer < 3; ++layer) {
    const auto a = value_of(rounded->entropy(1, layer, {}));
    const auto b = value_of(full->entropy(1, layer, {}));
    for (std::size_t t = 0; t < 700; ++t)
      expect_within(a[t], b[t], kRoundingError);
  }
}

}  // namespace
}  // namespace expertscope::testing
