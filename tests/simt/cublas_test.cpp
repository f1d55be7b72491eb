// SPDX-License-Identifier: GPL-3.0-or-later
#include <cublas_v2.h>

#include <bit>
#include <cmath>
#include <memory>

#include "tests/simt/testing.h"

/// Products of matrices.

namespace expertscope::simt {
namespace {

constexpr int kM = 11;
constexpr int kN = 5;
constexpr int kK = 19;

std::uint16_t bf16(float value) {
  return std::uint16_t(std::bit_cast<std::uint32_t>(value) >> 16);
}
float widen(std::uint16_t bits) {
  return std::bit_cast<float>(std::uint32_t(bits) << 16);
}

/// A column-major matrix of bf16 numbers, with `leading` numbers from column to column.
struct Stored {
  std::vector<std::uint16_t> numbers;
  int leading;

  Stored(int rows, int columns, unsigned seed) : leading(rows + 3) {
    for (const float value : random_floats(std::size_t(leading * columns), seed)) {
      numbers.push_back(bf16(value));
    }
  }
  float at(int row, int column) const { return widen(numbers[std::size_t(row + column * leading)]); }
};

class SimtCublas : public ::testing::Test {
 protected:
  void SetUp() override {
    reset();
    ASSERT_EQ(cublasCreate(&handle_), CUBLAS_STATUS_SUCCESS);
  }
  void TearDown() override {
    EXPECT_EQ(cublasDestroy(handle_), CUBLAS_STATUS_SUCCESS);
    EXPECT_EQ(alive(), Alive{});
  }
  cublasHandle_t handle_ = nullptr;
};

TEST_F(SimtCublas, EveryTranspositionIsColumnMajor) {
  const float alpha = 0.5f;
  const float beta = 2.0f;
  for (const bool a_transposed : {false, true}) {
    for (const bool b_transposed : {false, true}) {
      const Stored a = a_transposed ? Stored(kK, kM, 1) : Stored(kM, kK, 1);
      const Stored b = b_transposed ? Stored(kN, kK, 2) : Stored(kK, kN, 2);
      const int ldc = kM + 1;
      const std::vector<float> c = random_floats(std::size_t(ldc * kN), 3);
      Array<std::uint16_t> device_a(a.numbers);
      Array<std::uint16_t> device_b(b.numbers);
      Array<float> device_c(c);
      ASSERT_EQ(cublasGemmEx(handle_, a_transposed ? CUBLAS_OP_T : CUBLAS_OP_N,
                             b_transposed ? CUBLAS_OP_T : CUBLAS_OP_N, kM, kN, kK, &alpha, device_a.data(),
                             CUDA_R_16BF, a.leading, device_b.data(), CUDA_R_16BF, b.leading, &beta,
                             device_c.data(), CUDA_R_32F, ldc, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT),
                CUBLAS_STATUS_SUCCESS);
      const std::vector<float> result = device_c.read();
      for (int column = 0; column < kN; ++column) {
        for (int row = 0; row < ldc; ++row) {
          const auto at = std::size_t(row + column * ldc);
          float sum = 0;
          for (int k = 0; k < kK; ++k) {
            sum += (a_transposed ? a.at(k, row % kM) : a.at(row % kM, k)) *
                   (b_transposed ? b.at(column, k) : b.at(k, column));
          }
          EXPECT_FLOAT_EQ(result[at], row < kM ? alpha * sum + beta * c[at] : c[at]);
        }
      }
    }
  }
}

TEST_F(SimtCublas, ZeroBetaDoesNotReadTheResult) {
  const float one = 1.0f;
  const float zero = 0.0f;
  Array<float> a(std::vector<float>{1, 2, 3, 4});
  Array<float> b(std::vector<float>{5, 6, 7, 8});
  Array<float> c(4);  // NaN
  ASSERT_EQ(cublasSgemm(handle_, CUBLAS_OP_N, CUBLAS_OP_N, 2, 2, 2, &one, a.data(), 2, b.data(), 2, &zero,
                        c.data(), 2),
            CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(c.read(), (std::vector<float>{1 * 5 + 3 * 6, 2 * 5 + 4 * 6, 1 * 7 + 3 * 8, 2 * 7 + 4 * 8}));
}

TEST_F(SimtCublas, SixteenBitResultsAreRounded) {
  const float one = 1.0f;
  const float zero = 0.0f;
  const auto product = [&](cudaDataType type, std::uint16_t a, std::uint16_t b) {
    Array<std::uint16_t> device_a(std::vector<std::uint16_t>{a});
    Array<std::uint16_t> device_b(std::vector<std::uint16_t>{b});
    Array<std::uint16_t> c(1);
    EXPECT_EQ(cublasGemmEx(handle_, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &one, device_a.data(), type, 1,
                           device_b.data(), type, 1, &zero, c.data(), type, 1, CUBLAS_COMPUTE_32F,
                           CUBLAS_GEMM_DEFAULT),
              CUBLAS_STATUS_SUCCESS);
    return c.read()[0];
  };
  EXPECT_EQ(product(CUDA_R_16BF, 0x3f81, 0x3f81), 0x3f82) << "1.0078125 squared";
  EXPECT_EQ(product(CUDA_R_16F, 0x3c01, 0x3c01), 0x3c02);
  EXPECT_EQ(product(CUDA_R_16F, 0x7bff, 0xc000), 0xfc00) << "too large";
  EXPECT_EQ(product(CUDA_R_16F, 0x0400, 0x3800), 0x0200) << "a denormal";
  EXPECT_EQ(product(CUDA_R_16F, 0x0001, 0x3800), 0x0000) << "half of the smallest, to even";
}

TEST_F(SimtCublas, ProductsAreQueuedOnTheStream) {
  const float one = 1.0f;
  const float zero = 0.0f;
  cudaStream_t stream = nullptr;
  float* values = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  ASSERT_EQ(cudaMallocHost(&values, 3 * sizeof(float)), cudaSuccess);
  values[0] = values[1] = 3.0f;
  values[2] = 0.0f;
  ASSERT_EQ(cublasSetStream(handle_, stream), CUBLAS_STATUS_SUCCESS);
  const auto multiply = [&] {
    return cublasSgemm(handle_, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &one, values, 1, values + 1, 1, &zero,
                       values + 2, 1);
  };
  ASSERT_EQ(multiply(), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(values[2], 0.0f);
  ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  EXPECT_EQ(values[2], 9.0f);

  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  ASSERT_EQ(multiply(), CUBLAS_STATUS_SUCCESS);
  ASSERT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
  ASSERT_EQ(cudaGraphInstantiate(&executable, graph), cudaSuccess);
  values[0] = 5.0f;
  ASSERT_EQ(cudaGraphLaunch(executable, stream), cudaSuccess);
  ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  EXPECT_EQ(values[2], 15.0f);
  EXPECT_EQ(cudaGraphExecDestroy(executable), cudaSuccess);
  EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
  EXPECT_EQ(cudaFreeHost(values), cudaSuccess);
  EXPECT_EQ(cudaStreamDestroy(stream), cudaSuccess);
}

/// Arguments of a grouped call: groups of `sizes` products, m x n x k with n of each group its own.
struct Grouped {
  static constexpr int kTall = 6;
  static constexpr int kDeep = 8;
  std::vector<int> n, sizes;
  std::vector<cublasOperation_t> transposed, as_it_is;
  std::vector<int> m, k;
  std::vector<float> alpha, beta;

  Grouped(std::vector<int> columns, std::vector<int> group_sizes)
      : n(std::move(columns)),
        sizes(std::move(group_sizes)),
        transposed(n.size(), CUBLAS_OP_T),
        as_it_is(n.size(), CUBLAS_OP_N),
        m(n.size(), kTall),
        k(n.size(), kDeep),
        alpha(n.size(), 1.0f),
        beta(n.size(), 0.0f) {}

  cublasStatus_t run(cublasHandle_t handle, void** a, void** b, void** c, cudaDataType type = CUDA_R_16BF,
                     cudaDataType c_type = CUDA_R_16BF) const {
    return cublasGemmGroupedBatchedEx(handle, transposed.data(), as_it_is.data(), m.data(), n.data(),
                                      k.data(), alpha.data(), a, type, k.data(), b, type, k.data(),
                                      beta.data(), c, c_type, m.data(), static_cast<int>(n.size()),
                                      sizes.data(), CUBLAS_COMPUTE_32F);
  }
};

TEST_F(SimtCublas, GroupsAreProductsOfTheirOwnSizes) {
  Grouped grouped({3, 0, 5}, {1, 1, 2});
  grouped.alpha = {1.0f, 1.0f, 0.5f};
  const std::vector<int> columns = {3, 0, 5, 5};
  std::vector<std::vector<std::uint16_t>> a;
  std::vector<std::vector<std::uint16_t>> b;
  std::vector<std::unique_ptr<Array<std::uint16_t>>> arrays;
  std::vector<std::vector<void*>> tables(3);
  const auto upload = [&](std::size_t table, const std::vector<std::uint16_t>& numbers) {
    arrays.push_back(std::make_unique<Array<std::uint16_t>>(numbers));
    tables[table].push_back(arrays.back()->data());
  };
  const auto random = [](int count, unsigned seed) {
    std::vector<std::uint16_t> numbers;
    for (const float value : random_floats(std::size_t(count), seed))
      numbers.push_back(bf16(value));
    return numbers;
  };
  for (std::size_t i = 0; i < columns.size(); ++i) {
    a.push_back(random(Grouped::kTall * Grouped::kDeep, unsigned(i)));
    b.push_back(random(std::max(1, columns[i]) * Grouped::kDeep, unsigned(i) + 10));
    upload(0, a.back());
    upload(1, b.back());
    upload(2, std::vector<std::uint16_t>(std::size_t(std::max(1, columns[i]) * Grouped::kTall), 0x3f80));
  }
  Array<void*> device_a(tables[0]);
  Array<void*> device_b(tables[1]);
  Array<void*> device_c(tables[2]);
  ASSERT_EQ(grouped.run(handle_, device_a.data(), device_b.data(), device_c.data()), CUBLAS_STATUS_SUCCESS);
  for (std::size_t i = 0; i < columns.size(); ++i) {
    const std::vector<std::uint16_t> c = arrays[3 * i + 2]->read();
    if (columns[i] == 0) {
      EXPECT_EQ(c[0], 0x3f80) << "an empty product was written";
    }
    for (int column = 0; column < columns[i]; ++column) {
      for (int row = 0; row < Grouped::kTall; ++row) {
        float sum = 0;
        for (int k = 0; k < Grouped::kDeep; ++k)
          sum += widen(a[i][std::size_t(row * Grouped::kDeep + k)]) *
                 widen(b[i][std::size_t(column * Grouped::kDeep + k)]);
        const float expected = i < 2 ? sum : 0.5f * sum;
        EXPECT_NEAR(widen(c[std::size_t(column * Grouped::kTall + row)]), expected,
                    std::abs(expected) / 256 + 1e-6f);
      }
    }
  }
}

TEST_F(SimtCublas, BadGroupsAreRefused) {
  Array<std::uint16_t> x(std::vector<std::uint16_t>(256, 0x3f80));
  Array<void*> table(std::vector<void*>{x.data()});
  const auto run = [&](const Grouped& grouped, cudaDataType type = CUDA_R_16BF,
                       cudaDataType c_type = CUDA_R_16BF) {
    return grouped.run(handle_, table.data(), table.data(), table.data(), type, c_type);
  };
  EXPECT_EQ(run(Grouped({}, {})), CUBLAS_STATUS_INVALID_VALUE) << "its arrays are null";
  EXPECT_EQ(run(Grouped({2}, {0})), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(run(Grouped({2}, {-1})), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(run(Grouped({-2}, {1})), CUBLAS_STATUS_INVALID_VALUE);
  Grouped narrow({2}, {1});
  narrow.k[0] = 0;  // and so are the leading dimensions of A and B
  EXPECT_EQ(run(narrow), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(run(Grouped({2}, {1}), CUDA_R_16BF, CUDA_R_32F), CUBLAS_STATUS_NOT_SUPPORTED);
  EXPECT_EQ(run(Grouped({2}, {1}), CUDA_R_64F, CUDA_R_64F), CUBLAS_STATUS_NOT_SUPPORTED);
}

TEST_F(SimtCublas, BadProductsAreRefused) {
  const float one = 1.0f;
  Array<float> x(std::vector<float>(16, 1.0f));
  const auto multiply = [&](cublasOperation_t a_operation, int m, int lda, int ldc) {
    return cublasSgemm(handle_, a_operation, CUBLAS_OP_N, m, 2, 3, &one, x.data(), lda, x.data(), 3, &one,
                       x.data(), ldc);
  };
  EXPECT_EQ(multiply(CUBLAS_OP_N, 2, 2, 2), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(multiply(CUBLAS_OP_N, 2, 1, 2), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(multiply(CUBLAS_OP_T, 2, 2, 2), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(multiply(CUBLAS_OP_N, 2, 2, 1), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(multiply(CUBLAS_OP_N, -1, 2, 2), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(multiply(CUBLAS_OP_N, 0, 1, 1), CUBLAS_STATUS_SUCCESS) << "nothing to do";
  EXPECT_EQ(
      cublasGemmEx(handle_, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &one, x.data(), CUDA_R_16F, 1, x.data(),
                   CUDA_R_16BF, 1, &one, x.data(), CUDA_R_32F, 1, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT),
      CUBLAS_STATUS_NOT_SUPPORTED);
  cublasHandle_t gone = nullptr;
  EXPECT_EQ(cublasSetStream(gone, nullptr), CUBLAS_STATUS_NOT_INITIALIZED);
}

TEST(SimtCublasFailure, MatrixOverTheEndOfItsMemory) {
  const Emulation emulation;
  cublasHandle_t handle = nullptr;
  ASSERT_EQ(cublasCreate(&handle), CUBLAS_STATUS_SUCCESS);
  const float one = 1.0f;
  Array<float> x(16);
  EXPECT_EQ(cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, 4, 5, 4, &one, x.data(), 4, x.data(), 4, &one,
                        x.data(), 4),
            CUBLAS_STATUS_EXECUTION_FAILED);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorIllegalAddress);
}

TEST(SimtCublasFailure, TablesOfAGroupedProductAreOnTheDevice) {
  for (const bool misaligned : {false, true}) {
    const Emulation emulation;
    cublasHandle_t handle = nullptr;
    ASSERT_EQ(cublasCreate(&handle), CUBLAS_STATUS_SUCCESS);
    Array<std::uint16_t> x(std::vector<std::uint16_t>(256, 0x3f80));
    std::vector<void*> host = {x.data() + (misaligned ? 2 : 0)};
    Array<void*> device(host);
    const Grouped grouped({2}, {1});
    void** table = misaligned ? device.data() : host.data();
    EXPECT_EQ(grouped.run(handle, table, table, table), CUBLAS_STATUS_EXECUTION_FAILED);
    EXPECT_EQ(cudaDeviceSynchronize(), misaligned ? cudaErrorMisalignedAddress : cudaErrorIllegalAddress);
  }
}

TEST(SimtCublasFailure, FaultsBecomeStatuses) {
  const Emulation emulation;
  cublasHandle_t handle = nullptr;
  fail_call("cublasCreate", 1, cudaErrorMemoryAllocation);
  EXPECT_EQ(cublasCreate(&handle), CUBLAS_STATUS_ALLOC_FAILED);
  EXPECT_STREQ(cublasGetStatusString(CUBLAS_STATUS_ALLOC_FAILED), "the resource allocation failed");
  EXPECT_EQ(handle, nullptr);
  ASSERT_EQ(cublasCreate(&handle), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(alive().cublas_handles, 1);
  fail_call("cublasSetStream", 1, cudaErrorLaunchFailure);
  EXPECT_EQ(cublasSetStream(handle, nullptr), CUBLAS_STATUS_EXECUTION_FAILED);
  EXPECT_EQ(cublasSetStream(handle, nullptr), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(cublasDestroy(handle), CUBLAS_STATUS_SUCCESS);
}

}  // namespace
}  // namespace expertscope::simt
