// SPDX-License-Identifier: GPL-3.0-or-later
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "tests/engine/cpu/kernels/kernel_test_support.h"

namespace expertscope::cpu {
namespace {

constexpr float kUntouched = 12345.0f;

struct Kind {
  FormatId weights;
  Arithmetic arithmetic;
};
constexpr Kind kKinds[] = {{FormatId::f32, Arithmetic::f32},
                           {FormatId::f16, Arithmetic::f32},
                           {FormatId::bf16, Arithmetic::f32},
                           {FormatId::bf16, Arithmetic::bf16}};

class MatmulTest : public ::testing::TestWithParam<CpuLevel> {
 protected:
  const Kernels& kernels_ = kernels_for(GetParam());

  /// [M, N] of the level under test.
  std::vector<float> product(const TestMatrix& w, const TestActivations& x) const {
    const std::int64_t rows = w.matrix().rows;
    std::vector<float> y(static_cast<std::size_t>(x.packed().rows * rows), kUntouched);
    kernels_.matmul(w.matrix(), x.packed(), 0, rows, y.data(), rows);
    return y;
  }
};

TEST_P(MatmulTest, AgreesWithDoublePrecisionForAwkwardShapes) {
  for (const Kind kind : kKinds) {
    for (const std::int64_t m : {1, 2, 3, 7, 16, 33, 100}) {
      for (const std::int64_t n : {1, 5, 8, 19, 48}) {
        for (const std::int64_t k : {1, 2, 15, 31, 32, 33, 100, 257}) {
          Numbers numbers(static_cast<std::uint32_t>(m * 10007 + n * 101 + k));
          const TestMatrix w(numbers.take(n * k), n, k, kind.weights, 4 * static_cast<int>(k % 7));
          const TestActivations x(kernels_, kind.arithmetic, numbers.take(m * k), m, k);
          const std::vector<float> y = product(w, x);
          for (std::int64_t i = 0; i < m * n; ++i) {
            const ReferenceProduct expected(w, x, i / n, i % n);
            ASSERT_NEAR(y[static_cast<std::size_t>(i)], expected.value, 1e-6 * expected.magnitude + 1e-30)
                << weight_format(kind.weights).name << " M " << m << " N " << n << " K " << k << " at " << i;
          }
        }
      }
    }
  }
}

TEST_P(MatmulTest, WritesOnlyTheRowsAskedFor) {
  constexpr std::int64_t kN = 41;
  constexpr std::int64_t kK = 70;
  constexpr std::int64_t kM = 35;
  for (const Kind kind : kKinds) {
    Numbers numbers(7);
    const TestMatrix w(numbers.take(kN * kK), kN, kK, kind.weights, 2 * 4);
    const TestActivations x(kernels_, kind.arithmetic, numbers.take(kM * kK), kM, kK);
    const std::vector<float> whole = product(w, x);
    constexpr std::int64_t kStride = kN + 3;
    std::vector<float> part(kM * kStride, kUntouched);
    kernels_.matmul(w.matrix(), x.packed(), 9, 30, part.data(), kStride);
    for (std::int64_t m = 0; m < kM; ++m) {
      for (std::int64_t n = 0; n < kStride; ++n) {
        const float expected = n >= 9 && n < 30 ? whole[static_cast<std::size_t>(m * kN + n)] : kUntouched;
        ASSERT_EQ(part[static_cast<std::size_t>(m * kStride + n)], expected) << m << ' ' << n;
      }
    }
  }
}

TEST_P(MatmulTest, ATokenGetsTheSameBitsAloneAndInABatch) {
  if (GetParam() == CpuLevel::amx) return;  // tiles sum in another order from kAmxMinRows rows on
  constexpr std::int64_t kN = 29;
  constexpr std::int64_t kK = 333;
  constexpr std::int64_t kM = 50;
  for (const Kind kind : kKinds) {
    Numbers numbers(11);
    const TestMatrix w(numbers.take(kN * kK), kN, kK, kind.weights, 0);
    const std::vector<float> values = numbers.take(kM * kK);
    const std::vector<float> batch = product(w, TestActivations(kernels_, kind.arithmetic, values, kM, kK));
    for (std::int64_t m = 0; m < kM; ++m) {
      const std::vector<float> row(values.begin() + m * kK, values.begin() + (m + 1) * kK);
      const std::vector<float> alone = product(w, TestActivations(kernels_, kind.arithmetic, row, 1, kK));
      const std::vector<float> expected(batch.begin() + m * kN, batch.begin() + (m + 1) * kN);
      ASSERT_EQ(alone, expected) << "token " << m;
    }
  }
}

TEST_P(MatmulTest, GathersRowsByIndex) {
  constexpr std::int64_t kK = 45;
  constexpr std::int64_t kN = 10;
  const std::vector<std::int32_t> index = {3, 0, 3, 6, 1, 2, 5, 5, 4, 0, 6};
  const auto rows = static_cast<std::int64_t>(index.size());
  for (const Kind kind : kKinds) {
    Numbers numbers(3);
    const TestMatrix w(numbers.take(kN * kK), kN, kK, kind.weights, 4);
    const std::vector<float> source = numbers.take(7 * kK);
    std::vector<float> gathered;
    for (const std::int32_t row : index)
      gathered.insert(gathered.end(), source.begin() + row * kK, source.begin() + (row + 1) * kK);
    const std::vector<float> expected =
        product(w, TestActivations(kernels_, kind.arithmetic, gathered, rows, kK));

    AlignedBytes bytes(packed_bytes(rows, kK));
    const PackedActivations packed = plan_activations(kernels_, kind.arithmetic, rows, kK, bytes.data());
    kernels_.pack({source.data(), kK, index.data(), rows, kK}, packed, 0, rows);
    std::vector<float> y(static_cast<std::size_t>(rows * kN));
    kernels_.matmul(w.matrix(), packed, 0, kN, y.data(), kN);
    EXPECT_EQ(y, expected);
  }
}

TEST_P(MatmulTest, ManyTokensAndWideRowsCrossTheCacheBlocks) {
  constexpr std::int64_t kM = 210;
  constexpr std::int64_t kN = 75;
  constexpr std::int64_t kK = 2080;
  for (const Kind kind : kKinds) {
    Numbers numbers(5);
    const TestMatrix w(numbers.take(kN * kK), kN, kK, kind.weights, 4);
    const TestActivations x(kernels_, kind.arithmetic, numbers.take(kM * kK), kM, kK);
    const std::vector<float> y = product(w, x);
    for (std::int64_t i = 0; i < kM * kN; i += 17) {
      const ReferenceProduct expected(w, x, i / kN, i % kN);
      ASSERT_NEAR(y[static_cast<std::size_t>(i)], expected.value, 2e-6 * expected.magnitude) << i;
    }
  }
}

TEST_P(MatmulTest, NeverReadsPastTheEndOfAMappedFile) {
  const LastPage page;
  for (const Kind kind : kKinds) {
    for (const std::int64_t cols : {1, 7, 30, 33}) {
      for (const std::int64_t rows : {1, 3, 9, 20}) {
        const std::size_t bytes =
            expertscope::testing::stored_bytes(static_cast<std::size_t>(rows * cols), kind.weights);
        const Matrix w{page.end() - bytes, &weight_format(kind.weights), rows, cols};  // zeros
        for (const std::int64_t m : {1, 5, 40}) {
          const TestActivations x(kernels_, kind.arithmetic,
                                  std::vector<float>(static_cast<std::size_t>(m * cols), 1.0f), m, cols);
          std::vector<float> y(static_cast<std::size_t>(m * rows), kUntouched);
          kernels_.matmul(w, x.packed(), 0, rows, y.data(), rows);
          EXPECT_EQ(y, std::vector<float>(y.size(), 0.0f));
        }
        std::vector<float> wide(static_cast<std::size_t>(cols));
        kernels_.dequantise(w, rows - 1, 0, cols, wide.data());
      }
    }
  }
}

TEST_P(MatmulTest, NanAndInfinityReachTheRowsTheyBelongTo) {
  constexpr std::int64_t kN = 12;
  constexpr std::int64_t kK = 40;
  constexpr std::int64_t kM = 9;
  for (const Kind kind : kKinds) {
    Numbers numbers(2);
    std::vector<float> weights = numbers.take(kN * kK);
    std::vector<float> values(kM * kK, 1.0f);
    weights[3 * kK + 39] = std::numeric_limits<float>::quiet_NaN();
    weights[4 * kK] = std::numeric_limits<float>::infinity();
    values[7 * kK + 20] = std::numeric_limits<float>::quiet_NaN();
    const TestMatrix w(weights, kN, kK, kind.weights, 0);
    const std::vector<float> y = product(w, TestActivations(kernels_, kind.arithmetic, values, kM, kK));
    for (std::int64_t m = 0; m < kM; ++m) {
      for (std::int64_t n = 0; n < kN; ++n) {
        const float value = y[static_cast<std::size_t>(m * kN + n)];
        if (m == 7 || n == 3) {
          EXPECT_TRUE(std::isnan(value)) << m << ' ' << n;
        } else {
          EXPECT_EQ(std::isinf(value), n == 4) << m << ' ' << n;
        }
      }
    }
  }
}

TEST_P(MatmulTest, DenormalsAreZeroOrTheirOwnSmallSelves) {
  constexpr std::int64_t kK = 64;
  for (const Kind kind : kKinds) {
    const TestMatrix w(std::vector<float>(kK, 1.0f), 1, kK, kind.weights, 0);
    const TestActivations x(kernels_, kind.arithmetic, std::vector<float>(kK, 0x1p-130f), 1, kK);
    const float y = product(w, x)[0];
    EXPECT_TRUE(y == 0.0f || y == 0x1p-124f) << y;
  }
}

TEST_P(MatmulTest, NoTokensAndNoRowsWriteNothing) {
  for (const Kind kind : kKinds) {
    const TestMatrix w(std::vector<float>(8 * 8, 1.0f), 8, 8, kind.weights, 0);
    const TestActivations none(kernels_, kind.arithmetic, {}, 0, 8);
    const TestActivations one(kernels_, kind.arithmetic, std::vector<float>(8, 1.0f), 1, 8);
    std::vector<float> y(8, kUntouched);
    kernels_.matmul(w.matrix(), none.packed(), 0, 8, y.data(), 8);
    kernels_.matmul(w.matrix(), one.packed(), 3, 3, y.data(), 8);
    EXPECT_EQ(y, std::vector<float>(8, kUntouched));
  }
}

INSTANTIATE_TEST_SUITE_P(Levels, MatmulTest, ::testing::ValuesIn(available_levels()), level_test_name);

}  // namespace
}  // namespace expertscope::cpu
