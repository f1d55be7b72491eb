// SPDX-License-Identifier: GPL-3.0-or-later
// The bytes of a blob: whole numbers come back as they were, magnitudes within the rounding that is promised.
#include "probes/store/column_codec.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

namespace expertscope::testing {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

template <class T>
std::vector<std::byte> encoded(Encoding encoding, const std::vector<T>& values) {
  ColumnEncoder encoder;
  const auto bytes = encoder.encode(encoding, std::span<const T>(values));
  return {bytes.begin(), bytes.end()};
}

template <class T>
std::vector<T> there_and_back(Encoding encoding, const std::vector<T>& values) {
  std::vector<T> back;
  EXPECT_TRUE(decode(encoding, encoded(encoding, values), values.size(), back));
  return back;
}

std::vector<std::byte> blob(std::initializer_list<int> bytes) {
  std::vector<std::byte> out;
  for (const int byte : bytes)
    out.push_back(static_cast<std::byte>(byte));
  return out;
}

TEST(ColumnCodec, IdsTakeTheBitsOfTheLargest) {
  const std::vector<std::uint16_t> experts = {3, 0, 2, 1};
  EXPECT_EQ(encoded(Encoding::packed, experts), blob({2, 0, 0, 0, 0, 0b01'10'00'11}));
  EXPECT_EQ(there_and_back(Encoding::packed, experts), experts);
}

TEST(ColumnCodec, AnEmptySlotIsMinusOneAndCostsNoWidth) {
  const std::vector<std::uint16_t> experts = {6, 0xffff, 0, 5};
  EXPECT_EQ(encoded(Encoding::packed, experts), blob({3, 0xff, 0xff, 0xff, 0xff, 0b01'000'111, 0b1100}));
  EXPECT_EQ(there_and_back(Encoding::packed, experts), experts);
}

TEST(ColumnCodec, EveryWholeNumberComesBack) {
  const std::vector<std::int32_t> extremes = {std::numeric_limits<std::int32_t>::min(), -1, 0,
                                              std::numeric_limits<std::int32_t>::max()};
  EXPECT_EQ(there_and_back(Encoding::packed, extremes), extremes);
  EXPECT_EQ(there_and_back<std::int32_t>(Encoding::packed, {}), std::vector<std::int32_t>{});
  const std::vector<std::uint8_t> flags = {1, 0, 255, 1};
  EXPECT_EQ(there_and_back(Encoding::packed, flags), flags);
  const std::vector<std::int32_t> constant(256, 7);
  EXPECT_EQ(encoded(Encoding::packed, constant).size(), 5u);
  EXPECT_EQ(there_and_back(Encoding::packed, constant), constant);
  std::mt19937 random(1);
  for (int bits = 1; bits < 31; ++bits) {
    std::vector<std::int32_t> values(777);
    for (auto& value : values)
      value = static_cast<std::int32_t>(random() % (1u << bits)) - 5;
    EXPECT_EQ(there_and_back(Encoding::packed, values), values) << bits << " bits";
  }
}

TEST(ColumnCodec, MagnitudesAreWithinOnePartIn2048AndKeepTheirOrder) {
  std::mt19937 random(2);
  std::uniform_real_distribution<float> exponent(-20, 20);
  std::vector<float> values(5000);
  for (float& value : values)
    value = std::exp2(exponent(random));
  const auto back = there_and_back(Encoding::rounded, values);
  double worst = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    worst = std::max(worst, std::abs(double{back[i]} - values[i]) / values[i]);
    EXPECT_TRUE(i == 0 || values[i] < values[i - 1] || back[i] >= back[i - 1]);
  }
  EXPECT_LE(worst, kRoundingError);
  EXPECT_GT(worst, kRoundingError * 0.9) << "the bound is the bound";
}

TEST(ColumnCodec, ZerosAndWhatHasFewBitsIsExact) {
  const std::vector<float> values = {0.0f, 0.5f, 1.0f, 1.0009765625f, 0.0f, 1536.0f};
  EXPECT_EQ(there_and_back(Encoding::rounded, values), values);
  EXPECT_EQ(there_and_back(Encoding::rounded, std::vector<float>(300, 0.0f)), std::vector<float>(300, 0.0f));
}

TEST(ColumnCodec, TakesTheBitsOfTheRangeNotOfTheNumber) {
  std::vector<float> values(256);
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = 1.0f + static_cast<float>(i) / 256;
  EXPECT_EQ(encoded(Encoding::rounded, values).size(), 5u + 256 * 10 / 8);
}

TEST(ColumnCodec, WhatIsNoMagnitudeIsKeptAsItIs) {
  for (const float odd : {-1.0f, -0.0f, kInfinity, 1e-40f, std::numeric_limits<float>::max(), kNan, -kNan}) {
    const std::vector<float> values = {0.1f, odd, 3.0f};
    const auto back = there_and_back(Encoding::rounded, values);
    ASSERT_EQ(back.size(), 3u);
    EXPECT_EQ(back[0], 0.1f) << odd;
    EXPECT_EQ(std::isnan(back[1]), std::isnan(odd));
    EXPECT_TRUE(std::isnan(odd) || back[1] == odd) << odd;
    EXPECT_EQ(std::signbit(back[1]), std::signbit(odd)) << odd;
  }
}

TEST(ColumnCodec, FullNumbersAreTheArrayAsItIs) {
  const std::vector<float> values = {0.1f, -3.5f, kInfinity};
  EXPECT_EQ(encoded(Encoding::f32, values).size(), 12u);
  EXPECT_EQ(there_and_back(Encoding::f32, values), values);
}

TEST(ColumnCodec, ABlobThatDoesNotHoldItsValuesIsRefused) {
  const auto refused = [](const auto& bytes, std::size_t count, auto type, Encoding encoding) {
    std::vector<decltype(type)> values;
    return !decode(encoding, bytes, count, values);
  };
  const auto packed = Encoding::packed;
  EXPECT_TRUE(refused(blob({}), 0, 0, packed)) << "no header";
  EXPECT_TRUE(refused(blob({2, 0, 0, 0, 0}), 4, 0, packed)) << "too short";
  EXPECT_TRUE(refused(blob({2, 0, 0, 0, 0, 1, 1}), 4, 0, packed)) << "too long";
  EXPECT_TRUE(refused(blob({33, 0, 0, 0, 0, 0, 0, 0, 0, 0}), 1, 0, packed)) << "too many bits";
  EXPECT_TRUE(refused(blob({0, 0, 0, 0, 0}), 257, 0, packed)) << "values that take no room";
  EXPECT_TRUE(refused(blob({1, 0xff, 0xff, 0xff, 0x7f, 1}), 1, 0, packed)) << "beyond an i32";
  EXPECT_TRUE(refused(blob({0, 0xff, 0xff, 0, 0}), 1, std::uint16_t{}, packed)) << "65535 is -1";
  EXPECT_TRUE(refused(blob({0, 0xfe, 0xff, 0xff, 0xff}), 1, std::uint16_t{}, packed)) << "-2";
  EXPECT_TRUE(refused(blob({0, 0, 1, 0, 0}), 1, std::uint8_t{}, packed)) << "256";
  const auto rounded = Encoding::rounded;
  EXPECT_TRUE(refused(blob({1, 0xff, 0xfb, 3, 0, 1}), 1, 0.0f, rounded)) << "infinity";
  EXPECT_TRUE(refused(blob({1, 0xff, 0xff, 0xff, 0xff, 1}), 1, 0.0f, rounded)) << "a base beyond";
  EXPECT_TRUE(refused(blob({32, 1, 0, 0, 0, 0, 0, 0, 0}), 1, 0.0f, rounded)) << "full numbers have no base";
  EXPECT_TRUE(refused(blob({0, 0, 0, 0, 0}), 1, 0.0f, packed)) << "not an encoding of numbers";
  EXPECT_TRUE(refused(blob({0, 0, 0, 0}), 1, 0, Encoding::f32)) << "nor of whole numbers";
}

}  // namespace
}  // namespace expertscope::testing
