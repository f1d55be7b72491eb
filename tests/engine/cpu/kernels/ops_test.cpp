// SPDX-License-Identifier: GPL-3.0-or-later
#include <gtest/gtest.h>

#include <limits>
#include <numbers>

#include "tests/engine/cpu/kernels/kernel_test_support.h"

namespace expertscope::cpu {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr std::int64_t kLengths[] = {1, 2, 7, 8, 15, 16, 17, 31, 64, 100, 257};

class OpsTest : public ::testing::TestWithParam<CpuLevel> {
 protected:
  const Kernels& kernels_ = kernels_for(GetParam());
};

TEST_P(OpsTest, DequantisesPiecesOfRowsOfEveryFormat) {
  Numbers numbers(1);
  for (const std::int64_t n : {1, 2, 7, 8, 15, 16, 17, 31, 64, 96, 100, 257, 320}) {
    for (const FormatId format : {FormatId::f32, FormatId::f16, FormatId::bf16, FormatId::q8_0}) {
      const auto block = static_cast<std::int64_t>(weight_format(format).block.elements);
      if (n % block != 0) continue;
      const TestMatrix w(numbers.take(3 * n), 3, n, format, 4);
      for (std::int64_t first = 0; first < n; first += n / 2 / block * block + block) {
        const std::int64_t count = n - first;
        std::vector<float> y(static_cast<std::size_t>(count) + 1, 9.0f);
        kernels_.dequantise(w.matrix(), 1, first, count, y.data());
        for (std::int64_t i = 0; i < count; ++i)
          EXPECT_EQ(static_cast<double>(y[static_cast<std::size_t>(i)]), w.at(1, first + i));
        EXPECT_EQ(y.back(), 9.0f);
      }
    }
  }
}

TEST_P(OpsTest, RoundsToBf16AsTheScalarFunctionDoes) {
  std::vector<float> x = {0.0f,  -0.0f,   1.0f,      1.0f + 0x1p-8f, 1.0f + 3 * 0x1p-8f,
                          -2.5f, 3.4e38f, kInfinity, -kInfinity};
  Numbers numbers(4);
  for (int i = 0; i < 50; ++i)
    x.push_back(numbers.next() * 1e6f);
  for (std::size_t n = 1; n <= x.size(); ++n) {
    std::vector<std::uint16_t> y(n + 1, 77);
    kernels_.to_bf16(x.data(), static_cast<std::int64_t>(n), y.data());
    for (std::size_t i = 0; i < n; ++i)
      EXPECT_EQ(y[i], f32_to_bf16(x[i])) << x[i];
    EXPECT_EQ(y.back(), 77);
  }
  std::uint16_t nan = 0;
  kernels_.to_bf16(&kNan, 1, &nan);
  EXPECT_TRUE(std::isnan(bf16_to_f32(nan)));
}

TEST_P(OpsTest, RmsNormDividesByTheRootMeanSquare) {
  Numbers numbers(2);
  for (const std::int64_t n : kLengths) {
    const std::vector<float> x = numbers.take(n);
    const std::vector<float> weight = numbers.take(n);
    double squares = 0;
    for (const float v : x)
      squares += static_cast<double>(v) * static_cast<double>(v);
    const double scale = 1 / std::sqrt(squares / static_cast<double>(n) + 1e-6);
    std::vector<float> y = x;
    kernels_.rms_norm(y.data(), weight.data(), n, 1e-6f, y.data());
    for (std::size_t i = 0; i < y.size(); ++i)
      EXPECT_NEAR(y[i], static_cast<double>(weight[i]) * static_cast<double>(x[i]) * scale, 2e-6);
  }
}

TEST_P(OpsTest, RopeRotatesPairsHalfAHeadApart) {
  for (const std::int64_t dim : {2, 6, 8, 32, 36, 64, 128}) {
    Numbers numbers(static_cast<std::uint32_t>(dim));
    const std::vector<float> x = numbers.take(dim);
    std::vector<float> cosine;
    std::vector<float> sine;
    for (std::int64_t i = 0; i < dim / 2; ++i) {
      cosine.push_back(std::cos(static_cast<float>(i)));
      sine.push_back(std::sin(static_cast<float>(i)));
    }
    std::vector<float> y = x;
    kernels_.rope(y.data(), cosine.data(), sine.data(), dim);
    const std::size_t half = static_cast<std::size_t>(dim) / 2;
    for (std::size_t i = 0; i < half; ++i) {
      EXPECT_NEAR(y[i], x[i] * cosine[i] - x[i + half] * sine[i], 1e-6f);
      EXPECT_NEAR(y[i + half], x[i + half] * cosine[i] + x[i] * sine[i], 1e-6f);
    }
  }
}

TEST_P(OpsTest, Swiglu) {
  std::vector<float> gate = {0.0f,   1.0f,    -1.0f, 20.0f,  -20.0f,    88.0f, -88.0f,
                             200.0f, -200.0f, 1e30f, -1e30f, kInfinity, kNan};
  Numbers numbers(6);
  for (int i = 0; i < 40; ++i)
    gate.push_back(numbers.next() * 10);
  const std::vector<float> up(gate.size(), -1.5f);
  std::vector<float> out = gate;
  kernels_.swiglu({}, out.data(), up.data(), static_cast<std::int64_t>(out.size()), out.data());
  for (std::size_t i = 0; i < gate.size(); ++i) {
    const double g = static_cast<double>(gate[i]);
    const double expected = g / (1 + std::exp(-g)) * -1.5;
    if (std::isnan(gate[i])) {
      EXPECT_TRUE(std::isnan(out[i]));
    } else if (std::isinf(gate[i])) {
      EXPECT_EQ(out[i], -kInfinity);
    } else {
      EXPECT_NEAR(out[i], expected, 1e-6 * std::fabs(expected) + 1e-35) << gate[i];
    }
  }
}

TEST_P(OpsTest, SwigluWithinALimitAndWithASlopeAndAnOffset) {
  const MlpSpec mlp{.alpha = 1.702f, .clamp = 7.0f, .up_offset = 1.0f};
  std::vector<float> gate, up, out;
  for (const float g : {0.5f, 6.9f, 7.0f, 7.1f, 1e30f, kInfinity, -3.0f, -80.0f, kNan})
    for (const float u : {0.25f, 8.0f, -8.0f, kInfinity, -kInfinity, kNan}) {
      gate.push_back(g);
      up.push_back(u);
    }
  out.resize(gate.size());
  kernels_.swiglu(mlp, gate.data(), up.data(), static_cast<std::int64_t>(out.size()), out.data());
  for (std::size_t i = 0; i < gate.size(); ++i) {
    const double g = std::min(static_cast<double>(gate[i]), 7.0);
    const double u = std::clamp(static_cast<double>(up[i]), -7.0, 7.0);
    const double expected = g / (1 + std::exp(static_cast<double>(-1.702f) * g)) * (u + 1);
    if (std::isnan(gate[i]) || std::isnan(up[i])) {
      EXPECT_TRUE(std::isnan(out[i])) << gate[i] << " " << up[i];
    } else {
      EXPECT_NEAR(out[i], expected, 2e-6 * std::fabs(expected) + 1e-35) << gate[i] << " " << up[i];
    }
  }
}

TEST_P(OpsTest, GeluByTanhInPlaceOfSilu) {
  const MlpSpec mlp{.activation = Activation::gelu_tanh};
  std::vector<float> gate = {0.0f, 1.0f, -1.0f, 0.01f, -3.5f, 9.0f, -9.0f, 200.0f, -200.0f, 1e15f, kNan};
  Numbers numbers(7);
  for (int i = 0; i < 40; ++i)
    gate.push_back(numbers.next() * 4);
  const std::vector<float> up(gate.size(), -1.5f);
  std::vector<float> out(gate.size());
  kernels_.swiglu(mlp, gate.data(), up.data(), static_cast<std::int64_t>(out.size()), out.data());
  for (std::size_t i = 0; i < gate.size(); ++i) {
    const double g = static_cast<double>(gate[i]);
    const double y = std::sqrt(2 / std::numbers::pi) * (g + 0.044715 * g * g * g);
    const double expected = 0.5 * g * (1 + std::tanh(y)) * -1.5;
    if (std::isnan(gate[i])) {
      EXPECT_TRUE(std::isnan(out[i]));
    } else {
      EXPECT_NEAR(out[i], expected, 2e-6 * std::fabs(expected) + 1e-6) << gate[i];
    }
  }
}

TEST_P(OpsTest, AxpyAddsAMultiple) {
  Numbers numbers(8);
  for (const std::int64_t n : kLengths) {
    const std::vector<float> x = numbers.take(n);
    const std::vector<float> y = numbers.take(n);
    std::vector<float> sum = y;
    kernels_.axpy(0.75f, x.data(), n, sum.data());
    for (std::size_t i = 0; i < x.size(); ++i)
      EXPECT_NEAR(sum[i], y[i] + 0.75f * x[i], 1e-6f);
  }
}

TEST_P(OpsTest, ConvolvesTheTapsOfEveryChannel) {
  Numbers numbers(9);
  for (const std::int64_t n : kLengths) {
    for (const int taps : {1, 3, 4}) {
      const std::vector<float> weights = numbers.take(taps * n);
      const std::vector<float> x = numbers.take(taps * n);
      std::vector<const float*> rows;
      for (int tap = 0; tap < taps; ++tap)
        rows.push_back(x.data() + tap * n);
      std::vector<float> y(static_cast<std::size_t>(n) + 1, 9.0f);
      kernels_.convolve(rows.data(), weights.data(), taps, n, y.data());
      for (std::int64_t i = 0; i < n; ++i) {
        double sum = 0;
        for (int tap = 0; tap < taps; ++tap)
          sum += static_cast<double>(weights[static_cast<std::size_t>(tap * n + i)]) *
                 x[static_cast<std::size_t>(tap * n + i)];
        EXPECT_NEAR(y[static_cast<std::size_t>(i)], sum / (1 + std::exp(-sum)), 1e-6);
      }
      EXPECT_EQ(y.back(), 9.0f);
    }
  }
}

TEST_P(OpsTest, ADeltaStepKeepsWhatTheRuleSays) {
  Numbers numbers(10);
  for (const std::int64_t value_dim : {1, 7, 8, 20, 32, 64, 100, 128}) {
    for (const std::int64_t key_dim : {1, 12, 128}) {
      const std::vector<float> before = numbers.take(key_dim * value_dim);
      const std::vector<float> q = numbers.take(key_dim);
      const std::vector<float> k = numbers.take(key_dim);
      const std::vector<float> v = numbers.take(value_dim);
      std::vector<float> state = before;
      state.push_back(9.0f);
      std::vector<float> out(static_cast<std::size_t>(value_dim) + 1, 9.0f);
      kernels_.delta_step(
          {state.data(), q.data(), k.data(), v.data(), 0.75f, 0.5f, key_dim, value_dim, out.data()});
      for (std::int64_t j = 0; j < value_dim; ++j) {
        const auto at = [&](std::int64_t i) { return static_cast<std::size_t>(i * value_dim + j); };
        double known = 0;
        for (std::int64_t i = 0; i < key_dim; ++i)
          known += 0.75 * before[at(i)] * static_cast<double>(k[static_cast<std::size_t>(i)]);
        const double delta = 0.5 * (v[static_cast<std::size_t>(j)] - known);
        double answer = 0;
        for (std::int64_t i = 0; i < key_dim; ++i) {
          const double kept = 0.75 * before[at(i)] + k[static_cast<std::size_t>(i)] * delta;
          answer += kept * q[static_cast<std::size_t>(i)];
          EXPECT_NEAR(state[at(i)], kept, 1e-5);
        }
        EXPECT_NEAR(out[static_cast<std::size_t>(j)], answer, 1e-4);
      }
      EXPECT_EQ(state.back(), 9.0f);
      EXPECT_EQ(out.back(), 9.0f);
    }
  }
}

TEST_P(OpsTest, RowStatsFindNormAndLargestMagnitude) {
  for (const std::int64_t n : kLengths) {
    for (std::int64_t at = 0; at < n; ++at) {
      std::vector<float> x(static_cast<std::size_t>(n), 0.25f);
      x[static_cast<std::size_t>(at)] = -3.0f;
      const RowStats stats = kernels_.row_stats(x.data(), n);
      EXPECT_EQ(stats.max_abs, 3.0f);
      EXPECT_EQ(stats.channel, at);
      EXPECT_NEAR(stats.norm, std::sqrt(9.0f + 0.0625f * static_cast<float>(n - 1)), 1e-5f);
    }
  }
}

TEST_P(OpsTest, RowStatsNameTheFirstOfEqualsAndReportNan) {
  std::vector<float> x(100, 1.0f);
  EXPECT_EQ(kernels_.row_stats(x.data(), 100).channel, 0);
  x[37] = 2.0f;
  x[53] = -2.0f;
  x[90] = 2.0f;
  EXPECT_EQ(kernels_.row_stats(x.data(), 100).channel, 37);
  x[60] = kNan;
  const RowStats stats = kernels_.row_stats(x.data(), 100);
  EXPECT_TRUE(std::isnan(stats.max_abs));
  EXPECT_TRUE(std::isnan(stats.norm));
  EXPECT_EQ(stats.channel, 60);
  const std::vector<float> zeros(20, 0.0f);
  EXPECT_EQ(kernels_.row_stats(zeros.data(), 20).max_abs, 0.0f);
  EXPECT_EQ(kernels_.row_stats(zeros.data(), 20).channel, 0);
}

INSTANTIATE_TEST_SUITE_P(Levels, OpsTest, ::testing::ValuesIn(available_levels()), level_test_name);

}  // namespace
}  // namespace expertscope::cpu
