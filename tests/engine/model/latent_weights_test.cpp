// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/model/latent_weights.h"

#include <gtest/gtest.h>

#include "tests/support/stored_weights.h"

namespace expertscope {
namespace {

constexpr int kHeads = 3;
constexpr int kRank = 64;

AttentionSpec spec_of(int nope, int values) {
  AttentionSpec spec;
  spec.heads = kHeads;
  spec.latent = {.rank = kRank, .nope_dim = nope, .value_dim = values};
  return spec;
}

std::vector<float> row_of(const Matrix& matrix, std::int64_t row) {
  std::vector<float> values(static_cast<std::size_t>(matrix.cols));
  matrix.dequantise(row, 0, matrix.cols, values.data());
  return values;
}

/// Keys of every head turned and values as they are, element by element what kv_b_proj stands for.
void expect_split(const AttentionSpec& spec, const LayerWeights& layer) {
  const int nope = spec.latent.nope_dim;
  ASSERT_EQ(layer.latent_keys.size(), static_cast<std::size_t>(kHeads));
  ASSERT_EQ(layer.latent_values.size(), static_cast<std::size_t>(kHeads));
  for (int head = 0; head < kHeads; ++head) {
    const Matrix& keys = layer.latent_keys[static_cast<std::size_t>(head)];
    const Matrix& values = layer.latent_values[static_cast<std::size_t>(head)];
    ASSERT_EQ(keys.rows, kRank);
    ASSERT_EQ(keys.cols, nope);
    ASSERT_EQ(values.rows, spec.latent.value_dim);
    ASSERT_EQ(values.cols, kRank);
    const int first = head * (nope + spec.latent.value_dim);
    for (int n = 0; n < nope; ++n) {
      const std::vector<float> stored = row_of(layer.kv_b_proj, first + n);
      for (int d = 0; d < kRank; ++d)
        EXPECT_EQ(row_of(keys, d)[static_cast<std::size_t>(n)], stored[static_cast<std::size_t>(d)]);
    }
    for (int n = 0; n < spec.latent.value_dim; ++n)
      EXPECT_EQ(row_of(values, n), row_of(layer.kv_b_proj, first + nope + n));
  }
}

class SplitLatent : public ::testing::Test {
 protected:
  LayerWeights split(const AttentionSpec& spec, const WeightFormat& format) {
    const std::int64_t rows = spec.kv_b_rows();
    std::vector<float> all(static_cast<std::size_t>(rows * kRank));
    for (std::size_t i = 0; i < all.size(); ++i)
      all[i] = static_cast<float>(static_cast<int>(i * 37 % 256) - 128) / 64.0f;
    const Matrix plain{all.data(), &weight_format(FormatId::f32), rows, kRank};
    LayerWeights layer;
    if (format.scales.rows > 0) {
      layer.kv_b_proj = testing::store_planed(plain, data_, scales_);
    } else {
      data_.resize(testing::stored_bytes(all.size(), format.id));
      testing::store_values(all.data(), all.size(), format.id, data_.data());
      layer.kv_b_proj = {data_.data(), &format, rows, kRank};
    }
    EXPECT_TRUE(split_latent(spec, "kv_b_proj", layer, copies_));
    return layer;
  }

  std::vector<std::uint8_t> data_, scales_;
  AlignedCopies copies_;
};

TEST_F(SplitLatent, TurnsKeysAndLeavesValuesWhereTheyLie) {
  for (const FormatId id : {FormatId::f32, FormatId::f16, FormatId::bf16}) {
    const AttentionSpec spec = spec_of(6, 10);
    const LayerWeights layer = split(spec, weight_format(id));
    expect_split(spec, layer);
    EXPECT_EQ(layer.latent_keys[0].format->id, id);
    EXPECT_EQ(layer.latent_values[1].data, layer.kv_b_proj.row(6 + 10 + 6));
  }
}

TEST_F(SplitLatent, WidensWhatHasScalesAndCopiesValuesThatBeginWithinTheirRows) {
  const std::int64_t rows = testing::kPlanedFormat.scales.rows;
  const auto whole = static_cast<int>(rows);
  const AttentionSpec aligned = spec_of(whole, 2 * whole);
  const LayerWeights in_place = split(aligned, testing::kPlanedFormat);
  expect_split(aligned, in_place);
  EXPECT_EQ(in_place.latent_keys[0].format->id, FormatId::f32);
  EXPECT_EQ(in_place.latent_values[0].data, in_place.kv_b_proj.row(rows));
  const AttentionSpec across = spec_of(whole - 1, whole + 2);
  const LayerWeights copied = split(across, testing::kPlanedFormat);
  expect_split(across, copied);
  EXPECT_EQ(copied.latent_values[0].format->id, FormatId::f32);
}

}  // namespace
}  // namespace expertscope
