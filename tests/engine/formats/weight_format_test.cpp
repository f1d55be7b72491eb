// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/formats/weight_format.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "engine/formats/f8.h"
#include "engine/formats/mxfp4.h"
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
  for (const FormatId id :
       {FormatId::f32, FormatId::f16, FormatId::bf16, FormatId::q8_0, FormatId::f8_e4m3, FormatId::mxfp4,
        FormatId::int4_bf16, FormatId::int4_f16, FormatId::int4_f32, FormatId::nvfp4}) {
    const WeightFormat& format = weight_format(id);
    EXPECT_EQ(format.id, id);
    EXPECT_EQ(find_weight_format(format.name), &format);
  }
  EXPECT_EQ(find_weight_format("Q4_0"), nullptr);
  EXPECT_EQ(weight_format_names(),
            "F32, F16, BF16, Q8_0, F8_E4M3, MXFP4, INT4_BF16, INT4_F16, INT4_F32, NVFP4, INT8_BF16, "
            "INT8_F16, INT8_F32");
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

TEST(E4m3, IsWhatItsBitsSay) {
  for (unsigned bits = 0; bits < 256; ++bits) {
    const auto exponent = static_cast<int>(bits >> 3 & 15);
    const auto fraction = static_cast<float>(bits & 7) / 8;
    const float magnitude = exponent == 0 ? std::ldexp(fraction, -6) : std::ldexp(1 + fraction, exponent - 7);
    const float value = e4m3_to_f32(static_cast<std::uint8_t>(bits));
    if ((bits & 0x7f) == 0x7f) {
      EXPECT_TRUE(std::isnan(value));
    } else {
      EXPECT_EQ(value, bits < 128 ? magnitude : -magnitude) << bits;
      EXPECT_EQ(std::signbit(value), bits >= 128) << bits;
    }
  }
  EXPECT_EQ(e4m3_to_f32(0x7e), 448);
}

TEST(E8m0, IsAPowerOfTwo) {
  EXPECT_EQ(e8m0_to_f32(127), 1);
  EXPECT_EQ(e8m0_to_f32(0), std::ldexp(1.0f, -127));
  EXPECT_EQ(e8m0_to_f32(254), std::ldexp(1.0f, 127));
  EXPECT_TRUE(std::isnan(e8m0_to_f32(255)));
}

TEST(E2m1, IsWhatItsBitsSay) {
  for (unsigned bits = 0; bits < 16; ++bits) {
    const auto exponent = static_cast<int>(bits >> 1 & 3);
    const auto fraction = static_cast<float>(bits & 1) / 2;
    const float magnitude = exponent == 0 ? fraction : std::ldexp(1 + fraction, exponent - 1);
    const float value = e2m1_to_f32(static_cast<std::uint8_t>(bits));
    EXPECT_EQ(value, bits < 8 ? magnitude : -magnitude) << bits;
    EXPECT_EQ(std::signbit(value), bits >= 8) << bits;
  }
}

TEST(Mxfp4, AScaleReaches32ColumnsAndTheLowerHalfOfAByteComesFirst) {
  std::vector<std::uint8_t> bytes(48, 0x72);  // 1, 6
  const std::uint8_t scales[] = {127, 128, 0};
  std::vector<float> row(96), piece(32);
  const WeightRow stored{bytes.data(), scales};
  const WeightFormat& format = weight_format(FormatId::mxfp4);
  format.dequantise(stored, 0, 96, row.data());
  format.dequantise(stored, 32, 32, piece.data());
  EXPECT_EQ(row[0], 1);
  EXPECT_EQ(row[1], 6);
  EXPECT_EQ(row[31], 6);
  EXPECT_EQ(row[32], 2);
  EXPECT_EQ(row[33], 12);
  EXPECT_EQ(row[65], std::ldexp(6.0f, -127)) << "below the normal numbers";
  EXPECT_EQ(piece, std::vector<float>(row.begin() + 32, row.begin() + 64));
}

TEST(Int4, IsANumberLessAZeroPointTimesAScaleRoundedToTheTypeOfTheScale) {
  std::vector<std::uint8_t> bytes(32, 0x2f);  // 15, 2
  std::vector<float> row(64), piece(32);
  const std::uint16_t bf16[] = {0x3f81, 0x4000};  // 1.0078125, 2
  const std::uint8_t zeros[] = {1, 16};
  const WeightRow stored{bytes.data(), reinterpret_cast<const std::uint8_t*>(bf16), 32, zeros};
  const WeightFormat& format = weight_format(FormatId::int4_bf16);
  format.dequantise(stored, 0, 64, row.data());
  format.dequantise(stored, 32, 32, piece.data());
  EXPECT_EQ(row[0], 14.125f) << "14.109375 has 9 bits";
  EXPECT_EQ(row[1], 1.0078125f);
  EXPECT_EQ(row[32], -2);
  EXPECT_EQ(row[33], -28);
  EXPECT_EQ(piece, std::vector<float>(row.begin() + 32, row.end()));
  WeightRow symmetric = stored;
  symmetric.zeros = nullptr;
  format.dequantise(symmetric, 32, 32, piece.data());
  EXPECT_EQ(piece[0], 14);
  EXPECT_EQ(piece[1], -12);
  const std::uint16_t f16[] = {0x3c01, 0x3c01};  // 1 + 2^-10
  const WeightRow halves{bytes.data(), reinterpret_cast<const std::uint8_t*>(f16), 32, nullptr};
  weight_format(FormatId::int4_f16).dequantise(halves, 0, 32, piece.data());
  EXPECT_EQ(piece[0], 7.0078125f) << "7.0068359375 has 13 bits";
  const float f32[] = {0.1f, 3};
  const WeightRow floats{bytes.data(), reinterpret_cast<const std::uint8_t*>(f32), 32, nullptr};
  weight_format(FormatId::int4_f32).dequantise(floats, 0, 64, row.data());
  EXPECT_EQ(row[0], 7 * 0.1f);
  EXPECT_EQ(row[63], -18);
}

TEST(Nvfp4, AScaleReaches16ColumnsAndStandsForWhatItsTableSays) {
  std::vector<std::uint8_t> bytes(24, 0xf2);  // 1, -6
  const std::uint8_t scales[] = {3, 255, 0};
  std::vector<float> values(256, 7), row(48), piece(16);
  values[3] = 2;
  values[255] = 0.5f;
  const WeightRow stored{bytes.data(), scales, 16, nullptr, values.data()};
  const WeightFormat& format = weight_format(FormatId::nvfp4);
  format.dequantise(stored, 0, 48, row.data());
  format.dequantise(stored, 16, 16, piece.data());
  EXPECT_EQ(row[0], 2);
  EXPECT_EQ(row[15], -12);
  EXPECT_EQ(row[16], 0.5f);
  EXPECT_EQ(row[47], -42);
  EXPECT_EQ(piece, std::vector<float>(row.begin() + 16, row.begin() + 32));
}

TEST(Int8, HasAByteANumber) {
  const std::vector<std::uint8_t> bytes(32, 130);
  const std::uint16_t scale[] = {0x4000};
  std::vector<float> row(32);
  find_weight_format("INT8_BF16")
      ->dequantise({bytes.data(), reinterpret_cast<const std::uint8_t*>(scale), 32}, 0, 32, row.data());
  EXPECT_EQ(row, std::vector<float>(32, 4));
}

TEST(F8, AScaleReachesTheColumnsThatShareIt) {
  std::vector<std::uint8_t> bytes(300, 0x38);  // 1
  const float scales[] = {2, 3, 5};
  std::vector<float> row(300), piece(130);
  const WeightRow stored{bytes.data(), reinterpret_cast<const std::uint8_t*>(scales), 128};
  const WeightFormat& format = weight_format(FormatId::f8_e4m3);
  format.dequantise(stored, 0, 300, row.data());
  format.dequantise(stored, 127, 130, piece.data());
  EXPECT_EQ(row[127], 2);
  EXPECT_EQ(row[128], 3);
  EXPECT_EQ(row[256], 5);
  EXPECT_EQ(piece, std::vector<float>(row.begin() + 127, row.begin() + 257));
}

}  // namespace
}  // namespace expertscope
