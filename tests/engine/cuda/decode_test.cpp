// SPDX-License-Identifier: GPL-3.0-or-later Products of a decode step: one to four tokens, a warp a row of
// weights.
#include "tests/engine/cuda/kernels.h"

#include <gmock/gmock.h>

#include <cmath>

#include "engine/cpu/kernels/kernels.h"
#include "engine/cuda/kernels/experts_decode.cuh"
#include "engine/cuda/kernels/products_decode.cuh"

namespace expertscope::cuda {
namespace {

struct Sizes {
  int rows = 1;
  int width = 1;
};

const std::vector<Sizes>& sizes() {
  static const std::vector<Sizes> all = {{1, 1},   {7, 24},    {63, 7},  {130, 65},
                                         {9, 200}, {17, 2100}, {5, 4200}};
  return all;
}

/// Weights of one type on the device, and sums written down.
template <DeviceType kType>
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
template <DeviceType kType, class X, int kTokens, ProductRows kRows>
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
    expect_norm_product<DeviceType::f32, float, 1, ProductRows::tokens>(size, 1);
    expect_norm_product<DeviceType::f16, float, 2, ProductRows::tokens>(size, 2);
    expect_norm_product<DeviceType::bf16, float, 4, ProductRows::tokens>(size, 3);
    expect_norm_product<DeviceType::bf16, Bf16, 4, ProductRows::tokens>(size, 4);
  }
}

TEST(NormProduct, OfTheHeadTakesItsRowsFromTheBatch) {
  for (const Sizes& size : sizes()) {
    expect_norm_product<DeviceType::f32, float, 4, ProductRows::output_rows>(size, 3);
    expect_norm_product<DeviceType::bf16, Bf16, 2, ProductRows::output_rows>(size, 1);
  }
}

template <DeviceType kType, class X, int kTokens>
void expect_add_product(const Sizes& size, int tokens, bool with_bias) {
  SCOPED_TRACE(testing::Message() << size.rows << " x " << size.width << ", " << tokens << " of " << kTokens);
  const auto rows = static_cast<std::size_t>(size.rows);
  const std::vector<float> x = random_floats(static_cast<std::size_t>(kTokens * size.width), 4);
  const std::vector<float> bias = random_floats(rows, 5);
  const std::vector<float> hidden = random_floats(kTokens * rows, 6);
  const DeviceType x_type = sizeof(X) == 2 ? DeviceType::bf16 : DeviceType::f32;
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
    expect_add_product<DeviceType::f32, float, 1>(size, 1, true);
    expect_add_product<DeviceType::f16, float, 2>(size, 1, false);
    expect_add_product<DeviceType::bf16, float, 4>(size, 3, true);
    expect_add_product<DeviceType::bf16, Bf16, 4>(size, 4, false);
  }
}

/// The experts of a few tokens: two kernels, and what they should leave written down.
template <DeviceType kType, class X>
class FusedExperts {
 public:
  static constexpr int kExperts = 9;
  static constexpr int kTokens = 2;
  static constexpr DeviceType kInner = sizeof(X) == 2 ? DeviceType::bf16 : DeviceType::f32;

  FusedExperts(int hidden, int inner, int top_k, int slots)
      : hidden_(hidden), inner_(inner), top_k_(top_k), slots_(slots) {
    const auto matrix = static_cast<std::size_t>(kExperts * hidden * inner);
    gate_up_ = random_floats(2 * matrix, 1);
    down_ = random_floats(matrix, 2);
    for (float& value : gate_up_)
      value = stored(0.05f * value, kType);
    for (float& value : down_)
      value = stored(value, kType);
    normed_ = random_floats(static_cast<std::size_t>(kTokens * hidden), 3);
    for (float& value : normed_)
      value = stored(value, kInner);
    residual_ = random_floats(static_cast<std::size_t>(kTokens * hidden), 4);
    weight_ = random_floats(static_cast<std::size_t>(kTokens * slots), 5);
    for (int i = 0; i < kTokens * slots; ++i)
      expert_.push_back(i % 5 == 3 ? -1 : i * 7 % kExperts);
    scale_.assign(kExperts, 1.0f);
    scale_[5] = 0.0f;
    scale_[2] = -0.5f;
  }

  /// The hidden state and, of the slots that run, the outputs' squares.
  std::vector<float> expected(std::vector<float>& squares) const {
    std::vector<float> result = residual_;
    squares.assign(static_cast<std::size_t>(kTokens * slots_), 0.0f);
    for (int t = 0; t < kTokens; ++t) {
      for (int s = 0; s < top_k_; ++s) {
        const auto slot = static_cast<std::size_t>(t * slots_ + s);
        if (expert_[slot] < 0 || scale_[static_cast<std::size_t>(expert_[slot])] == 0) continue;
        const std::vector<float> output = run_expert(t, expert_[slot]);
        for (std::size_t n = 0; n < output.size(); ++n) {
          result[static_cast<std::size_t>(t * hidden_) + n] +=
              weight_[slot] * scale_[static_cast<std::size_t>(expert_[slot])] * output[n];
          squares[slot] += output[n] * output[n];
        }
      }
    }
    return result;
  }

  void expect_sums(int rows_at_once, int slots_at_once);

 private:
  std::vector<float> run_expert(int token, int expert) const {
    const float* x = normed_.data() + token * hidden_;
    const float* gate_up = gate_up_.data() + static_cast<std::ptrdiff_t>(expert) * 2 * inner_ * hidden_;
    const float* down = down_.data() + static_cast<std::ptrdiff_t>(expert) * inner_ * hidden_;
    const auto dot = [](const float* a, const float* b, int n) {
      double sum = 0;
      for (int i = 0; i < n; ++i)
        sum += static_cast<double>(a[i]) * b[i];
      return static_cast<float>(sum);
    };
    std::vector<float> inner, output;
    for (int i = 0; i < inner_; ++i) {
      const float gate = dot(gate_up + static_cast<std::ptrdiff_t>(i) * hidden_, x, hidden_);
      const float up = dot(gate_up + static_cast<std::ptrdiff_t>(inner_ + i) * hidden_, x, hidden_);
      inner.push_back(stored(gate / (1 + std::exp(-gate)) * up, kInner));
    }
    for (int n = 0; n < hidden_; ++n)
      output.push_back(dot(down + static_cast<std::ptrdiff_t>(n) * inner_, inner.data(), inner_));
    return output;
  }

  int hidden_, inner_, top_k_, slots_;
  std::vector<float> gate_up_, down_, normed_, residual_, weight_, scale_;
  std::vector<std::int32_t> expert_;
};

template <DeviceType kType, class X>
void FusedExperts<kType, X>::expect_sums(int rows_at_once, int slots_at_once) {
  SCOPED_TRACE(testing::Message() << hidden_ << " x " << inner_ << ", " << top_k_ << " of " << slots_);
  Array<std::uint8_t> gate_up(rows_of(gate_up_, hidden_, padded(hidden_), kType));
  Array<std::uint8_t> down(rows_of(down_, inner_, padded(inner_), kType));
  Array<std::uint8_t> normed(rows_of(normed_, hidden_, padded(hidden_), kInner));
  std::vector<const void*> gate_up_table, down_table;
  for (int e = 0; e < kExperts; ++e) {
    gate_up_table.push_back(gate_up.data() +
                            static_cast<std::size_t>(e * 2 * inner_ * padded(hidden_)) * device_bytes(kType));
    down_table.push_back(down.data() +
                         static_cast<std::size_t>(e * hidden_ * padded(inner_)) * device_bytes(kType));
  }
  Array<const void*> gate_up_device(gate_up_table), down_device(down_table);
  Array<float> scale(scale_), weight(weight_), hidden(residual_);
  Array<std::int32_t> expert(expert_);
  DeviceRouting routing;
  routing.output_scale = scale.data();
  routing.top_k = top_k_;
  DeviceStep step;
  step.tokens = kTokens;
  step.slots = slots_;
  float on = 0;
  step.capture.output_norm = &on;  // only whether it is there
  Array<DeviceRouting> device_routing(std::vector{routing});
  Array<DeviceStep> device_step(std::vector{step});
  const int output_blocks = (hidden_ + kProductWarps - 1) / kProductWarps;
  Array<RowPart> outputs(static_cast<std::size_t>(kTokens * slots_ * output_blocks));
  Array<RowPart> hiddens(static_cast<std::size_t>(kTokens * output_blocks));
  Array<X> inner(static_cast<std::size_t>(kTokens * slots_ * padded(inner_)));
  const DeviceExperts experts{gate_up_device.data(), down_device.data(), kType, kExperts, inner_, hidden_,
                              padded(hidden_),       padded(inner_)};
  const DeviceSlots slots{expert.data(), weight.data()};
  run(&expert_gate_up<kType, X>,
      {blocks(rows_at_once, slots_at_once, kTokens + 1), kProductThreads,
       static_cast<std::size_t>(padded(hidden_)) * sizeof(X)},
      device_step.data(), experts, device_routing.data(), slots, reinterpret_cast<const X*>(normed.data()),
      inner.data());
  run(&expert_down<kType, X>, {blocks(output_blocks, kTokens + 1), kProductThreads, 0}, device_step.data(),
      experts, device_routing.data(), slots, inner.data(), hidden.data(),
      OutputParts{outputs.data(), hiddens.data()});
  std::vector<float> squares;
  expect_near(hidden.read(), expected(squares), sizeof(X) == 2 ? 5e-3 : 5e-6, "hidden");
  const std::vector<RowPart> parts = outputs.read();
  for (int t = 0; t < kTokens; ++t) {
    for (int s = 0; s < top_k_; ++s) {
      const auto slot = static_cast<std::size_t>(t * slots_ + s);
      float sum = 0;
      for (std::size_t b = 0; b < static_cast<std::size_t>(output_blocks); ++b)
        sum += parts[slot * static_cast<std::size_t>(output_blocks) + b].square_sum;
      ASSERT_NEAR(sum, squares[slot], (sizeof(X) == 2 ? 2e-2f : 1e-5f) * squares[slot]) << "slot " << slot;
    }
  }
}

TEST(ExpertsDecode, TakeEverySize) {
  FusedExperts<DeviceType::f32, float>(7, 5, 1, 1).expect_sums(1, 1);
  FusedExperts<DeviceType::f32, float>(40, 900, 6, 8).expect_sums(20, 6);
  FusedExperts<DeviceType::f16, float>(1100, 24, 3, 3).expect_sums(3, 3);
  FusedExperts<DeviceType::bf16, float>(65, 800, 5, 5).expect_sums(101, 2);
  FusedExperts<DeviceType::bf16, Bf16>(2100, 9, 8, 9).expect_sums(1, 8);
  FusedExperts<DeviceType::bf16, Bf16>(24, 768, 8, 8).expect_sums(96, 8);
  FusedExperts<DeviceType::bf16, Bf16>(24, 1700, 4, 4).expect_sums(213, 4);
}

}  // namespace
}  // namespace expertscope::cuda
