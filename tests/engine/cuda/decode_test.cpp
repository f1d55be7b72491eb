// SPDX-License-Identifier: GPL-3.0-or-later Products of a decode step: one to four tokens, a warp a row of
// weights.
#include "tests/engine/cuda/kernels.h"

#include <gmock/gmock.h>

#include <cmath>

#include "engine/cpu/kernels/kernels.h"
#include "engine/cuda/kernels/products_decode.cuh"

namespace expertscope::cuda {
namespace {

struct Sizes {
  int rows = 1;
  int width = 1;
};

const std::vector<Sizes>& sizes() {
  static const std::vector<Sizes> all = {{1, 1}, {7, 24}, {63, 7}, {130, 65}, {9, 200}, {17, 2100}};
  return all;
}

/// Weights of one type on the device, and sums written down.
template <DType kType>
class Weights {
 public:
  explicit Weights(const Sizes& size)
      : size_(size),
        values_(random_floats(static_cast<std::size_t>(size.rows * size.width), 1)),
        device_(rows_of(values_, size.width, padded(size.width), kType)) {
    for (float& value : values_)
      value = stored(value, kType);
  }
  DeviceMatrix matrix() { return {device_.data(), kType, size_.rows, size_.width, padded(size_.width)}; }
  float dot(const float* x, int row) const {
    double sum = 0;
    for (int k = 0; k < size_.width; ++k)
      sum += static_cast<double>(x[k]) * values_[static_cast<std::size_t>(row * size_.width + k)];
    return static_cast<float>(sum);
  }

 private:
  Sizes size_;
  std::vector<float> values_;
  Array<std::uint8_t> device_;
};

/// norm + product for `tokens` of a graph made for kTokens; with output rows, of rows of the batch in any
/// order.
template <DType kType, class X, int kTokens, ProductRows kRows>
void expect_norm_product(const Sizes& size, int tokens) {
  SCOPED_TRACE(testing::Message() << size.rows << " x " << size.width << ", " << tokens << " of " << kTokens);
  const auto width = static_cast<std::size_t>(size.width);
  const std::vector<float> hidden = random_floats(5 * width, 2);
  const std::vector<float> norm = random_floats(width, 3);
  const std::vector<std::int32_t> rows = {4, 0, 3, 1};
  Weights<kType> weights(size);
  Array<float> device_hidden(hidden), device_norm(norm);
  Array<std::int32_t> output_row(rows);
  DeviceStep step;
  step.tokens = kRows == ProductRows::tokens ? tokens : 5;
  step.output_rows = kRows == ProductRows::tokens ? 0 : tokens;
  step.output_row = output_row.data();
  Array<DeviceStep> device_step(std::vector{step});
  const int y_stride = size.rows + 3;
  const std::vector<float> before(static_cast<std::size_t>(kTokens * y_stride), 7.0f);
  Array<float> y(before);
  run(&norm_product<kType, X, kTokens, kRows>,
      {blocks(2), kProductThreads, static_cast<std::size_t>(kTokens * padded(size.width)) * sizeof(X)},
      device_step.data(), device_hidden.data(), device_norm.data(), 1e-6f, weights.matrix(), y.data(),
      y_stride);
  std::vector<float> expected = before;
  std::vector<float> normed(width);
  for (int t = 0; t < tokens; ++t) {
    const int row = kRows == ProductRows::tokens ? t : rows[static_cast<std::size_t>(t)];
    cpu::kernels_for(cpu::CpuLevel::scalar)
        .rms_norm(hidden.data() + static_cast<std::size_t>(row) * width, norm.data(), size.width, 1e-6f,
                  normed.data());
    if (sizeof(X) == 2) std::transform(normed.begin(), normed.end(), normed.begin(), rounded);
    for (int n = 0; n < size.rows; ++n)
      expected[static_cast<std::size_t>(t * y_stride + n)] = weights.dot(normed.data(), n);
  }
  // A norm that differs in its last bit may round to the bf16 next to it.
  expect_near(y.read(), expected, sizeof(X) == 2 ? 2e-3 : 2e-6, "y");
}

TEST(NormProduct, TakesEverySizeTypeAndNumberOfTokens) {
  for (const Sizes& size : sizes()) {
    expect_norm_product<DType::f32, float, 1, ProductRows::tokens>(size, 1);
    expect_norm_product<DType::f16, float, 2, ProductRows::tokens>(size, 2);
    expect_norm_product<DType::bf16, float, 4, ProductRows::tokens>(size, 3);
    expect_norm_product<DType::bf16, Bf16, 4, ProductRows::tokens>(size, 4);
  }
}

TEST(NormProduct, OfTheHeadTakesItsRowsFromTheBatch) {
  for (const Sizes& size : sizes()) {
    expect_norm_product<DType::f32, float, 4, ProductRows::output_rows>(size, 3);
    expect_norm_product<DType::bf16, Bf16, 2, ProductRows::output_rows>(size, 1);
  }
}

template <DType kType, class X, int kTokens>
void expect_add_product(const Sizes& size, int tokens, bool with_bias) {
  SCOPED_TRACE(testing::Message() << size.rows << " x " << size.width << ", " << tokens << " of " << kTokens);
  const auto rows = static_cast<std::size_t>(size.rows);
  const std::vector<float> x = random_floats(static_cast<std::size_t>(kTokens * size.width), 4);
  const std::vector<float> bias = random_floats(rows, 5);
  const std::vector<float> hidden = random_floats(kTokens * rows, 6);
  const DType x_type = sizeof(X) == 2 ? DType::bf16 : DType::f32;
  const auto bytes = rows_of(x, size.width, padded(size.width), x_type);
  Weights<kType> weights(size);
  Array<std::uint8_t> device_x(bytes);
  Array<float> device_bias(bias), device_hidden(hidden);
  const int grid = 3;
  DeviceStep step;
  step.tokens = tokens;
  Array<DeviceStep> device_step(std::vector{step});
  run(&add_product<kType, X, kTokens>,
      {blocks(grid), kProductThreads, static_cast<std::size_t>(kTokens * padded(size.width)) * sizeof(X)},
      device_step.data(), reinterpret_cast<const X*>(device_x.data()), weights.matrix(),
      with_bias ? device_bias.data() : static_cast<const float*>(nullptr), device_hidden.data());
  std::vector<float> expected = hidden;
  for (int t = 0; t < tokens; ++t) {
    std::vector<float> row(x.begin() + t * size.width, x.begin() + (t + 1) * size.width);
    for (float& value : row)
      value = stored(value, x_type);
    for (std::size_t n = 0; n < rows; ++n)
      expected[static_cast<std::size_t>(t) * rows + n] +=
          weights.dot(row.data(), static_cast<int>(n)) + (with_bias ? bias[n] : 0.0f);
  }
  expect_near(device_hidden.read(), expected, 2e-6, "hidden");
}

TEST(AddProduct, AddsToTheResidualStream) {
  for (const Sizes& size : sizes()) {
    expect_add_product<DType::f32, float, 1>(size, 1, true);
    expect_add_product<DType::f16, float, 2>(size, 1, false);
    expect_add_product<DType::bf16, float, 4>(size, 3, true);
    expect_add_product<DType::bf16, Bf16, 4>(size, 4, false);
  }
}

}  // namespace
}  // namespace expertscope::cuda
