// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/model/stored_tensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace expertscope {
namespace {

using ::testing::HasSubstr;
using Shape = StoredTensors::Shape;

/// Two matrices [40, 32] of ones in E4M3 in one tensor, with scales 1, 2, 3, ... of a shape.
class Stack {
 public:
  explicit Stack(const Shape& shape) {
    std::uint64_t count = 1;
    for (const std::int64_t extent : shape)
      count *= static_cast<std::uint64_t>(extent);
    for (std::size_t i = 0; i < count; ++i)
      scales_.push_back(static_cast<float>(i + 1));
    TensorSource source;
    source.tensors = {
        {"w", "F8_E4M3", {2, 40, 32}, ones_.data(), ones_.size(), &file_},
        {"w_scale", "F32", shape, reinterpret_cast<const std::uint8_t*>(scales_.data()), 4 * count, &file_}};
    store_.emplace(std::move(source));
    tensors_.emplace(*store_, config_, Quantization{});
  }
  Result<Matrix> view() {
    const auto tensor = tensors_->find("w", {2, 40, 32});
    if (!tensor) return forward_error(tensor);
    return tensors_->view(**tensor, 80, 32);
  }

 private:
  const std::filesystem::path file_ = "m.safetensors";
  const std::vector<std::uint8_t> ones_ = std::vector<std::uint8_t>(std::size_t{2} * 40 * 32, 0x38);
  std::vector<float> scales_;
  ModelConfig config_;
  std::optional<TensorStore> store_;
  std::optional<StoredTensors> tensors_;
};

float first_of(const Matrix& matrix, std::int64_t row) {
  float value = 0;
  matrix.dequantise(row, 0, 1, &value);
  return value;
}

TEST(StoredTensors, ScalesOfAStackAreThoseOfAllOfAMatrixOrOfRows) {
  struct Case {
    Shape shape;
    float last_of_first, first_of_second;
  };
  for (const auto& [shape, last, next] : {Case{{}, 1, 1},
                                          {{2}, 1, 2},
                                          {{2, 1, 1}, 1, 2},  // a block of 128 x 128 holds a matrix
                                          {{2, 40, 1}, 40, 41},
                                          {{2, 40}, 40, 41}}) {
    Stack stack(shape);
    const auto whole = stack.view();
    ASSERT_TRUE(whole) << whole.error().message;
    EXPECT_EQ(first_of(*whole, 39), last) << shape_text(shape);
    EXPECT_EQ(first_of(*whole, 40), next) << shape_text(shape);
    const Matrix up = whole->slice(40 + 20, 20);  // the second half of the second matrix
    EXPECT_EQ(first_of(up, 19), first_of(*whole, 79)) << shape_text(shape);
  }
}

TEST(StoredTensors, ScalesOfAnyOtherShapeAreRefused) {
  for (const Shape& shape : {Shape{40, 1}, {2, 20, 1}, {2, 40, 32}, {1, 2}}) {
    Stack stack(shape);
    const auto whole = stack.view();
    ASSERT_FALSE(whole) << shape_text(shape);
    EXPECT_THAT(whole.error().message,
                HasSubstr("w_scale " + shape_text(shape) +
                          ": expected one scale, [2, 40, 1] for rows, or [2, 1, 1] for "
                          "128 x 128 weights"));
  }
}

}  // namespace
}  // namespace expertscope
