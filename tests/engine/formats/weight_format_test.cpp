// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/formats/weight_format.h"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

#include "tests/support/stored_weights.h"

namespace expertscope {
namespace {

TEST(BlockSize, CountsBytesOfWholeBlocksAlone) {
  constexpr BlockSize kBlock{32, 34};
  EXPECT_EQ(kBlock.bytes_of(std::vector<std::int64_t>{3, 5, 64}), 3u * 5 * 2 * 34);
  EXPECT_EQ(kBlock.bytes_of(std::vector<std::int64_t>{0, 64}), 0u);
  EXPECT_FALSE(kBlock.bytes_of(std::vector<std::int64_t>{64, 48})) << "a row ends inside a block";
  EXPECT_FALSE(kBlock.bytes_of({})) << "one element";
  EXPECT_EQ((BlockSize{1, 4}.bytes_of({})), 4u);
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  EXPECT_FALSE(kBlock.bytes_of(std::vector<std::int64_t>{kMost, 64}));
  EXPECT_FALSE((BlockSize{1, 4}.bytes_of(std::vector<std::int64_t>{kMost})));
}

TEST(WeightFormat, IsFoundByItsNameAndItsId) {
  for (const FormatId id : {FormatId::f32, FormatId::f16, FormatId::bf16, FormatId::q8_0}) {
    const WeightFormat& format = weight_format(id);
    EXPECT_EQ(format.id, id);
    EXPECT_EQ(find_weight_format(format.name), &format);
  }
  EXPECT_EQ(find_weight_format("Q4_0"), nullptr);
  EXPECT_EQ(weight_format_names(), "F32, F16, BF16, Q8_0");
}

TEST(WeightFormat, DequantisesPiecesOfARow) {
  std::vector<float> values(128);
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = 0.25f * static_cast<float>(i) - 9;
  for (const FormatId id : {FormatId::f32, FormatId::f16, FormatId::bf16, FormatId::q8_0}) {
    const WeightFormat& format = weight_format(id);
    std::vector<std::uint8_t> bytes(testing::stored_bytes(values.size(), id) + 1);
    testing::store_values(values.data(), values.size(), id, bytes.data() + 1);  // at an odd address
    std::vector<float> whole(128), piece(64);
    format.dequantise({bytes.data() + 1}, 0, 128, whole.data());
    format.dequantise({bytes.data() + 1}, 32, 64, piece.data());
    EXPECT_EQ(piece, std::vector<float>(whole.begin() + 32, whole.begin() + 96)) << format.name;
    for (std::size_t i = 0; i < values.size(); ++i)
      EXPECT_NEAR(whole[i], values[i], 0.1) << format.name;
  }
}

}  // namespace
}  // namespace expertscope
