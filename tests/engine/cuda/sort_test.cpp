// SPDX-License-Identifier: GPL-3.0-or-later
// The routed slots of a batch sorted by expert, and their outputs put together again.
#include "tests/engine/cuda/kernels.h"

#include <gmock/gmock.h>

#include <cmath>
#include <memory>
#include <random>
#include <set>

#include "engine/cuda/kernels/sort.cuh"

namespace expertscope::cuda {
namespace {

struct Problem {
  int experts = 4;
  int tokens = 5;
  int slots = 2;
  int first = 0;  ///< tokens first .. last - 1 are sorted
  int last = 5;
  int tile_rows = 16;
  std::vector<std::int32_t> expert = {};  ///< [tokens, slots]
  std::vector<float> output_scale = {};   ///< [experts]
};

/// Slots of random experts, some of them empty.
Problem random_problem(int experts, int tokens, int slots, int tile_rows, unsigned seed) {
  Problem p{experts, tokens, slots, 0, tokens, tile_rows, {}, {}};
  std::mt19937 random(seed);
  for (int i = 0; i < tokens * slots; ++i)
    p.expert.push_back(static_cast<std::int32_t>(random() % static_cast<unsigned>(experts + 1)) - 1);
  p.output_scale.assign(static_cast<std::size_t>(experts), 1.0f);
  return p;
}

/// The arrays of a sort on the device.
class Sorted {
 public:
  explicit Sorted(const Problem& problem)
      : p_(problem),
        count_(std::vector<std::int32_t>(static_cast<std::size_t>(p_.experts))),
        next_(static_cast<std::size_t>(p_.experts)),
        row_of_slot_(p_.expert.size()),
        token_of_row_(p_.expert.size()),
        tile_(static_cast<std::size_t>(p_.experts) +
              p_.expert.size() / static_cast<std::size_t>(p_.tile_rows) + 1),
        tiles_(1),
        scale_(p_.output_scale),
        expert_(p_.expert) {
    DeviceRouting routing;
    routing.output_scale = scale_.data();
    routing.top_k = p_.slots;
    routing_ = std::make_unique<Array<DeviceRouting>>(std::vector{routing});
    DeviceStep step;
    step.tokens = p_.tokens;
    step.slots = p_.slots;
    step_ = std::make_unique<Array<DeviceStep>>(std::vector{step});
  }

  /// By `grid` blocks; 0: by one block that does everything.
  void sort(int grid) {
    if (grid == 0) {
      run(&sort_few_rows, {blocks(1), (p_.experts + kWarp - 1) / kWarp * kWarp, 0}, step_->data(), routing(),
          slots(nullptr), p_.first, p_.last, p_.experts, p_.tile_rows, arrays());
      return;
    }
    const Shape shape{blocks(grid), kRowThreads, 0};
    run(&count_rows, shape, step_->data(), routing(), slots(nullptr), p_.first, p_.last, arrays());
    run(&plan_tiles, {blocks(1), (p_.experts + kWarp - 1) / kWarp * kWarp, 0}, p_.experts, p_.tile_rows,
        arrays());
    run(&place_rows, shape, step_->data(), routing(), slots(nullptr), p_.first, p_.last, arrays());
  }

  const DeviceRouting* routing() { return routing_->data(); }
  DeviceSlots slots(float* weight) { return {expert_.data(), weight}; }
  SortedRows arrays() {
    return {count_.data(),        next_.data(), row_of_slot_.data(),
            token_of_row_.data(), tile_.data(), tiles_.data()};
  }
  std::vector<std::int32_t> rows() const { return row_of_slot_.read(); }
  std::vector<std::int32_t> tokens() const { return token_of_row_.read(); }
  std::vector<std::int32_t> counts() const { return count_.read(); }
  std::vector<RowTile> tiles() const {
    std::vector<RowTile> tiles = tile_.read();
    tiles.resize(static_cast<std::size_t>(tiles_.read()[0]));
    return tiles;
  }

 private:
  Problem p_;
  Array<std::int32_t> count_, next_, row_of_slot_, token_of_row_;
  Array<RowTile> tile_;
  Array<std::int32_t> tiles_;
  Array<float> scale_;
  Array<std::int32_t> expert_;
  std::unique_ptr<Array<DeviceRouting>> routing_;
  std::unique_ptr<Array<DeviceStep>> step_;
};

bool runs(const Problem& p, std::size_t index) {
  const int token = static_cast<int>(index) / p.slots;
  const std::int32_t expert = p.expert[index];
  return token >= p.first && token < p.last && expert >= 0 &&
         p.output_scale[static_cast<std::size_t>(expert)] != 0;
}

/// Every slot that runs has a row of its own among those of its expert, and the tiles cover all rows once.
void expect_sorted_by(const Problem& p, int grid) {
  SCOPED_TRACE(testing::Message() << "by " << grid << " blocks");
  Sorted sorted(p);
  sorted.sort(grid);
  std::vector<std::int32_t> loads(static_cast<std::size_t>(p.experts));
  for (std::size_t i = 0; i < p.expert.size(); ++i)
    if (runs(p, i)) ++loads[static_cast<std::size_t>(p.expert[i])];
  EXPECT_EQ(sorted.counts(), loads);
  const auto rows = sorted.rows();
  const auto tokens = sorted.tokens();
  std::vector<std::int32_t> first(1, 0);
  for (const std::int32_t load : loads)
    first.push_back(first.back() + load);
  std::set<std::int32_t> taken;
  for (std::size_t i = 0; i < p.expert.size(); ++i) {
    const int token = static_cast<int>(i) / p.slots;
    if (token < p.first || token >= p.last) continue;
    if (!runs(p, i)) {
      EXPECT_EQ(rows[i], -1);
      continue;
    }
    const auto expert = static_cast<std::size_t>(p.expert[i]);
    ASSERT_GE(rows[i], first[expert]);
    ASSERT_LT(rows[i], first[expert + 1]);
    EXPECT_EQ(tokens[static_cast<std::size_t>(rows[i])], token);
    EXPECT_TRUE(taken.insert(rows[i]).second);
  }
  std::int32_t next = 0;
  for (const RowTile& tile : sorted.tiles()) {
    while (next >= first[static_cast<std::size_t>(tile.expert) + 1])
      FAIL() << "tile of expert " << tile.expert << " comes late";
    EXPECT_EQ(tile.first, next);
    EXPECT_GT(tile.rows, 0);
    EXPECT_LE(tile.rows, p.tile_rows);
    EXPECT_LE(tile.first + tile.rows, first[static_cast<std::size_t>(tile.expert) + 1]);
    next += tile.rows;
  }
  EXPECT_EQ(next, first.back());
}
void expect_sorted(const Problem& p, int grid = 2) {
  expect_sorted_by(p, grid);
  expect_sorted_by(p, 0);
}

TEST(Sort, GivesEverySlotARowOfItsExpert) {
  for (const int experts : {1, 3, 8, 64, 129, 1000, 1024}) {
    for (const int tile_rows : {16, 32, 128}) {
      SCOPED_TRACE(testing::Message() << experts << " experts, tiles of " << tile_rows);
      expect_sorted(random_problem(experts, 37, 3, tile_rows, 1));
    }
  }
}

TEST(Sort, OfAllTokensOnOneExpertMakesFullTiles) {
  Problem p = random_problem(9, 100, 1, 32, 1);
  p.expert.assign(100, 7);
  expect_sorted(p);
}

TEST(Sort, OfNothingMakesNoTile) {
  Problem p = random_problem(5, 6, 2, 16, 1);
  p.expert.assign(12, -1);
  expect_sorted(p);
}

TEST(Sort, LeavesSilencedExpertsOut) {
  Problem p = random_problem(6, 40, 3, 16, 2);
  p.output_scale[2] = p.output_scale[5] = 0;
  expect_sorted(p);
}

TEST(Sort, TakesARoundOfTheBatch) {
  Problem p = random_problem(6, 40, 3, 16, 3);
  p.first = 11;
  p.last = 23;
  expect_sorted(p);
}

TEST(Sort, GoesRoundWhenThereAreFewerBlocksThanSlots) {
  expect_sorted(random_problem(17, 300, 4, 64, 4), 1);
}

/// Norm and largest magnitude of a row, written down.
struct Stats {
  float norm = 0;
  float max = 0;
  std::int32_t channel = 0;
};
Stats stats_of(const float* row, std::size_t width) {
  Stats stats;
  double squares = 0;
  for (std::size_t i = 0; i < width; ++i) {
    squares += static_cast<double>(row[i]) * row[i];
    if (std::abs(row[i]) <= stats.max) continue;
    stats.max = std::abs(row[i]);
    stats.channel = static_cast<std::int32_t>(i);
  }
  stats.norm = static_cast<float>(std::sqrt(squares));
  return stats;
}

/// Combine: hidden += weight * scale * output in the order of the slots, with the probes.
class Combine : public testing::TestWithParam<int> {};

TEST_P(Combine, SumsTheSlotsAndMeasuresThem) {
  const int width = GetParam();
  const int layer = 1;
  Problem p = random_problem(6, 7, 3, 16, 5);
  p.output_scale[4] = 0;
  p.output_scale[1] = -2;
  Sorted sorted(p);
  sorted.sort(1);
  const std::vector<std::int32_t> rows = sorted.rows();
  const auto w = static_cast<std::size_t>(width);
  const auto tokens = static_cast<std::size_t>(p.tokens);
  const std::vector<float> output = random_floats(p.expert.size() * w, 1);
  const std::vector<float> weight = random_floats(p.expert.size(), 2);
  std::vector<float> hidden = random_floats(tokens * w, 3);
  Array<float> device_output(output), device_weight(weight), device_hidden(hidden);
  Array<float> norm(2 * p.expert.size()), max(2 * p.expert.size()), hidden_max(2 * tokens);
  Array<std::int32_t> channel(2 * p.expert.size()), hidden_channel(2 * tokens);
  DeviceStep step;
  step.tokens = p.tokens;
  step.slots = p.slots;
  step.capture.output_norm = norm.data();
  step.capture.output_max = max.data();
  step.capture.output_channel = channel.data();
  step.capture.hidden_max = hidden_max.data();
  step.capture.hidden_channel = hidden_channel.data();
  Array<DeviceStep> device_step(std::vector{step});
  run(&combine_rows, {blocks(p.tokens), kRowThreads, w * sizeof(float)}, device_step.data(), sorted.routing(),
      sorted.slots(device_weight.data()), sorted.arrays(), device_output.data(), width, 0, layer, layer,
      device_hidden.data());
  const auto norms = norm.read();
  const auto maxima = max.read();
  const auto channels = channel.read();
  for (std::size_t i = 0; i < p.expert.size(); ++i) {
    const std::size_t at = p.expert.size() + i;
    const float scale = p.expert[i] < 0 ? 0 : p.output_scale[static_cast<std::size_t>(p.expert[i])];
    if (scale == 0) {
      EXPECT_EQ(norms[at], 0);
      EXPECT_EQ(maxima[at], 0);
      EXPECT_EQ(channels[at], p.expert[i] < 0 ? -1 : 0);
      continue;
    }
    const float* from = output.data() + static_cast<std::size_t>(rows[i]) * w;
    for (std::size_t c = 0; c < w; ++c)
      hidden[i / static_cast<std::size_t>(p.slots) * w + c] += weight[i] * scale * from[c];
    const Stats stats = stats_of(from, w);
    EXPECT_NEAR(norms[at], stats.norm * std::abs(scale), 1e-5f * stats.norm * std::abs(scale));
    EXPECT_EQ(maxima[at], stats.max * std::abs(scale));
    EXPECT_EQ(channels[at], stats.channel);
  }
  expect_near(device_hidden.read(), hidden, 1e-6, "hidden");
  const std::vector<float> after = device_hidden.read();
  for (std::size_t t = 0; t < tokens; ++t) {
    const Stats stats = stats_of(after.data() + t * w, w);
    EXPECT_EQ(hidden_max.read()[tokens + t], stats.max);
    EXPECT_EQ(hidden_channel.read()[tokens + t], stats.channel);
  }
}

/// hidden += weight * output of the shared expert, with the probes: of its output before the weight.
TEST_P(Combine, AddsTheSharedExpertAndMeasuresIt) {
  const int width = GetParam();
  const auto w = static_cast<std::size_t>(width);
  constexpr std::size_t kTokens = 3;
  constexpr int kLayer = 2;  // and the second MoE layer
  const std::vector<float> output = random_floats((kTokens + 1) * w, 4);
  const std::vector<float> weight = {0.5f, 0, 0.25f, 1};
  for (const bool gated : {true, false}) {
    SCOPED_TRACE(gated);
    std::vector<float> hidden = random_floats((kTokens + 1) * w, 5);
    Array<float> device_output(output), device_weight(weight), device_hidden(hidden);
    Array<float> norm(2 * kTokens), max(2 * kTokens), hidden_max(3 * kTokens);
    Array<std::int32_t> channel(2 * kTokens), hidden_channel(3 * kTokens);
    DeviceStep step;
    step.tokens = kTokens;
    step.capture.shared_norm = norm.data();
    step.capture.shared_max = max.data();
    step.capture.shared_channel = channel.data();
    step.capture.hidden_max = hidden_max.data();
    step.capture.hidden_channel = hidden_channel.data();
    Array<DeviceStep> device_step(std::vector{step});
    // A bucket has room for a row more than the step has tokens.
    run(&combine_shared, {blocks(static_cast<int>(kTokens) + 1), kRowThreads, 0}, device_step.data(),
        gated ? device_weight.data() : nullptr, device_output.data(), width, kLayer, 1, device_hidden.data());
    for (std::size_t i = 0; i < kTokens * w; ++i)
      hidden[i] += (gated ? weight[i / w] : 1.0f) * output[i];
    const std::vector<float> after = device_hidden.read();
    expect_near(after, hidden, 1e-6, "hidden");
    for (std::size_t t = 0; t < kTokens; ++t) {
      const Stats stats = stats_of(output.data() + t * w, w);
      EXPECT_NEAR(norm.read()[kTokens + t], stats.norm, 1e-5f * stats.norm);
      EXPECT_EQ(max.read()[kTokens + t], stats.max);
      EXPECT_EQ(channel.read()[kTokens + t], stats.channel);
      const Stats end = stats_of(after.data() + t * w, w);
      EXPECT_EQ(hidden_max.read()[kLayer * kTokens + t], end.max);
      EXPECT_EQ(hidden_channel.read()[kLayer * kTokens + t], end.channel);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Widths, Combine, testing::Values(1, 7, 37, 256, 300),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace expertscope::cuda
