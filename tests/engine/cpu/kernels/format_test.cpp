// SPDX-License-Identifier: GPL-3.0-or-later
// Formats of blocks give the bits of the same weights in F32: those with kernels of their own, with a plane
// of scales and without, and one that has a plane and no kernels.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/engine/cpu/kernels/kernel_test_support.h"

namespace expertscope::cpu {
namespace {

constexpr float kUntouched = 12345.0f;
const WeightFormat& kF8 = weight_format(FormatId::f8_e4m3);

class FormatTest : public ::testing::TestWithParam<CpuLevel> {
 protected:
  /// Rows [n0, n1) of the product, in an array of all rows and 3 more.
  std::vector<float> product(const Matrix& w, const TestActivations& x, std::int64_t n0,
                             std::int64_t n1) const {
    const std::int64_t stride = w.rows + 3;
    std::vector<float> y(static_cast<std::size_t>(x.packed().rows * stride), kUntouched);
    kernels_.matmul(w, x.packed(), n0, n1, y.data(), stride);
    return y;
  }

  void expect_bits_of_f32(const TestMatrix& w, std::int64_t m, Numbers& numbers) const {
    expect_bits_of_f32(w.matrix(), m, numbers);
  }
  void expect_bits_of_mxfp4(std::int64_t rows, std::int64_t cols, std::int64_t m, Numbers& numbers) const {
    std::vector<std::uint8_t> data, scales;
    for (const std::int64_t step : {1, 2})
      expect_bits_of_f32(testing::random_mxfp4(rows, cols, step, static_cast<std::uint32_t>(m), data, scales),
                         m, numbers);
  }
  /// With scales of every type.
  void expect_bits_of_int4(std::int64_t rows, std::int64_t cols, std::int64_t group, std::int64_t m,
                           Numbers& numbers) const {
    testing::PlanedBytes memory;
    for (const FormatId id : {FormatId::int4_bf16, FormatId::int4_f16, FormatId::int4_f32})
      expect_bits_of_f32(testing::random_int(weight_format(id), rows, cols, group, m % 2 == 0,
                                             static_cast<std::uint32_t>(m), memory),
                         m, numbers);
  }
  void expect_bits_of_nvfp4(std::int64_t rows, std::int64_t cols, std::int64_t m, Numbers& numbers) const {
    testing::PlanedBytes memory;
    std::vector<float> values;
    expect_bits_of_f32(testing::random_nvfp4(rows, cols, static_cast<std::uint32_t>(m), memory, values), m,
                       numbers);
  }
  void expect_bits_of_f32(const Matrix& matrix, std::int64_t m, Numbers& numbers) const {
    std::vector<float> widened(static_cast<std::size_t>(matrix.rows * matrix.cols));
    for (std::int64_t n = 0; n < matrix.rows; ++n)
      matrix.dequantise(n, 0, matrix.cols, widened.data() + n * matrix.cols);
    const Matrix f32{widened.data(), &weight_format(FormatId::f32), matrix.rows, matrix.cols};
    const TestActivations x(kernels_, Arithmetic::f32, numbers.take(m * matrix.cols), m, matrix.cols);
    for (const std::int64_t n0 : {std::int64_t{0}, matrix.rows / 3}) {
      for (const std::int64_t n1 : {matrix.rows, matrix.rows - matrix.rows / 5}) {
        ASSERT_EQ(product(matrix, x, n0, n1), product(f32, x, n0, n1))
            << matrix.format->name << " M " << m << " N " << matrix.rows << " K " << matrix.cols;
      }
    }
  }

  const Kernels& kernels_ = kernels_for(GetParam());
};

TEST_P(FormatTest, ProductsHaveTheBitsOfTheSameWeightsInF32) {
  for (const std::int64_t m : {1, 2, 3, 4, 7, 16, 33, 100}) {
    for (const std::int64_t n : {1, 5, 8, 19, 48}) {
      for (const std::int64_t k : {32, 64, 96, 352}) {
        Numbers numbers(static_cast<std::uint32_t>(m * 10007 + n * 101 + k));
        expect_bits_of_f32(TestMatrix(numbers.take(n * k), n, k, FormatId::q8_0, static_cast<int>(k % 7)), m,
                           numbers);
        expect_bits_of_f32(TestMatrix(numbers.take(n * k), n, k), m, numbers);
        expect_bits_of_f32(TestMatrix(numbers.take(n * (k - 16)), n, k - 16), m, numbers);
        expect_bits_of_f32(TestMatrix(numbers.take(n * (k - 3)), n, k - 3, kF8), m, numbers);
        expect_bits_of_mxfp4(n, k, m, numbers);
        expect_bits_of_nvfp4(n, k - 16, m, numbers);
        expect_bits_of_int4(n, k, k % 64 == 0 ? 64 : k == 96 ? 32 : k, m, numbers);
      }
    }
  }
}

TEST_P(FormatTest, ManyTokensAndWideRowsCrossTheCacheBlocks) {
  for (const std::int64_t m : {2, 210}) {
    Numbers numbers(5);
    expect_bits_of_f32(TestMatrix(numbers.take(75 * 2080), 75, 2080, FormatId::q8_0, 3), m, numbers);
    expect_bits_of_f32(TestMatrix(numbers.take(75 * 2080), 75, 2080), m, numbers);
    expect_bits_of_f32(TestMatrix(numbers.take(75 * 2080), 75, 2080, kF8), m, numbers);
    expect_bits_of_mxfp4(75, 2080, m, numbers);
    expect_bits_of_nvfp4(75, 2064, m, numbers);
    expect_bits_of_int4(75, 2080, 32, m, numbers);
    expect_bits_of_int4(75, 2048, 128, m, numbers);
  }
}

TEST_P(FormatTest, TilesCrossTheRowsThatShareScales) {
  for (const std::int64_t rows : {127, 128, 129, 131, 136, 260, 385}) {
    Numbers numbers(static_cast<std::uint32_t>(rows));
    for (const std::int64_t m : {1, 2, 3, 5})
      expect_bits_of_f32(TestMatrix(numbers.take(rows * 144), rows, 144, kF8), m, numbers);
  }
}

TEST_P(FormatTest, AScaleMayBeThatOfARowOfAMatrixOrOfAnyBlock) {
  for (const ScaleBlock block : {ScaleBlock{1, 141}, {13, 141}, {1, 16}, {3, 64}, {64, 1 << 20}}) {
    Numbers numbers(static_cast<std::uint32_t>(block.rows));
    for (const std::int64_t rows : {1, 7, 13, 30})
      for (const std::int64_t m : {1, 2, 3, 5})
        expect_bits_of_f32(TestMatrix(numbers.take(rows * 141), rows, 141, kF8, block), m, numbers);
  }
}

TEST_P(FormatTest, EveryE4m3NumberIsWidenedAsItIs) {
  constexpr std::int64_t kCols = 256;
  std::vector<std::uint8_t> bytes(kCols);
  for (std::size_t i = 0; i < bytes.size(); ++i)
    bytes[i] = static_cast<std::uint8_t>(i);
  const float scales[] = {0.3f, 1.7e-5f};
  const Matrix w{bytes.data(), &kF8, 1, kCols, scales};
  std::vector<float> fast(kCols), plain(kCols);
  for (const std::int64_t first : {0, 5, 100, 127, 128, 250}) {
    kernels_.dequantise(w, 0, first, kCols - first, fast.data());
    w.dequantise(0, first, kCols - first, plain.data());
    for (std::size_t i = 0; i < static_cast<std::size_t>(kCols - first); ++i) {
      const bool nan = (bytes[static_cast<std::size_t>(first) + i] & 0x7f) == 0x7f;
      EXPECT_EQ(std::isnan(fast[i]), nan) << first + static_cast<std::int64_t>(i);
      EXPECT_TRUE(nan || fast[i] == plain[i]) << first + static_cast<std::int64_t>(i);
    }
  }
}

TEST_P(FormatTest, Mxfp4TimesRoundedActivationsHasTheBitsOfTheSameWeightsInBf16) {
  for (const std::int64_t m : {1, 2, 3, 4, 7, 33, 100}) {
    for (const std::int64_t n : {1, 5, 8, 19, 75}) {
      for (const std::int64_t k : {32, 96, 2080}) {
        std::vector<std::uint8_t> data, scales;
        const Matrix w =
            testing::random_mxfp4(n, k, 1 + k / 32 % 2, static_cast<std::uint32_t>(m), data, scales);
        std::vector<std::uint16_t> halves;
        const Matrix same = testing::as_bf16(w, halves);
        Numbers numbers(static_cast<std::uint32_t>(m * 1000 + n));
        const TestActivations x(kernels_, Arithmetic::bf16, numbers.take(m * k), m, k);
        ASSERT_EQ(product(w, x, n / 3, n), product(same, x, n / 3, n)) << m << " " << n << " " << k;
      }
    }
  }
}

TEST_P(FormatTest, Int4TimesRoundedActivationsHasTheBitsOfTheSameWeightsInBf16) {
  const WeightFormat& format = weight_format(FormatId::int4_bf16);
  for (const std::int64_t m : {1, 2, 3, 4, 7, 33, 100}) {
    for (const std::int64_t n : {1, 5, 8, 19, 75}) {
      for (const auto& [k, group] : {std::pair<std::int64_t, std::int64_t>{32, 32}, {96, 96}, {2048, 128}}) {
        testing::PlanedBytes memory;
        const Matrix w =
            testing::random_int(format, n, k, group, m % 2 == 0, static_cast<std::uint32_t>(n), memory);
        std::vector<std::uint16_t> halves;
        const Matrix same = testing::as_bf16(w, halves);
        Numbers numbers(static_cast<std::uint32_t>(m * 1000 + n));
        const TestActivations x(kernels_, Arithmetic::bf16, numbers.take(m * k), m, k);
        ASSERT_EQ(product(w, x, n / 3, n), product(same, x, n / 3, n)) << m << " " << n << " " << k;
      }
    }
  }
}

TEST_P(FormatTest, EveryNumberOfInt4WithEveryZeroPointIsRoundedToTheTypeOfItsScale) {
  testing::PlanedBytes memory;
  for (const FormatId id : {FormatId::int4_bf16, FormatId::int4_f16, FormatId::int4_f32}) {
    Matrix w = testing::random_int(weight_format(id), 17, 32, 32, true, 3, memory);
    for (std::size_t i = 0; i < memory.data.size(); ++i)
      memory.data[i] = static_cast<std::uint8_t>((2 * i) % 16 | (2 * i + 1) % 16 << 4);
    for (std::size_t zero = 0; zero < memory.zeros.size(); ++zero)
      memory.zeros[zero] = static_cast<std::uint8_t>(zero);
    for (std::int64_t row = 0; row < w.rows; ++row) {
      std::vector<float> fast(32), plain(32);
      kernels_.dequantise(w, row, 0, 32, fast.data());
      w.dequantise(row, 0, 32, plain.data());
      EXPECT_EQ(fast, plain) << w.format->name << " " << row;
    }
  }
}

TEST_P(FormatTest, EveryScaleOfMxfp4TimesRoundedActivationsIsThatOfBf16) {
  std::vector<std::uint8_t> numbers(16, 0x75);  // 3, 6
  const TestActivations one(kernels_, Arithmetic::bf16, std::vector<float>(32, 1.0f), 1, 32);
  for (int bits = 0; bits < 256; ++bits) {
    const auto scale = static_cast<std::uint8_t>(bits);
    const Matrix w{numbers.data(), &weight_format(FormatId::mxfp4), 1, 32, &scale};
    std::vector<std::uint16_t> halves;
    const std::vector<float> here = product(w, one, 0, 1);
    const std::vector<float> same = product(testing::as_bf16(w, halves), one, 0, 1);
    EXPECT_TRUE(here == same || (std::isnan(here[0]) && std::isnan(same[0]))) << bits;
  }
}

TEST_P(FormatTest, EveryScaleOfMxfp4IsThePowerItStandsFor) {
  std::vector<std::uint8_t> numbers(16);
  for (std::size_t i = 0; i < numbers.size(); ++i)
    numbers[i] = static_cast<std::uint8_t>(i << 4 | (15 - i));
  for (int bits = 0; bits < 256; ++bits) {
    const auto scale = static_cast<std::uint8_t>(bits);
    const Matrix w{numbers.data(), &weight_format(FormatId::mxfp4), 1, 32, &scale};
    std::vector<float> fast(32), plain(32);
    kernels_.dequantise(w, 0, 0, 32, fast.data());
    w.dequantise(0, 0, 32, plain.data());
    for (std::size_t i = 0; i < 32; ++i)
      EXPECT_TRUE(fast[i] == plain[i] || (bits == 255 && std::isnan(fast[i]))) << bits << " " << i;
  }
}

TEST_P(FormatTest, NeverReadsPastTheEndOfAMappedFile) {
  const LastPage page;
  for (const std::int64_t cols : {32, 96}) {
    for (const std::int64_t rows : {1, 3, 9, 20}) {
      Matrix w{nullptr, &weight_format(FormatId::q8_0), rows, cols};
      w.data = page.end() - static_cast<std::size_t>(rows) * w.row_bytes();  // zeros
      const LastPage scales;
      Matrix mxfp4{nullptr, &weight_format(FormatId::mxfp4), rows, cols};
      mxfp4.data = page.end() - static_cast<std::size_t>(rows) * mxfp4.row_bytes();
      mxfp4.scales = scales.end() - static_cast<std::size_t>(rows) * mxfp4.scale_row_bytes();
      Matrix int4{nullptr, &weight_format(FormatId::int4_f16), rows, cols, nullptr, 1, {1, 32}};
      int4.data = mxfp4.data;
      int4.scales = scales.end() - static_cast<std::size_t>(rows) * int4.scale_row_bytes();
      for (const std::int64_t m : {1, 5, 40}) {
        const TestActivations x(kernels_, Arithmetic::f32,
                                std::vector<float>(static_cast<std::size_t>(m * cols), 1.0f), m, cols);
        for (const Matrix& zeros : {w, mxfp4, int4}) {
          const std::vector<float> y = product(zeros, x, 0, rows);
          EXPECT_EQ(std::count(y.begin(), y.end(), 0.0f), m * rows);
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Levels, FormatTest, ::testing::ValuesIn(available_levels()), level_test_name);

}  // namespace
}  // namespace expertscope::cpu
