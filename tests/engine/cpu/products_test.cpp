// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/cpu/products.h"

#include <gtest/gtest.h>

#include <vector>

namespace expertscope::cpu {
namespace {

std::vector<float> values(std::size_t count, int seed) {
  std::vector<float> result(count);
  for (std::size_t i = 0; i < count; ++i)
    result[i] = static_cast<float>((static_cast<int>(i) * 7 + seed) % 13) - 6.0f;
  return result;
}

/// Weights, packed input and output of one product.
struct Product {
  Product(const Kernels& kernels, std::int64_t tokens, std::int64_t rows, std::int64_t cols, int seed)
      : input(values(static_cast<std::size_t>(tokens * cols), seed)),
        weights(values(static_cast<std::size_t>(rows * cols), seed + 1)),
        output(static_cast<std::size_t>(tokens * rows), -1.0f),
        memory(packed_bytes(tokens, cols) + kPackAlignment),
        matrix{weights.data(), &weight_format(FormatId::f32), rows, cols} {
    const auto address = reinterpret_cast<std::uintptr_t>(memory.data());
    packed = plan_activations(kernels, Arithmetic::f32, tokens, cols,
                              memory.data() + (kPackAlignment - address % kPackAlignment));
    kernels.pack({input.data(), cols, nullptr, tokens, cols}, packed, 0, tokens);
  }

  float expected(std::int64_t token, std::int64_t row) const {
    float sum = 0;
    for (std::int64_t k = 0; k < matrix.cols; ++k) {
      sum += input[static_cast<std::size_t>(token * matrix.cols + k)] *
             weights[static_cast<std::size_t>(row * matrix.cols + k)];
    }
    return sum;
  }

  std::vector<float> input, weights, output;
  std::vector<std::uint8_t> memory;
  Matrix matrix;
  PackedActivations packed;
};

TEST(ProductList, RunsProductsOfDifferentShapesTogether) {
  const Kernels& kernels = kernels_for(choose_cpu_level());
  for (const int threads : {1, 3}) {
    ThreadPool pool(threads);
    std::vector<Product> products;
    products.reserve(4);
    products.emplace_back(kernels, 1, 700, 64, 1);
    products.emplace_back(kernels, 5, 33, 40, 2);
    products.emplace_back(kernels, 2, 1, 8, 3);
    products.emplace_back(kernels, 17, 250, 96, 4);
    ProductList list;
    for (Product& p : products)
      list.add(p.matrix, p.packed, p.output.data(), p.matrix.rows);
    list.run(kernels, pool);
    for (const Product& p : products) {
      for (std::int64_t t = 0; t < p.packed.rows; ++t) {
        for (std::int64_t n = 0; n < p.matrix.rows; ++n) {
          ASSERT_EQ(p.output[static_cast<std::size_t>(t * p.matrix.rows + n)], p.expected(t, n))
              << t << " " << n;
        }
      }
    }
  }
}

TEST(ProductList, AnEmptyListRunsNothing) {
  ThreadPool pool(2);
  ProductList list;
  list.run(kernels_for(choose_cpu_level()), pool);
}

TEST(ForRanges, CoversEveryElementOnceHoweverLittleTheWork) {
  ThreadPool pool(3);
  for (const std::int64_t work : {1, 1 << 20}) {
    std::vector<int> touched(1000, 0);
    for_ranges(pool, 1000, 7, work, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i)
        ++touched[static_cast<std::size_t>(i)];
    });
    EXPECT_EQ(touched, std::vector<int>(1000, 1));
  }
  for_ranges(pool, 0, 1, 1 << 20, [](std::int64_t, std::int64_t) { FAIL(); });
}

}  // namespace
}  // namespace expertscope::cpu
